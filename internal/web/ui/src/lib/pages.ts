// Loads the messages of a conversation page by page.
import { api } from './api';
import * as convert from './convert';
import { mergePage, page, titled } from './core';
import { faultOf } from './fault';
import { store } from './store.svelte';

const PAGE = 50;
const FAR = 200; // page size while looking for one message
const FAR_PAGES = 100;

export async function loadNewest(conversation: string): Promise<void> {
  if (store.thread(conversation).loading) return;
  store.setThread(conversation, (t) => ({ ...t, loading: true, fault: '' }));
  try {
    const res = await api.messages.listMessages({ conversation, pageSize: PAGE });
    store.setThread(conversation, (t) => mergePage(t, res.messages.map(convert.message), res.nextPageToken));
    const name = res.messages.findLast((m) => !m.own)?.authorName ?? '';
    store.setConvo(conversation, (c) => titled(c, name));
  } catch (err) {
    const fault = faultOf(err);
    if (fault.kind === 'session') store.phase = 'locked';
    // A conversation that does not exist yet is an empty one.
    if (fault.reason === 'NOT_FOUND') store.setThread(conversation, (t) => mergePage(t, [], ''));
    else store.setThread(conversation, (t) => ({ ...t, loading: false, fault: fault.text }));
  }
}

// loadOlder answers whether anything was added.
export async function loadOlder(conversation: string, size = PAGE): Promise<boolean> {
  const { nextToken, loading, loaded } = store.thread(conversation);
  if (!nextToken || loading || !loaded) return false;
  store.setThread(conversation, (t) => ({ ...t, loading: true, fault: '' }));
  try {
    const res = await api.messages.listMessages({ conversation, pageSize: size, pageToken: nextToken });
    store.setThread(conversation, (t) => page(t, res.messages.map(convert.message), res.nextPageToken));
    return res.messages.length > 0;
  } catch (err) {
    store.setThread(conversation, (t) => ({ ...t, loading: false, fault: faultOf(err).text }));
    return false;
  }
}

// findMessage pages back until the message is loaded.
export async function findMessage(conversation: string, id: string, go: () => boolean): Promise<boolean> {
  const here = () => store.thread(conversation).messages.some((m) => m.id === id);
  if (!store.thread(conversation).loaded) await loadNewest(conversation);
  for (let i = 0; i < FAR_PAGES && !here() && go(); i++) {
    if (!(await loadOlder(conversation, FAR))) break;
  }
  return here();
}
