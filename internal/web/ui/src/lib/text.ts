// Splits a message into pieces that are drawn as text nodes, links and chips.
// Nothing here or after it ever becomes markup.

export type Piece =
  | { kind: 'text'; text: string }
  | { kind: 'link'; text: string; href: string; host: string }
  | { kind: 'chip'; code: string; name: string };

// Characters that change how others are shown, or show nothing at all, become
// chips: C0 without tab and newline, C1, bidi controls, line separators, BOM.
// eslint-disable-next-line no-control-regex
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u;
const link = /(?<![\p{L}\p{N}_:])(?:https?:\/\/|mailto:)[^\s<>"`{}|\\^]+/giu;
const names: Record<number, string> = {
  0x061c: 'ALM', 0x200e: 'LRM', 0x200f: 'RLM', 0x202a: 'LRE', 0x202b: 'RLE', 0x202c: 'PDF', 0x202d: 'LRO',
  0x202e: 'RLO', 0x2066: 'LRI', 0x2067: 'RLI', 0x2068: 'FSI', 0x2069: 'PDI', 0xfeff: 'BOM', 0x1b: 'ESC',
  0x00: 'NUL', 0x07: 'BEL', 0x7f: 'DEL', 0x2028: 'LSEP', 0x2029: 'PSEP',
};

export function pieces(text: string): Piece[] {
  const out: Piece[] = [];
  let rest = '';
  const flush = () => {
    if (rest) out.push(...links(rest));
    rest = '';
  };
  for (const ch of text.replace(/\r\n?/g, '\n')) {
    if (!hidden.test(ch)) {
      rest += ch;
      continue;
    }
    flush();
    const point = ch.codePointAt(0) ?? 0;
    const code = 'U+' + point.toString(16).toUpperCase().padStart(4, '0');
    out.push({ kind: 'chip', code, name: names[point] ?? code });
  }
  flush();
  return out;
}

function links(text: string): Piece[] {
  const out: Piece[] = [];
  let at = 0;
  for (const m of text.matchAll(link)) {
    const found = trimEnd(m[0]);
    const safe = safeLink(found);
    if (!safe) continue;
    if (m.index > at) out.push({ kind: 'text', text: text.slice(at, m.index) });
    out.push({ kind: 'link', text: found, ...safe });
    at = m.index + found.length;
  }
  if (at < text.length) out.push({ kind: 'text', text: text.slice(at) });
  return out;
}

// trimEnd gives back punctuation that belongs to the sentence, and a closing
// bracket that was opened before the link.
function trimEnd(url: string): string {
  for (;;) {
    const last = url.at(-1) ?? '';
    if (/[.,;:!?'»”’…。、]/u.test(last)) url = url.slice(0, -1);
    else if (last === ')' && count(url, ')') > count(url, '(')) url = url.slice(0, -1);
    else if (last === ']' && count(url, ']') > count(url, '[')) url = url.slice(0, -1);
    else return url;
  }
}

const count = (s: string, ch: string): number => s.split(ch).length - 1;

// safeLink allows exactly http, https and mailto. The host is the ASCII form,
// so a look-alike name shows its xn-- spelling before anything opens.
export function safeLink(url: string): { href: string; host: string } | null {
  let u: URL;
  try {
    u = new URL(url);
  } catch {
    return null;
  }
  if (u.protocol === 'mailto:') return u.pathname.includes('@') ? { href: u.href, host: u.pathname } : null;
  if (u.protocol !== 'http:' && u.protocol !== 'https:') return null;
  if (!u.hostname) return null;
  return { href: u.href, host: u.host };
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
const pictograph = /^(?:\p{Extended_Pictographic}|\p{Regional_Indicator}{2}|[0-9#*]\ufe0f?\u20e3)/u;

// onlyEmoji counts the emoji of a message that has nothing else, up to 3.
export function onlyEmoji(text: string): number {
  const trimmed = text.trim();
  if (!trimmed || trimmed.length > 60) return 0;
  let n = 0;
  for (const { segment } of graphemes.segment(trimmed)) {
    if (/^\s+$/u.test(segment)) continue;
    if (!pictograph.test(segment)) return 0;
    n++;
  }
  return n <= 3 ? n : 0;
}

// oneLine is for lists and snippets: no breaks, no control characters.
export function oneLine(text: string, max = 140): string {
  // One emoji family is up to 15 code units; no need to look further.
  const cut = text.slice(0, max * 16);
  const flat = [...cut].map((ch) => (hidden.test(ch) ? ' ' : ch)).join('').replace(/\s+/gu, ' ').trim();
  const out = [...graphemes.segment(flat)];
  return out.length > max || cut.length < text.length ? out.slice(0, max).map((s) => s.segment).join('') + '…' : flat;
}

export const fold = (s: string): string => s.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();

// hits cuts a line at the words that were looked for, without regard to case
// and accents.
export function hits(text: string, query: string): { text: string; hit: boolean }[] {
  let flat = '';
  const from: number[] = []; // place in flat -> place in text
  let at = 0;
  for (const ch of text) {
    const f = fold(ch);
    flat += f;
    for (let i = 0; i < f.length; i++) from.push(at);
    at += ch.length;
  }
  from.push(at);
  const marked = new Uint8Array(text.length + 1);
  for (const word of fold(query).split(/\s+/).filter((w) => w)) {
    for (let i = flat.indexOf(word); i >= 0; i = flat.indexOf(word, i + word.length)) {
      marked.fill(1, from[i] ?? 0, from[i + word.length] ?? at);
    }
  }
  const out: { text: string; hit: boolean }[] = [];
  for (let i = 0, j = 0; i < text.length; i = j) {
    for (j = i; j < text.length && marked[j] === marked[i]; j++);
    out.push({ text: text.slice(i, j), hit: marked[i] === 1 });
  }
  return out;
}

// cleanName removes what a name may not contain.
export const cleanName = (name: string): string => oneLine(name, 64);
