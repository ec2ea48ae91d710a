// How far a message provably came, as a glyph and in words.
import type { Delivery, Msg } from './model';
import { words } from './words';

export const glyphs: Record<Delivery, string> = {
  none: '', storing: '◌', queued: '◌', sent: '◔', held: '◑', delivered: '●', read: '◉', refused: '⊘', expired: '⊗', unknown: '·',
};

// order is how far along a state is. A state never goes back, except that a
// receipt after EXPIRED still proves delivery.
const order: Record<Delivery, number> = {
  none: 0, unknown: 0, storing: 1, queued: 2, sent: 3, held: 4, expired: 5, refused: 5, delivered: 6, read: 7,
};
export const notBack = (before: Delivery, now: Delivery): boolean => order[now] >= order[before];

export const inMotion = (d: Delivery): boolean => d === 'storing' || d === 'queued' || d === 'sent';

// deliveryWords prefers the node's own sentence: it knows counts and causes.
// A countdown wins while it runs, because it says when the wait ends.
export function deliveryWords(m: Pick<Msg, 'delivery' | 'words' | 'reason'>, coolingSeconds = 0): string {
  if (m.delivery === 'queued' && coolingSeconds > 0) return words.delivery.cooling(coolingSeconds);
  if (m.words) return m.words;
  switch (m.delivery) {
    case 'none':
      return '';
    case 'refused':
      return m.reason ? words.delivery.refusedBecause(words.fault.reasons[m.reason] ?? m.reason) : words.delivery.refused;
    default:
      return words.delivery[m.delivery];
  }
}
