// Every account has a light: a colour and a place that follow from its id.

export function hash(id: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) h = Math.imul(h ^ id.charCodeAt(i), 0x01000193);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  h ^= h >>> 12;
  return h >>> 0;
}

export const hueOf = (id: string): string => `hue-${hash(id) % 13}`;

export interface Place {
  x: number;
  y: number;
  r: number;
  strokes: { x: number; y: number; w: number; o: number }[];
}

// placeOf lays out the light and its reflection in a 40 by 40 square; the
// horizon lies at 21.
export function placeOf(id: string): Place {
  let h = hash(id + '/light');
  const next = (n: number): number => {
    h = Math.imul(h ^ (h >>> 13), 0x5bd1e995) >>> 0;
    return (h >>> 8) % n;
  };
  const x = 12 + next(17);
  const y = 10 + next(7);
  const r = 4.6 + next(5) * 0.5;
  const strokes = [];
  const rows = 2 + next(3);
  for (let i = 0; i < rows; i++) {
    const w = 15 - i * (15 / (rows + 0.6)) + next(5) - 2;
    strokes.push({ x: x + (next(9) - 4) * 0.6, y: 25 + i * 4, w: Math.max(3, w), o: 0.95 - i * 0.2 });
  }
  return { x, y, r, strokes };
}

// shortId names an account by its end; the start is the same for everybody.
// The word joiner keeps the end and its dots on one line.
export const shortId = (id: string): string => (id.length > 12 ? '…\u2060' + id.slice(-8) : id);
