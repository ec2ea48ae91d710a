// The session: a one-time code from the address becomes a cookie, which the
// page cannot read, and a second secret, which only this origin can.
const key = 'parley.csrf';

export const csrf = (): string => localStorage.getItem(key) ?? '';

// takeCode removes the code from the address and the history at once.
export function takeCode(loc: Location = location, hist: History = history): string {
  const m = /^#login=([^&]+)/.exec(loc.hash);
  if (!m) return '';
  hist.replaceState(null, '', loc.pathname);
  return decodeURIComponent(m[1] ?? '');
}

export async function login(code: string): Promise<boolean> {
  const res = await fetch('/login', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ code }),
    credentials: 'same-origin',
  });
  if (!res.ok) return false;
  const body: unknown = await res.json();
  const secret = typeof body === 'object' && body !== null && 'csrf' in body ? body.csrf : undefined;
  if (typeof secret !== 'string' || !secret) return false;
  localStorage.setItem(key, secret);
  return true;
}
