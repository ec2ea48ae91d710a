// The way in: code from the address, session, first run, then the feed.
import { api } from './api';
import { act, retryWaiting } from './acts';
import { faultOf } from './fault';
import { router } from './route.svelte';
import { csrf, login, takeCode } from './session';
import { store } from './store.svelte';
import { takeTurns } from './tabs';

export async function boot(): Promise<void> {
  router.listen();
  store.onOnline.push(retryWaiting);
  const code = takeCode();
  if (code) {
    router.replace('#/');
    try {
      store.usedCode = !(await login(code));
    } catch {
      store.usedCode = true;
    }
  }
  if (!csrf()) {
    store.phase = 'locked';
    return;
  }
  await enter();
}

// enter asks who we are; an unauthenticated answer locks the page.
export async function enter(): Promise<void> {
  for (let wait = 200; ; wait = Math.min(wait * 2, 4000)) {
    try {
      const me = await api.identity.getIdentity({});
      store.account = me.account;
      store.device = me.device;
      store.link = me.link;
      store.linkQr = me.linkQrPng;
      store.devices = me.devices;
      store.setProfile(me.displayName, me.readReceipts);
      store.phase = me.displayName ? 'ready' : 'naming';
      store.start();
      takeTurns((on) => store.hold(on));
      return;
    } catch (err) {
      const fault = faultOf(err);
      if (fault.kind === 'session') {
        store.phase = 'locked';
        return;
      }
      store.online = false;
      await new Promise((r) => setTimeout(r, wait));
    }
  }
}

export async function chooseName(displayName: string): Promise<string | null> {
  return act(async () => {
    const res = await api.identity.setProfile({ displayName });
    store.setProfile(res.displayName, res.readReceipts);
    store.phase = 'ready';
  });
}
