// Reactions: six recent ones, kept on this device.
const key = 'parley.emoji';
const usual = ['👍', '❤️', '😂', '🎉', '🙏', '👀'];
export const MAX_REACTION = 64; // bytes, as in the node

export const shelf = [
  '👍', '👎', '❤️', '😂', '🎉', '🙏', '👀', '🔥', '✅', '❌', '💯', '🤔', '😮', '😢', '😡', '🥳', '😍', '😅', '😉', '😎', '🤝', '👏', '🙌', '💪',
  '☕', '🍵', '🌱', '🌊', '⭐', '🌙', '☀️', '🦀', '🦊', '🦉', '🐢', '🚀', '🛠️', '📌', '💡', '🎵',
];

export function recentEmoji(): string[] {
  try {
    const saved: unknown = JSON.parse(localStorage.getItem(key) ?? '[]');
    const list = Array.isArray(saved) ? saved.filter((x): x is string => typeof x === 'string') : [];
    return [...new Set([...list, ...usual])].slice(0, 6);
  } catch {
    return usual;
  }
}

export function useEmoji(emoji: string): void {
  localStorage.setItem(key, JSON.stringify([...new Set([emoji, ...recentEmoji()])].slice(0, 6)));
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

// oneEmoji takes the first emoji out of whatever was typed.
export function oneEmoji(text: string): string {
  for (const { segment } of graphemes.segment(text)) {
    if (/\p{Extended_Pictographic}|\p{Regional_Indicator}|\u20e3/u.test(segment) && new TextEncoder().encode(segment).length <= MAX_REACTION) return segment;
  }
  return '';
}
