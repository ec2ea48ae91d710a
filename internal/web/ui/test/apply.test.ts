import { describe, expect, it } from 'vitest';
import { ContactState, Delivery } from '../src/gen/parley/api/v1/types_pb';
import { apply, blankSnapshot, type Snapshot } from '../src/lib/apply';
import { adopt, hereNow, lines, merge, mergePage, nameIn, page, present, put, settle } from '../src/lib/core';
import type { Pending, Person } from '../src/lib/model';
import { added, BO, changed, contact, convo, event, msg } from './make';

const open = (): Snapshot => ({ ...blankSnapshot(), threads: new Map([[BO, { messages: [], nextToken: '', loaded: true, loading: false, fault: '' }]]) });
const ids = (s: Snapshot) => s.threads.get(BO)?.messages.map((m) => m.id);
const run = (s: Snapshot, events: Parameters<typeof apply>[1], reading = '') => apply(s, events, reading).state;

describe('apply', () => {
  it('adds a message to its thread and moves its conversation', () => {
    const s = run(open(), [added('m1', 1000), added('m2', 2000)]);
    expect(ids(s)).toEqual(['m1', 'm2']);
    expect(s.convos.get(BO)).toMatchObject({ unread: 2, last: { id: 'm2' }, account: 'bo' });
  });
  it('shows nothing twice when events repeat after a reconnect', () => {
    const once = run(open(), [added('m1', 1000), added('m2', 2000)]);
    expect(ids(run(once, [added('m1', 1000), added('m2', 2000)]))).toEqual(['m1', 'm2']);
    expect(run(once, [added('m2', 2000)]).convos.get(BO)?.unread).toBe(2);
  });
  it('puts a late arrival in its causal place', () => {
    expect(ids(run(open(), [added('m1', 1000), added('m3', 3000), added('m2', 2000)]))).toEqual(['m1', 'm2', 'm3']);
    expect(run(open(), [added('m3', 3000), added('m2', 2000)]).convos.get(BO)?.last?.id).toBe('m3');
  });
  it('counts neither our own messages nor those that are being read', () => {
    expect(run(open(), [added('m1', 1, { own: true })]).convos.get(BO)?.unread).toBe(0);
    expect(run(open(), [added('m1', 1)], BO).convos.get(BO)?.unread).toBe(0);
  });
  it('takes the count of the node over its own', () => {
    expect(run(open(), [added('m1', 1), convo(0, 'm1')]).convos.get(BO)).toMatchObject({ unread: 0, readTo: 'm1' });
  });
  it('changes a message in place, in the thread and in the list', () => {
    const s = run(open(), [added('m1', 1, { own: true, delivery: Delivery.QUEUED }), changed('m1', 1, { own: true, delivery: Delivery.DELIVERED })]);
    expect(s.threads.get(BO)?.messages).toMatchObject([{ id: 'm1', delivery: 'delivered' }]);
    expect(s.convos.get(BO)?.last?.delivery).toBe('delivered');
  });
  it('never lets a delivery state go back, except to its proof after EXPIRED', () => {
    const s = run(open(), [
      added('m1', 1, { own: true, delivery: Delivery.DELIVERED }), changed('m1', 1, { own: true, delivery: Delivery.SENT }),
      added('m2', 2, { own: true, delivery: Delivery.EXPIRED }), changed('m2', 2, { own: true, delivery: Delivery.DELIVERED }),
    ]);
    expect(s.threads.get(BO)?.messages.map((m) => m.delivery)).toEqual(['delivered', 'delivered']);
  });
  it('does not change what it was given', () => {
    const s = open();
    run(s, [added('m1', 1), contact('bo', ContactState.ADDED)]);
    expect(ids(s)).toEqual([]);
    expect(s.people.size + s.convos.size).toBe(0);
  });
  it('follows contacts, requests, blocks and the profile', () => {
    let s = run(open(), [contact('bo', ContactState.REQUEST, 'Bo'), added('m1', 1)]);
    expect(lines(s.convos, s.people)).toMatchObject([{ account: 'bo', request: true }]);
    s = run(s, [contact('bo', ContactState.ADDED), event({ case: 'blocked', value: 'bo' })]);
    expect(lines(s.convos, s.people)).toMatchObject([{ request: false, blocked: true }]);
    s = run(s, [event({ case: 'unblocked', value: 'bo' }), event({ case: 'contactRemoved', value: 'bo' })]);
    expect(s.people.has('bo')).toBe(false);
    expect(s.convos.get(BO)?.blocked).toBe(false);
  });
  it('passes over kinds it does not know', () => {
    const s = open();
    expect(run(s, [event({ case: undefined })])).toEqual(s);
  });
  it('tells what arrived, once, and only from others', () => {
    const first = apply(open(), [added('m1', 1), added('m2', 2, { own: true })], '');
    expect(first.arrived.map((m) => m.id)).toEqual(['m1']);
    expect(apply(run(open(), [added('m1', 1)]), [added('m1', 1)], '').arrived).toEqual([]);
  });
});

