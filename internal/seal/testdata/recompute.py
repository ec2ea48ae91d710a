#!/usr/bin/env python3
"""Recomputes parley-v1.json from its private keys, with the standard library.

    python3 recompute.py parley-v1.json

Written from RFC 7748, RFC 8032, RFC 8439, RFC 5869 and Parley's own protocol
pages, not from the Go code. ML-KEM and HPKE are not here: their shared secrets
are taken from the file. Slow and not constant-time: for checking only.
"""
import hashlib
import hmac
import json
import struct
import sys

P = 2**255 - 19


def x25519(scalar, point):
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    u = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def public(scalar):
    return x25519(scalar, b"\x09" + bytes(31))


def ed25519(seed, message):
    """RFC 8032: public key and signature."""
    d = -121665 * pow(121666, P - 2, P) % P
    order = 2**252 + 27742317777372353535851937790883648493

    def add(p, q):
        t = d * p[0] * q[0] * p[1] * q[1] % P
        return ((p[0] * q[1] + q[0] * p[1]) * pow(1 + t, P - 2, P) % P,
                (p[1] * q[1] + p[0] * q[0]) * pow(1 - t, P - 2, P) % P)

    def times(n):
        y = 4 * pow(5, P - 2, P) % P
        xx = (y * y - 1) * pow(d * y * y + 1, P - 2, P) % P
        x = pow(xx, (P + 3) // 8, P)
        if (x * x - xx) % P:
            x = x * pow(2, (P - 1) // 4, P) % P
        point, out = (P - x if x & 1 else x, y), (0, 1)
        while n:
            if n & 1:
                out = add(out, point)
            point, n = add(point, point), n >> 1
        return (out[1] | (out[0] & 1) << 255).to_bytes(32, "little")

    def number(*parts):
        return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % order

    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little") & (2**254 - 8) | 2**254
    key, r = times(a), number(h[32:], message)
    big_r = times(r)
    s = (r + number(big_r, key, message) * a) % order
    return key, big_r + s.to_bytes(32, "little")


def quarter(s, a, b, c, d):
    for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = s[x] + s[y] & 0xFFFFFFFF
        v = s[z] ^ s[x]
        s[z] = (v << n | v >> 32 - n) & 0xFFFFFFFF


def rounds(key, tail):
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + tail))
    start = s[:]
    for _ in range(10):
        for i in range(4):
            quarter(s, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return start, s


def chacha20(key, nonce, counter, data):
    out = bytearray()
    for i in range(0, len(data), 64):
        start, s = rounds(key, struct.pack("<I", counter + i // 64) + nonce)
        block = struct.pack("<16I", *((x + y) & 0xFFFFFFFF for x, y in zip(start, s)))
        out += bytes(x ^ y for x, y in zip(data[i:i + 64], block))
    return bytes(out)


def xopen(key, nonce, sealed, ad):
    """XChaCha20-Poly1305."""
    _, s = rounds(key, nonce[:16])
    key, nonce = struct.pack("<8I", *s[:4], *s[12:]), bytes(4) + nonce[16:]
    text, tag = sealed[:-16], sealed[-16:]
    one_time = chacha20(key, nonce, 0, bytes(64))
    r = int.from_bytes(one_time[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    mac = ad + bytes(-len(ad) % 16) + text + bytes(-len(text) % 16) + struct.pack("<QQ", len(ad), len(text))
    acc = 0
    for i in range(0, len(mac), 16):
        acc = (acc + int.from_bytes(mac[i:i + 16] + b"\x01", "little")) * r % (2**130 - 5)
    acc = (acc + int.from_bytes(one_time[16:32], "little")) % 2**128
    assert acc.to_bytes(16, "little") == tag, "tag"
    return chacha20(key, nonce, 1, text)


def hkdf(secret, salt, info, n):
    prk = hmac.digest(salt or bytes(32), secret, "sha256")
    out = block = b""
    while len(out) < n:
        block = hmac.digest(prk, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:n]


def thirds(b):
    return b[:32], b[32:64], b[64:]


def unhex(v):
    return {k: bytes.fromhex(x) if isinstance(x, str) else x for k, x in v.items()}


def field(b):
    return struct.pack(">H", len(b)) + b


def check(what, got, want):
    if got != want:
        sys.exit(f"{what}: {got!r}, want {want!r}")


def account(v):
    h = bytes.fromhex
    seed = hkdf(h(v["entropy"]), b"", b"parley/account/v1", 32)
    check("account seed", seed.hex(), v["seed"])
    key, sig = ed25519(seed, b"parley/" + v["purpose"].encode() + b"/v1\0" + h(v["payload"]))
    check("account key", key.hex(), v["public_key"])
    check("signature", sig.hex(), v["signature"])
    halves = []
    for k, ident in ((key, v["id"]), (h(v["other_key"]), v["other_id"])):
        k = b"\xed" + k
        x = b"\0\0" + k + ident.encode()
        for _ in range(5200):
            x = hashlib.sha512(x + k).digest()
        halves.append("".join("%05d" % (int.from_bytes(x[i:i + 5], "big") % 100000) for i in range(0, 30, 5)))
    check("safety number", "".join(sorted(halves)), v["safety_number"])


def handshake(v):
    ika, ikb, spk, opk, ek = (v[k] for k in (
        "dh_a_private", "dh_b_private", "signed_prekey_private", "one_time_private", "ephemeral_private"))
    t = hashlib.sha256(b"parley/pqxdh/v1\0" + struct.pack(">H", 1) + b"".join(map(field, (
        v["account_a"], v["device_a"], public(ika), v["account_b"], v["device_b"], v["bundle"],
        public(ek), v["one_time_id"] + public(opk), v["kem_ciphertext"])))).digest()
    check("T", t, v["transcript"])
    ikm = b"\xff" * 32 + b"".join((
        x25519(ika, public(spk)), x25519(ek, public(ikb)), x25519(ek, public(spk)), x25519(ek, public(opk))))
    keys = thirds(hkdf(ikm + v["kem_secret"], t, b"parley/pqxdh/v1/0001", 96))
    for name, key in zip(("root", "header_key", "next_header_key"), keys):
        check(name, key, v[name])
    return t, keys


def ratchet(v, t, keys, spk):
    privates = [bytes.fromhex(k) for k in v["ratchet_private_keys"]]
    secrets = [bytes.fromhex(k) for k in v["kem_secrets"]]
    messages = [dict(m, message=bytes.fromhex(m["message"])) for m in v["messages"]]
    root, headers, chains, lengths = keys[0], list(keys[1:]), [], []
    for i, private in enumerate(privates):
        of = [m for m in messages if m["chain"] == i]
        ss = secrets.pop(0) if any(m["kem"] == "ct" for m in of) else b""
        dh = x25519(private, public(privates[i - 1] if i else spk))
        root, chain, after = thirds(hkdf(dh + ss, root, b"parley/dr/root/v1", 96))
        chains.append(chain)
        headers.append(after)
        lengths.append(len(of))
    check("unused KEM secrets", len(secrets), 0)
    for m in messages:
        i, wire = m["chain"], m["message"]
        ad = b"parley/dm/v1\0" + t
        h = xopen(headers[i], wire[:24], wire[24:81], ad)
        flags = {"": 0, "ek": 1, "ct": 2}[m["kem"]]
        pn = lengths[i - 2] if i > 1 else 0
        check("header", h, public(privates[i]) + struct.pack(">IIB", pn, m["number"], flags))
        body = 81
        if flags:
            body += 40 + (0, 1184, 1088)[flags]
            xopen(headers[i], wire[81:105], wire[105:body], ad + wire[:81])
        chain = chains[i]
        for _ in range(m["number"]):
            chain = hmac.digest(chain, b"\x02", "sha256")
        mk = hmac.digest(chain, b"\x01", "sha256")
        text = xopen(mk, wire[body:body + 24], wire[body + 24:], ad + wire[:body])
        check("text", text.rstrip(b"\0"), m["text"].encode() + b"\x80")
        if m["size"]:
            check("size", len(wire), m["size"])
    return len(messages)


def row(v):
    sealed = bytes.fromhex(v["sealed"])
    key = hkdf(bytes.fromhex(v["master"]), b"", b"parley/row/v1", 32)
    table = v["table"].encode()
    ad = b"parley/row/v1\0" + sealed[:1] + struct.pack(">I", len(table)) + table + v["row"].encode()
    check("row", xopen(key, sealed[1:25], sealed[25:], ad), v["text"].encode())


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        v = json.load(f)
    account(v["account"])
    h = unhex(v["handshake"])
    t, keys = handshake(h)
    n = ratchet(v["ratchet"], t, keys, h["signed_prekey_private"])
    row(v["row"])
    print(f"ok: account, handshake, {n} messages, row")


main()
