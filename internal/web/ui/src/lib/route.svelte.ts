// Everything has an address: #/p/<account>, #/p/<account>/m/<message>,
// #/requests, #/you/<page>.
export type Route =
  | { page: 'home' }
  | { page: 'requests' }
  | { page: 'person'; account: string; message: string }
  | { page: 'you'; section: string };

export function parseRoute(hash: string): Route {
  const [, page = '', a = '', b = '', c = ''] = hash.replace(/^#/, '').split('/').map(decode);
  if (page === 'p' && a) return { page: 'person', account: a, message: b === 'm' ? c : '' };
  if (page === 'requests') return { page: 'requests' };
  if (page === 'you') return { page: 'you', section: a || '' };
  return { page: 'home' };
}

function decode(s: string): string {
  try {
    return decodeURIComponent(s);
  } catch {
    return '';
  }
}

export const hrefPerson = (account: string, message = ''): string =>
  `#/p/${encodeURIComponent(account)}` + (message ? `/m/${encodeURIComponent(message)}` : '');
export const hrefYou = (section: string): string => `#/you/${section}`;

class Router {
  now = $state.raw<Route>(parseRoute(location.hash));
  listen(): void {
    addEventListener('hashchange', () => (this.now = parseRoute(location.hash)));
  }
  go(href: string): void {
    if (location.hash === href) this.now = parseRoute(href);
    else location.hash = href;
  }
  replace(href: string): void {
    history.replaceState(null, '', location.pathname + href);
    this.now = parseRoute(href);
  }
}

export const router = new Router();
