// Applies a batch of events to the state. Pure: tests feed it event lists.
import type { Event } from '../gen/parley/api/v1/event_pb';
import * as convert from './convert';
import { adopt, arrive, change, emptyThread, put, titled } from './core';
import type { Convo, Msg, Pending, Person, Thread } from './model';
import { conversationOf } from './model';

export interface Snapshot {
  convos: Map<string, Convo>;
  people: Map<string, Person>;
  threads: Map<string, Thread>;
  pending: Pending[];
  name: string;
  receipts: boolean;
}

export const blankSnapshot = (): Snapshot => ({
  convos: new Map(), people: new Map(), threads: new Map(), pending: [], name: '', receipts: false,
});

export interface Applied {
  state: Snapshot;
  arrived: Msg[]; // others' messages that are new, for the announcer
}

// apply goes through the events in log order. reading names the conversation
// whose end is on the screen: its messages do not count as unread.
export function apply(before: Snapshot, events: Event[], reading: string): Applied {
  const s: Snapshot = {
    ...before,
    convos: new Map(before.convos),
    people: new Map(before.people),
    threads: new Map(before.threads),
  };
  const arrived: Msg[] = [];
  const touch = (msg: Msg, added: boolean) => {
    const t = s.threads.get(msg.conversation);
    if (t) s.threads.set(msg.conversation, put(t, msg, added));
  };
  const withPerson = (account: string, fn: (p: Person) => Person) => {
    const p = s.people.get(account);
    if (p) s.people.set(account, fn(p));
  };
  const setBlocked = (account: string, blocked: boolean) => {
    withPerson(account, (p) => ({ ...p, blocked }));
    const c = s.convos.get(conversationOf(account));
    if (c) s.convos.set(c.name, { ...c, blocked });
  };
  for (const { what } of events) {
    switch (what.case) {
      case 'messageAdded': {
        const msg = convert.message(what.value);
        const known = s.convos.get(msg.conversation)?.last?.id === msg.id;
        s.pending = adopt(s.pending, msg);
        touch(msg, true);
        s.convos.set(msg.conversation, arrive(s.convos.get(msg.conversation), msg, reading === msg.conversation));
        if (!msg.own && !known) arrived.push(msg);
        break;
      }
      case 'messageChanged': {
        const msg = convert.message(what.value);
        touch(msg, false);
        const c = change(s.convos.get(msg.conversation), msg);
        if (c) s.convos.set(c.name, c);
        break;
      }
      case 'conversationChanged': {
        const c = convert.conversation(what.value);
        s.convos.set(c.name, c);
        break;
      }
      case 'contactChanged': {
        const p = convert.person(what.value);
        s.people.set(p.account, p);
        const c = s.convos.get(conversationOf(p.account));
        if (c) s.convos.set(c.name, { ...titled(c, p.petname || p.displayName), request: p.request, blocked: p.blocked });
        break;
      }
      case 'contactRemoved':
        s.people.delete(what.value);
        break;
      case 'blocked':
        setBlocked(what.value, true);
        break;
      case 'unblocked':
        setBlocked(what.value, false);
        break;
      case 'profileChanged':
        s.name = what.value.displayName;
        s.receipts = what.value.readReceipts;
        break;
      default: // a newer node may say more than this page knows
    }
  }
  return { state: s, arrived };
}

export const threadOf = (s: Snapshot, conversation: string): Thread => s.threads.get(conversation) ?? emptyThread();
