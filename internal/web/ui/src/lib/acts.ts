// What a person can do, each as one call to the node. Every act answers with
// null or with what went wrong, in words.
import { api } from './api';
import * as convert from './convert';
import { merge, put, settle } from './core';
import { faultOf } from './fault';
import type { Msg, Pending } from './model';
import { conversationOf } from './model';
import { store } from './store.svelte';
import { ui } from './ui.svelte';
import { words } from './words';

// act runs one call and turns an error into its sentence.
export async function act(fn: () => Promise<unknown>): Promise<string | null> {
  try {
    await fn();
    return null;
  } catch (err) {
    const fault = faultOf(err);
    if (fault.kind === 'session') store.phase = 'locked';
    if (fault.kind === 'offline') store.reconnect();
    return fault.text;
  }
}

// loud is act for buttons without a place of their own for the sentence.
export async function loud(fn: () => Promise<unknown>): Promise<boolean> {
  const fault = await act(fn);
  if (fault) ui.toast(fault);
  return fault === null;
}

const replace = (msg: Msg) => store.setThread(msg.conversation, (t) => put(t, msg, false));

// send shows the message at once and hands it to the node. The request id
// makes trying again safe: the node answers the same message.
export function send(conversation: string, text: string, replyTo: string): void {
  const p: Pending = {
    requestId: crypto.randomUUID(), conversation, text, replyTo, time: Date.now(), state: 'storing', fault: '', id: '',
  };
  store.setPending((list) => [...list, p]);
  enqueue(p.requestId);
}

// One send at a time keeps the order in which a person wrote.
let line: Promise<void> = Promise.resolve();
const enqueue = (requestId: string) => {
  line = line.then(() => attempt(requestId));
};

async function attempt(requestId: string): Promise<void> {
  const p = store.pending.find((q) => q.requestId === requestId);
  if (!p || p.state === 'refused') return;
  // Behind one that waits, the others wait too.
  const ahead = store.pending.find((q) => q.conversation === p.conversation && q.state === 'waiting');
  if (ahead && ahead !== p) return setPending(requestId, { state: 'waiting' });
  setPending(requestId, { state: 'storing' });
  try {
    const res = await api.messages.sendMessage({ conversation: p.conversation, text: p.text, replyTo: p.replyTo, requestId });
    const msg = res.message && convert.message(res.message);
    store.setPending((list) => settle(list, requestId));
    if (msg) {
      store.setThread(msg.conversation, (t) => put(t, msg, true));
      store.setConvo(msg.conversation, (c) => (!c.last || c.last.time <= msg.time ? { ...c, last: merge(c.last?.id === msg.id ? c.last : undefined, msg) } : c));
    }
  } catch (err) {
    const fault = faultOf(err);
    if (fault.kind === 'session') store.phase = 'locked';
    if (fault.kind !== 'refused') setPending(requestId, { state: 'waiting' });
    else if (fault.reason === 'COOLING_PERIOD' || fault.reason === 'RATE_LIMITED') {
      const wait = fault.retryMs || 1000;
      setPending(requestId, { state: 'waiting' });
      if (fault.reason === 'COOLING_PERIOD') store.setCooling(new Map(store.cooling).set(p.conversation, Date.now() + wait));
      setTimeout(retryWaiting, wait);
    } else setPending(requestId, { state: 'refused', fault: fault.text });
  }
}

const setPending = (requestId: string, change: Partial<Pending>) =>
  store.setPending((list) => list.map((p) => (p.requestId === requestId ? { ...p, ...change } : p)));

export function retryWaiting(): void {
  const waiting = store.pending.filter((p) => p.state === 'waiting');
  store.setPending((list) => list.map((p) => (p.state === 'waiting' ? { ...p, state: 'storing' as const } : p)));
  for (const p of waiting) enqueue(p.requestId);
  void store.drafts.flushAll();
}
export const discard = (requestId: string): void => store.setPending((list) => settle(list, requestId));

