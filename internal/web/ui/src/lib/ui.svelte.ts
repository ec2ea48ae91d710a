// What is open on top of the page, and short notices.
export type Sheet =
  | { kind: 'add'; text?: string }
  | { kind: 'safety'; account: string }
  | { kind: 'jump'; conversation: string }
  | { kind: 'link'; href: string; host: string }
  | { kind: 'keys' }
  | { kind: 'history'; id: string };

export interface Toast {
  id: number;
  text: string;
  undo?: () => void;
}

const TOAST = 8000; // time to undo

class Ui {
  sheet = $state.raw<Sheet | null>(null);
  toasts = $state.raw<Toast[]>([]);
  // Beside the thread on wide windows, and remembered; over it on narrow ones.
  private wide = $state(localStorage.getItem('parley.details') !== 'off');
  private over = $state(false);
  private narrow = $state(false);
  spoken = $state('');
  private next = 1;

  constructor() {
    const query = matchMedia('(max-width: 1080px)');
    this.narrow = query.matches;
    query.addEventListener('change', (e) => (this.narrow = e.matches));
  }

  open(s: Sheet): void {
    this.sheet = s;
  }
  close(): void {
    this.sheet = null;
  }
  get details(): boolean {
    return this.narrow ? this.over : this.wide;
  }
  toggleDetails(): void {
    if (this.narrow) {
      this.over = !this.over;
      return;
    }
    this.wide = !this.wide;
    localStorage.setItem('parley.details', this.wide ? 'on' : 'off');
  }
  // closeOver answers whether something lay over the thread.
  closeOver(): boolean {
    const was = this.narrow && this.over;
    this.over = false;
    return was;
  }
  toast(text: string, undo?: () => void): void {
    const id = this.next++;
    this.toasts = [...this.toasts.slice(-2), { id, text, ...(undo ? { undo } : {}) }];
    setTimeout(() => this.dismiss(id), TOAST);
  }
  dismiss(id: number): void {
    this.toasts = this.toasts.filter((t) => t.id !== id);
  }
  say(text: string): void {
    this.spoken = text;
  }
}

export const ui = new Ui();
