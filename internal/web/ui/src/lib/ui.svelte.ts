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
  details = $state(localStorage.getItem('parley.details') !== 'off');
  spoken = $state('');
  private next = 1;

  open(s: Sheet): void {
    this.sheet = s;
  }
  close(): void {
    this.sheet = null;
  }
  toggleDetails(): void {
    this.details = !this.details;
    localStorage.setItem('parley.details', this.details ? 'on' : 'off');
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
