// The keys of the page. Nothing here acts during text composition by an
// input method, and no single letter acts while somebody types.
import { markAllRead } from './acts';
import { hrefPerson, router } from './route.svelte';
import { store } from './store.svelte';
import { ui } from './ui.svelte';

export const typing = (t: EventTarget | null): boolean =>
  t instanceof HTMLElement && (t.isContentEditable || t.matches('input, textarea, select'));

const mac = /Mac|iPhone|iPad/.test(navigator.userAgent);
const main = (e: KeyboardEvent) => (mac ? e.metaKey : e.ctrlKey);

export function handleKey(e: KeyboardEvent): void {
  if (e.isComposing || e.keyCode === 229 || e.defaultPrevented) return;
  const conversation = router.now.page === 'person' ? `people/${router.now.account}` : '';
  if (main(e) && !e.altKey && !e.shiftKey) {
    const k = e.key.toLowerCase();
    if (k === 'k') return open(e, () => ui.open({ kind: 'jump', conversation: '' }));
    if (k === 'f' && !ui.sheet) return open(e, () => ui.open({ kind: 'jump', conversation }));
    if (k === '/') return open(e, () => ui.open({ kind: 'keys' }));
  }
  if (ui.sheet) return;
  if (e.key === 'F6') return open(e, () => nextRegion(e.shiftKey ? -1 : 1));
  if (e.altKey && (e.key === 'ArrowUp' || e.key === 'ArrowDown')) {
    return open(e, () => step(e.key === 'ArrowUp' ? -1 : 1, e.shiftKey));
  }
  if (e.key === 'Escape' && e.shiftKey) return open(e, markAllRead);
  if (e.key === '?' && !typing(e.target)) return open(e, () => ui.open({ kind: 'keys' }));
  if (e.key === 'Escape' && !e.shiftKey && ui.closeOver()) return open(e, focusComposer);
  if (e.key === 'Escape' && !typing(e.target)) focusComposer();
}

function open(e: KeyboardEvent, fn: () => void): void {
  e.preventDefault();
  fn();
}

export function focusComposer(): void {
  document.querySelector<HTMLTextAreaElement>('[data-composer]')?.focus();
}

// nextRegion cycles list, messages, composer, details: those that are shown.
function nextRegion(by: number): void {
  const regions = [...document.querySelectorAll<HTMLElement>('[data-region]')].filter((r) => r.checkVisibility());
  const at = regions.findIndex((r) => r.contains(document.activeElement));
  const next = regions[(at + by + regions.length) % regions.length];
  if (!next) return;
  const target = next.querySelector<HTMLElement>('[data-first]:not([disabled])')
    ?? next.querySelector<HTMLElement>('[tabindex="0"], button:not([disabled]), a[href], input, textarea');
  target?.focus();
}

function step(by: number, unreadOnly: boolean): void {
  const list = store.chats.filter((c) => !unreadOnly || c.unread > 0);
  if (list.length === 0) return;
  const account = router.now.page === 'person' ? router.now.account : '';
  const at = list.findIndex((c) => c.account === account);
  const next = at < 0 ? list[by > 0 ? 0 : list.length - 1] : list[(at + by + list.length) % list.length];
  if (next) router.go(hrefPerson(next.account));
}
