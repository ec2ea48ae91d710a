// The reader's look: theme, contrast, density, text size. look.js in public/
// applies the same values before the first paint.
export type Theme = 'system' | 'light' | 'dark';

interface Saved {
  theme: Theme;
  contrast: boolean;
  compact: boolean;
  size: number;
}

const key = 'parley.look';
const usual: Saved = { theme: 'system', contrast: false, compact: false, size: 100 };

function read(): Saved {
  try {
    return { ...usual, ...(JSON.parse(localStorage.getItem(key) ?? '{}') as Partial<Saved>) };
  } catch {
    return usual;
  }
}

class Look {
  now = $state.raw<Saved>(read());

  set(change: Partial<Saved>): void {
    this.now = { ...this.now, ...change };
    localStorage.setItem(key, JSON.stringify(this.now));
    const root = document.documentElement;
    if (this.now.theme === 'system') delete root.dataset['theme'];
    else root.dataset['theme'] = this.now.theme;
    if (this.now.contrast) root.dataset['contrast'] = 'more';
    else delete root.dataset['contrast'];
    if (this.now.compact) root.dataset['density'] = 'compact';
    else delete root.dataset['density'];
    root.style.fontSize = this.now.size === 100 ? '' : `${this.now.size}%`;
  }
}

export const look = new Look();
