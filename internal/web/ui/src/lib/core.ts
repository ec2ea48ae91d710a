// The state of the page as plain values, and the functions that change it.
// They never mutate what they are given, so the same event applied twice
// gives the same state: after a reconnect nothing shows double.
import type { Convo, Msg, Pending, Person, Thread } from './model';
import { accountOf, conversationOf } from './model';
import { notBack } from './delivery';
import { shortId } from './hue';
import { cleanName } from './text';

export const emptyThread = (): Thread => ({ messages: [], nextToken: '', loaded: false, loading: false, fault: '' });

// merge keeps a delivery state from going back when answers cross events.
export function merge(old: Msg | undefined, now: Msg): Msg {
  if (!old || notBack(old.delivery, now.delivery)) return now;
  return { ...now, delivery: old.delivery, words: old.words, reason: old.reason };
}

// put adds a message in its causal place or replaces it. One older than all
// that is loaded stays out while older pages wait on the node: it comes with
// its page.
export function put(t: Thread, msg: Msg, added: boolean): Thread {
  const at = t.messages.findIndex((m) => m.id === msg.id);
  if (at >= 0) {
    const messages = t.messages.slice();
    messages[at] = merge(messages[at], msg);
    return { ...t, messages };
  }
  if (!added || !t.loaded) return t;
  let i = t.messages.length;
  while (i > 0 && t.messages[i - 1]!.time > msg.time) i--;
  if (i === 0 && t.nextToken && t.messages.length > 0) return t;
  const messages = t.messages.slice();
  messages.splice(i, 0, msg);
  return { ...t, messages };
}

// page adds a page of older messages in front, without those already there.
export function page(t: Thread, older: Msg[], nextToken: string): Thread {
  const known = new Set(t.messages.map((m) => m.id));
  const fresh = older.filter((m) => !known.has(m.id));
  return { ...t, messages: [...fresh, ...t.messages], nextToken, loaded: true, loading: false, fault: '' };
}

// mergePage joins a fresh newest page with events that arrived meanwhile.
export function mergePage(t: Thread, newest: Msg[], nextToken: string): Thread {
  const have = new Map(t.messages.map((m) => [m.id, m]));
  const ids = new Set(newest.map((m) => m.id));
  const last = newest.at(-1)?.time ?? 0;
  const later = t.messages.filter((m) => !ids.has(m.id) && m.time >= last);
  return {
    messages: [...newest.map((m) => merge(have.get(m.id), m)), ...later],
    nextToken, loaded: true, loading: false, fault: '',
  };
}

export const blankConvo = (account: string): Convo => ({
  name: conversationOf(account), title: '', account, last: null, unread: 0, readTo: '', draft: '', request: false, blocked: false,
});

// arrive moves a conversation's last line and unread number for an added
// message. The node's own count replaces it with the next change.
export function arrive(convo: Convo | undefined, msg: Msg, reading: boolean): Convo {
  const c = titled(convo ?? blankConvo(accountOf(msg.conversation)), msg.own ? '' : msg.authorName);
  if (c.last?.id === msg.id) return { ...c, last: merge(c.last, msg) };
  const newest = !c.last || msg.time >= c.last.time;
  return {
    ...c,
    last: newest ? msg : c.last,
    unread: msg.own || reading ? c.unread : c.unread + 1,
  };
}

// titled takes a name that came with a message of theirs, or with the person.
export const titled = (convo: Convo, name: string): Convo => (name && name !== convo.title ? { ...convo, title: name } : convo);

// nameIn: petname over display name over what the conversation is called. An
// id is no name: the node gives its end for a title when it knows nothing.
export function nameIn(people: Map<string, Person>, convos: Map<string, Convo>, account: string): string {
  const p = people.get(account);
  const title = convos.get(conversationOf(account))?.title ?? '';
  return cleanName(p?.petname ?? '') || cleanName(p?.displayName ?? '') || (title.startsWith('…') ? '' : cleanName(title)) || shortId(account);
}

// hereNow: connected now, as far as one may say so. Nobody is here while the
// node is silent, and a blocked person never.
export const hereNow = (fresh: boolean, person: Person | undefined, convo: Convo | undefined): boolean =>
  fresh && !!person?.online && !person.blocked && !convo?.blocked;

// present takes who is connected from a fresh answer and nothing else: the
// rest of a person comes with its events.
export function present(people: Map<string, Person>, now: Person[]): Map<string, Person> {
  const online = new Set(now.filter((p) => p.online).map((p) => p.account));
  if ([...people.values()].every((p) => p.online === online.has(p.account))) return people;
  return new Map([...people].map(([a, p]) => [a, p.online === online.has(a) ? p : { ...p, online: online.has(a) }]));
}

export function change(convo: Convo | undefined, msg: Msg): Convo | undefined {
  if (convo && !msg.own) convo = titled(convo, msg.authorName);
  return convo?.last?.id === msg.id ? { ...convo, last: merge(convo.last, msg) } : convo;
}

// settle drops the pending line of a message the node has confirmed.
export const settle = (pending: Pending[], requestId: string): Pending[] => pending.filter((p) => p.requestId !== requestId);

// adopt pairs an own message from the event stream with the pending line it
// came from, when the answer to SendMessage is still on its way.
export function adopt(pending: Pending[], msg: Msg): Pending[] {
  if (!msg.own || pending.some((p) => p.id === msg.id)) return pending;
  const mine = pending.find(
    (p) => !p.id && p.state === 'storing' && p.conversation === msg.conversation && p.text === msg.text && p.replyTo === msg.replyTo,
  );
  return mine ? pending.map((p) => (p === mine ? { ...p, id: msg.id } : p)) : pending;
}

// sortConvos: latest first; people without a message by name at the end.
export function sortConvos(convos: Convo[], nameOf: (c: Convo) => string): Convo[] {
  return convos.slice().sort((a, b) => {
    const at = a.last?.time ?? 0;
    const bt = b.last?.time ?? 0;
    if (at !== bt) return bt - at;
    return nameOf(a).localeCompare(nameOf(b)) || (a.account < b.account ? -1 : 1);
  });
}

// lines is what the list shows: conversations, and people added without one.
export function lines(convos: Map<string, Convo>, people: Map<string, Person>): Convo[] {
  // What we know of the person is newer than what the conversation says.
  const out = [...convos.values()].map((c) => {
    const p = people.get(c.account);
    return p && (p.request !== c.request || p.blocked !== c.blocked) ? { ...c, request: p.request, blocked: p.blocked } : c;
  });
  for (const p of people.values()) {
    if ((p.added || p.request) && !convos.has(conversationOf(p.account))) {
      out.push({ ...blankConvo(p.account), request: p.request, blocked: p.blocked });
    }
  }
  return out;
}