describe('pages', () => {
  const loaded = { messages: [msg('m3', 3), msg('m4', 4)], nextToken: 't', loaded: true, loading: false, fault: '' };
  it('puts older messages in front, without repeats', () => {
    expect(page(loaded, [msg('m1', 1), msg('m2', 2), msg('m3', 3)], '').messages.map((m) => m.id)).toEqual(['m1', 'm2', 'm3', 'm4']);
  });
  it('leaves a very old arrival to the page it belongs to', () => {
    expect(put(loaded, msg('m0', 0), true).messages).toHaveLength(2);
    expect(put({ ...loaded, nextToken: '' }, msg('m0', 0), true).messages[0]?.id).toBe('m0');
  });
  it('keeps what arrived while the newest page was on its way', () => {
    const t = mergePage({ ...loaded, messages: [msg('m5', 5)] }, [msg('m3', 3), msg('m4', 4)], 't2');
    expect(t.messages.map((m) => m.id)).toEqual(['m3', 'm4', 'm5']);
    expect(t).toMatchObject({ nextToken: 't2', loaded: true });
  });
  it('merges by the furthest state', () => {
    expect(merge(msg('a', 1, { delivery: 'read' }), msg('a', 1, { delivery: 'sent', text: 'new' }))).toMatchObject({ delivery: 'read', text: 'new' });
  });
});

describe('pending', () => {
  const p = (requestId: string, text: string): Pending => ({ requestId, conversation: BO, text, replyTo: '', time: 0, state: 'storing', fault: '', id: '' });
  it('pairs an event with the oldest line of the same text, once', () => {
    const twice = adopt(adopt([p('1', 'ok'), p('2', 'ok')], msg('a', 1, { own: true, text: 'ok' })), msg('a', 1, { own: true, text: 'ok' }));
    expect(twice.map((x) => x.id)).toEqual(['a', '']);
    expect(adopt(twice, msg('b', 2, { own: true, text: 'ok' })).map((x) => x.id)).toEqual(['a', 'b']);
  });
  it('does not take another\'s message for ours', () => {
    expect(adopt([p('1', 'ok')], msg('a', 1, { text: 'ok' }))[0]?.id).toBe('');
  });
  it('is gone when the node has answered', () => {
    expect(settle([p('1', 'x'), p('2', 'y')], '1').map((x) => x.requestId)).toEqual(['2']);
  });
});

describe('names', () => {
  const account = '12D3KooWstranger7';
  const name = `people/${account}`;
  const stranger = (authorName: string) => {
    const e = added('m1', 1, { conversation: name });
    if (e.what.case === 'messageAdded') Object.assign(e.what.value, { author: account, authorName });
    return e;
  };
  const called = (s: Snapshot) => nameIn(s.people, s.convos, account);
  it('shows the name that comes with the first message of a stranger', () => {
    expect(called(run(open(), [stranger('')]))).toBe('…\u2060tranger7');
    expect(called(run(open(), [stranger('Ada')]))).toBe('Ada');
  });
  it('shows the name that comes later with the person, and lets ours win', () => {
    const s = run(open(), [stranger(''), contact(account, ContactState.REQUEST, 'Ada')]);
    expect(called(s)).toBe('Ada');
    expect(called(run(s, [event({ case: 'contactRemoved', value: account })]))).toBe('Ada');
    s.people.set(account, { ...s.people.get(account)!, petname: 'Countess' });
    expect(called(s)).toBe('Countess');
  });
  it('takes the title of the conversation, but not the end of an id', () => {
    const titled = (title: string) => nameIn(new Map(), new Map([[name, { name, title, account, last: null, unread: 0, readTo: '', draft: '', request: true, blocked: false }]]), account);
    expect(titled('Ada')).toBe('Ada');
    expect(titled('…tranger7')).toBe('…\u2060tranger7');
  });
});

describe('presence', () => {
  const p = (account: string, online: boolean, blocked = false): Person => ({
    account, petname: '', displayName: '', request: false, added: 1, trusted: false, verified: 0, blocked, online, devices: [],
  });
  it('shows nobody as here while the node is silent, and a blocked person never', () => {
    expect([hereNow(true, p('a', true), undefined), hereNow(false, p('a', true), undefined), hereNow(true, p('a', true, true), undefined), hereNow(true, undefined, undefined)])
      .toEqual([true, false, false, false]);
  });
  it('follows who came and went, and nothing else of an older answer', () => {
    const people = new Map([['a', p('a', true)], ['b', { ...p('b', false), petname: 'Bo' }]]);
    const now = present(people, [p('a', false), p('b', true), p('c', true)]);
    expect([...now.values()].map((x) => [x.account, x.online, x.petname])).toEqual([['a', false, ''], ['b', true, 'Bo']]);
    expect(present(now, [p('b', true)])).toBe(now);
  });
});