export async function edit(id: string, text: string): Promise<string | null> {
  return act(async () => {
    const res = await api.messages.editMessage({ id, text, requestId: crypto.randomUUID() });
    if (res.message) replace(convert.message(res.message));
  });
}

export async function remove(id: string): Promise<boolean> {
  return loud(() => api.messages.deleteMessage({ id, requestId: crypto.randomUUID() }));
}

export async function react(msg: Msg, emoji: string): Promise<void> {
  const mine = msg.reactions.find((r) => r.accounts.includes(store.account))?.emoji;
  await loud(async () => {
    const res = await api.messages.react({ id: msg.id, emoji: mine === emoji ? '' : emoji, requestId: crypto.randomUUID() });
    if (res.message) replace(convert.message(res.message));
  });
}

export async function resend(id: string): Promise<void> {
  await loud(async () => {
    const res = await api.messages.resendMessage({ id, requestId: crypto.randomUUID() });
    if (res.message) {
      const msg = convert.message(res.message);
      store.setThread(msg.conversation, (t) => put(t, msg, true));
    }
  });
}

const marks = new Map<string, string>();
export function markRead(conversation: string, message: string): void {
  if (!message || marks.get(conversation) === message || !store.online) return;
  marks.set(conversation, message);
  store.setConvo(conversation, (c) => ({ ...c, unread: 0, readTo: message }));
  void act(() => api.messages.markRead({ conversation, message })).then((fault) => {
    if (fault) marks.delete(conversation);
  });
}

export function markAllRead(): void {
  for (const c of store.chats) if (c.unread > 0 && c.last) markRead(c.name, c.last.id);
}

export async function addPerson(who: string, petname: string): Promise<{ account: string; fault: string | null }> {
  let account = '';
  const fault = await act(async () => {
    const res = await api.people.addContact({ who, petname, requestId: crypto.randomUUID() });
    if (!res.contact) return;
    account = res.contact.account;
    store.setPerson(convert.person(res.contact));
    store.setConvo(conversationOf(account), (c) => ({ ...c, request: false }));
  });
  return { account, fault };
}

export async function updatePerson(account: string, change: { petname?: string; trusted?: boolean; verified?: boolean }): Promise<boolean> {
  return loud(async () => {
    const res = await api.people.updateContact({ account, ...change });
    if (res.contact) store.setPerson(convert.person(res.contact));
  });
}

export async function removePerson(account: string, said: string): Promise<boolean> {
  const was = store.people.get(account);
  const ok = await loud(() => api.people.removeContact({ account }));
  if (!ok) return false;
  store.dropPerson(account);
  const undo = was?.added ? () => void addPerson(account, was.petname) : undefined;
  ui.toast(said, undo);
  return true;
}

function setBlocked(account: string, blocked: boolean): void {
  const p = store.people.get(account);
  if (p) store.setPerson({ ...p, blocked });
  store.setConvo(conversationOf(account), (c) => ({ ...c, blocked }));
}

export async function block(account: string): Promise<boolean> {
  const ok = await loud(() => api.people.block({ account }));
  if (!ok) return false;
  setBlocked(account, true);
  ui.toast(words.person.blocked(store.nameOf(account)), () => void unblock(account, false));
  return true;
}

export async function unblock(account: string, tell = true): Promise<boolean> {
  const ok = await loud(() => api.people.unblock({ account }));
  if (!ok) return false;
  setBlocked(account, false);
  if (tell) ui.toast(words.person.unblocked(store.nameOf(account)));
  return true;
}

export async function setProfile(change: { displayName?: string; readReceipts?: boolean }): Promise<string | null> {
  return act(async () => {
    const res = await api.identity.setProfile(change);
    store.setProfile(res.displayName, res.readReceipts);
  });
}

export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    ui.say(words.thread.copied);
  } catch {
    ui.toast(text);
  }
}
