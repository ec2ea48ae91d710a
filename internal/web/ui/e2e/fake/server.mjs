// Serves the built page and the Connect JSON protocol of one pretend node,
// with the response headers of the real one.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ApiError } from './node.mjs';
import { calls, FakeNet } from './calls.mjs';

const dist = join(dirname(fileURLToPath(import.meta.url)), '../../../dist');
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml', '.woff2': 'font/woff2', '.txt': 'text/plain' };
export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
const headers = {
  'Content-Security-Policy': POLICY, 'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer', 'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin', 'Permissions-Policy': 'camera=(), microphone=(), geolocation=()', 'Cache-Control': 'no-store',
};
const codes = { not_found: 404, invalid_argument: 400, permission_denied: 403, unauthenticated: 401, resource_exhausted: 429, out_of_range: 400, internal: 500, unimplemented: 501 };

export function serve(node, port = 0) {
  FakeNet.set(node.account, node);
  const secret = randomBytes(16).toString('hex');
  const session = randomBytes(16).toString('hex');
  const sockets = new Set();

  const server = createServer(async (req, res) => {
    for (const [k, v] of Object.entries(headers)) res.setHeader(k, v);
    const path = new URL(req.url, 'http://x').pathname;
    try {
      if (path === '/login' && req.method === 'POST') {
        const { code } = JSON.parse(await body(req));
        if (code !== 'good') return res.writeHead(401).end();
        res.setHeader('Set-Cookie', `parley=${session}; HttpOnly; SameSite=Strict; Path=/`);
        return res.setHeader('Content-Type', 'application/json').end(JSON.stringify({ csrf: secret }));
      }
      if (path.startsWith('/parley.api.v1.')) return await call(req, res, path.slice('/parley.api.v1.'.length));
      if (req.method !== 'GET') return res.writeHead(405).end();
      const file = path === '/' ? '/index.html' : normalize(path);
      const bytes = await readFile(join(dist, file)).catch(() => null);
      if (!bytes) return res.writeHead(404).end();
      res.setHeader('Content-Type', types[extname(file)] ?? 'application/octet-stream').end(bytes);
    } catch (err) {
      console.error(path, err);
      if (!res.headersSent) res.writeHead(500);
      res.end();
    }
  });

  async function call(req, res, name) {
    const allowed = req.headers.cookie?.includes(`parley=${session}`) && req.headers['x-parley-csrf'] === secret;
    const raw = await body(req, true);
    if (name === 'EventService/Watch') return watch(req, res, JSON.parse(raw.subarray(5).toString() || '{}'), allowed);
    try {
      if (!allowed) throw new ApiError('unauthenticated', '', 'log in first');
      const fn = calls[name];
      if (!fn) throw new ApiError('unimplemented', '', name);
      const answer = fn(node, JSON.parse(raw.toString() || '{}'));
      res.setHeader('Content-Type', 'application/json').end(JSON.stringify(answer));
    } catch (err) {
      if (!(err instanceof ApiError)) throw err;
      res.writeHead(codes[err.code] ?? 500, { 'Content-Type': 'application/json' }).end(JSON.stringify(errorBody(err)));
    }
  }

  function watch(req, res, q, allowed) {
    res.writeHead(200, { 'Content-Type': 'application/connect+json' });
    if (!allowed) return res.end(frame({ error: errorBody(new ApiError('unauthenticated', '', 'log in first')) }, 2));
    let at = q.cursor ? Number(q.cursor.split('-')[1]) : node.log.length;
    if (at > node.log.length) return res.end(frame({ error: errorBody(new ApiError('out_of_range', 'CURSOR_EXPIRED', 'cursor of another store')) }, 2));
    let pulse = JSON.stringify(node.pulse);
    let cooling = JSON.stringify(node.cooling);
    const flush = () => {
      do {
        const rows = node.log.slice(at, at + 50);
        const events = rows.map((fn, i) => ({ cursor: node.cursor(at + i + 1), ...fn() }));
        at += rows.length;
        const out = { cursor: node.cursor(at), events };
        if (JSON.stringify(node.pulse) !== pulse) [out.pulse, pulse] = [node.pulse, JSON.stringify(node.pulse)];
        if (JSON.stringify(node.cooling) !== cooling) [out.cooling, cooling] = [node.cooling, JSON.stringify(node.cooling)];
        res.write(frame(out));
      } while (at < node.log.length);
    };
    res.write(frame({ cursor: node.cursor(at), greeting: true, pulse: node.pulse, cooling: node.cooling }));
    if (at < node.log.length) flush();
    node.watchers.add(flush);
    const beat = setInterval(() => res.write(frame({ cursor: node.cursor(at) })), 15000);
    res.on('close', () => {
      clearInterval(beat);
      node.watchers.delete(flush);
    });
  }

  server.on('connection', (s) => {
    sockets.add(s);
    s.on('close', () => sockets.delete(s));
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const origin = `http://127.0.0.1:${server.address().port}`;
      resolve({
        node, origin, port: server.address().port, url: `${origin}/#login=good`,
        wake: () => node.watchers.forEach((w) => w()),
        stop: () => new Promise((done) => {
          server.close(done);
          for (const s of sockets) s.destroy();
        }),
        start: () => new Promise((done) => server.listen(Number(new URL(origin).port), '127.0.0.1', done)),
      });
    });
  });
}

const errorBody = (err) => ({
  code: err.code, message: err.message,
  details: [
    ...(err.reason ? [{ type: 'google.rpc.ErrorInfo', value: field(1, Buffer.from(err.reason)).toString('base64') }] : []),
    ...(err.message ? [{ type: 'google.rpc.LocalizedMessage', value: field(2, Buffer.from(err.message)).toString('base64') }] : []),
  ],
});
const field = (n, bytes) => Buffer.concat([Buffer.from([(n << 3) | 2, bytes.length]), bytes]);

function frame(value, flags = 0) {
  const data = Buffer.from(JSON.stringify(value));
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

async function body(req, raw = false) {
  const parts = [];
  for await (const p of req) parts.push(p);
  const all = Buffer.concat(parts);
  return raw ? all : all.toString();
}
