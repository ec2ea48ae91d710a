// A picture that looks like a QR code, for the pretend node only.
import { createHash } from 'node:crypto';
import { crc32, deflateSync } from 'node:zlib';

export function picture(text, n = 33, scale = 6) {
  const bits = [];
  for (let i = 0; bits.length < n * n; i++) for (const b of createHash('sha256').update(text + i).digest()) for (let k = 0; k < 8; k++) bits.push((b >> k) & 1);
  const eye = (x, y) => {
    const d = Math.max(Math.abs(x - 3), Math.abs(y - 3));
    return d === 4 ? 0 : d === 3 || d <= 1 ? 1 : 0;
  };
  const dark = (x, y) => {
    if (x < 8 && y < 8) return eye(x, y);
    if (x >= n - 8 && y < 8) return eye(n - 1 - x, y);
    if (x < 8 && y >= n - 8) return eye(x, n - 1 - y);
    return bits[y * n + x];
  };
  const size = (n + 4) * scale;
  const raw = Buffer.alloc((size + 1) * size, 255);
  for (let y = 0; y < size; y++) {
    raw[y * (size + 1)] = 0;
    for (let x = 0; x < size; x++) {
      const cx = Math.floor(x / scale) - 2;
      const cy = Math.floor(y / scale) - 2;
      if (cx >= 0 && cy >= 0 && cx < n && cy < n && dark(cx, cy)) raw[y * (size + 1) + 1 + x] = 0;
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size, 0);
  head.writeUInt32BE(size, 4);
  head.set([8, 0, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), chunk('IHDR', head), chunk('IDAT', deflateSync(raw)), chunk('IEND', Buffer.alloc(0))]);
}

const crc = crc32 ?? ((buf) => {
  let c = ~0;
  for (const b of buf) {
    c ^= b;
    for (let k = 0; k < 8; k++) c = (c >>> 1) ^ (0xedb88320 & -(c & 1));
  }
  return ~c >>> 0;
});

function chunk(type, data) {
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, 'latin1');
  data.copy(out, 8);
  out.writeUInt32BE(crc(out.subarray(4, 8 + data.length)) >>> 0, 8 + data.length);
  return out;
}
