// The one place where the page's state lives. Components read it; apply.ts
// and acts.ts change it.
import type { ReadStateResponse, WatchResponse } from '../gen/parley/api/v1/event_pb';
import { api } from './api';
import { apply, blankSnapshot, type Snapshot } from './apply';
import * as convert from './convert';
import { emptyThread, hereNow, lines, nameIn, present, sortConvos } from './core';
import { Drafts } from './drafts';
import { Feed } from './feed';
import { type Convo, type Msg, type Pending, type Person, type Pulse, type Thread, accountOf, conversationOf } from './model';
import { oneLine } from './text';
import { ui } from './ui.svelte';
import { words } from './words';

// Without the node for this long, who is here is no longer known. A restart
// of the stream takes less.
const DOUBT = 2000;

export type Phase = 'starting' | 'locked' | 'naming' | 'ready';

class Store {
  phase = $state<Phase>('starting');
  usedCode = $state(false);
  account = $state('');
  device = $state('');
  link = $state('');
  linkQr = $state.raw<Uint8Array>(new Uint8Array());
  devices = $state.raw<string[]>([]);
  online = $state(true);
  // Whether what is known about who is here can still be believed.
  private fresh = $state(true);
  unsavedDrafts = $state(0);
  pulse = $state.raw<Pulse>({ code: '', text: '', hint: '' });
  cooling = $state.raw<Map<string, number>>(new Map());
  now = $state(Date.now());
  // The conversation whose newest message is on the screen and looked at.
  reading = '';
  onOnline: (() => void)[] = [];

  private snap = $state.raw<Snapshot>(blankSnapshot());
  private feed: Feed | null = null;
  private running: AbortController | null = null;
  private doubt: ReturnType<typeof setTimeout> | undefined;
  private asking = false;
  private ticker: ReturnType<typeof setInterval> | undefined;

  drafts = new Drafts(
    (conversation, text) => api.messages.saveDraft({ conversation, text }),
    (unsaved) => (this.unsavedDrafts = unsaved),
  );

  get convos(): Map<string, Convo> { return this.snap.convos; }
  get people(): Map<string, Person> { return this.snap.people; }
  get pending(): Pending[] { return this.snap.pending; }
  get name(): string { return this.snap.name; }
  get receipts(): boolean { return this.snap.receipts; }
  thread(conversation: string): Thread { return this.snap.threads.get(conversation) ?? emptyThread(); }

  list = $derived.by(() => sortConvos(lines(this.snap.convos, this.snap.people), (c) => this.nameOf(c.account)));
  chats = $derived(this.list.filter((c) => !c.request && !this.hidden(c)));
  requests = $derived(this.list.filter((c) => c.request && !c.blocked));
  unread = $derived(this.chats.reduce((sum, c) => sum + (c.blocked ? 0 : c.unread), 0));

  // Blocked people without contact leave the list; their messages stay.
  private hidden(c: Convo): boolean {
    return c.blocked && !this.snap.people.get(c.account)?.added;
  }

  nameOf(account: string): string {
    if (account === this.account) return words.you;
    return nameIn(this.snap.people, this.snap.convos, account);
  }
  here(account: string): boolean {
    return hereNow(this.fresh, this.snap.people.get(account), this.snap.convos.get(conversationOf(account)));
  }

  update(fn: (s: Snapshot) => Snapshot): void {
    this.snap = fn(this.snap);
  }
  setThread(conversation: string, fn: (t: Thread) => Thread): void {
    const threads = new Map(this.snap.threads);
    threads.set(conversation, fn(this.thread(conversation)));
    this.snap = { ...this.snap, threads };
  }
  setConvo(name: string, fn: (c: Convo) => Convo): void {
    const c = this.snap.convos.get(name);
    if (!c) return;
    this.snap = { ...this.snap, convos: new Map(this.snap.convos).set(name, fn(c)) };
  }
  setPerson(p: Person): void {
    this.snap = { ...this.snap, people: new Map(this.snap.people).set(p.account, p) };
  }
  dropPerson(account: string): void {
    const people = new Map(this.snap.people);
    people.delete(account);
    this.snap = { ...this.snap, people };
  }
  setPending(fn: (p: Pending[]) => Pending[]): void {
    this.snap = { ...this.snap, pending: fn(this.snap.pending) };
  }
  setProfile(name: string, receipts: boolean): void {
    this.snap = { ...this.snap, name, receipts };
  }

  coolingSeconds(conversation: string): number {
    const until = this.cooling.get(conversation);
    return until ? Math.max(0, Math.ceil((until - this.now) / 1000)) : 0;
  }

  // start follows the node until the session is lost.
  start(): void {
    this.running?.abort();
    this.running = new AbortController();
    this.feed = new Feed(
      {
        readState: (signal) => api.events.readState({}, { signal }),
        watch: (cursor, signal) => api.events.watch({ cursor }, { signal }),
      },
      {
        state: (s, again) => this.fromState(s, again),
        update: (r) => this.fromWatch(r),
        online: (on) => this.setOnline(on),
        lost: () => (this.phase = 'locked'),
      },
    );
    void this.feed.run(this.running.signal);
  }

  hold(on: boolean): void {
    this.feed?.hold(on);
  }

  reconnect(): void {
    this.feed?.hurry();
  }

  private setOnline(on: boolean): void {
    if (this.online === on) return;
    this.online = on;
    clearTimeout(this.doubt);
    if (!on) this.doubt = setTimeout(() => (this.fresh = false), DOUBT);
    else for (const fn of this.onOnline) fn();
  }

  // askPresence asks who is here: the log of events does not say who came and
  // went. Until the answer after a loss nobody is shown as here.
  private async askPresence(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    try {
      const { contacts } = await api.people.listContacts({});
      this.snap = { ...this.snap, people: present(this.snap.people, contacts.map(convert.person)) };
      this.fresh = this.online;
    } catch {
      // The stream says soon enough that the node is gone.
    }
    this.asking = false;
  }

  private fromState(s: ReadStateResponse, again: boolean): void {
    const threads = new Map(this.snap.threads);
    // After a lost cursor what is shown may be stale: load it anew.
    if (again) for (const [k, t] of threads) threads.set(k, { ...t, loaded: false });
    this.snap = {
      ...this.snap,
      threads,
      convos: new Map(s.conversations.map((c) => [c.name, convert.conversation(c)])),
      people: new Map(s.contacts.map((c) => [c.account, convert.person(c)])),
      name: s.displayName,
    };
    this.account = s.account;
    if (s.pulse) this.pulse = convert.pulse(s.pulse);
  }

  private fromWatch(r: WatchResponse): void {
    if (r.events.length > 0) {
      const { state, arrived } = apply(this.snap, r.events, this.reading);
      this.snap = state;
      this.announce(arrived);
    }
    if (r.pulse) this.pulse = convert.pulse(r.pulse);
    // A greeting, a new pulse or a beat: somebody may have come or gone.
    if (r.events.length === 0) void this.askPresence();
    // An empty list cannot be told from no news; a countdown ends by itself.
    if (r.cooling.length > 0) {
      this.setCooling(new Map(r.cooling.map((c) => [c.conversation, Date.now() + convert.lasting(c.retryAfter)])));
    }
  }

  setCooling(map: Map<string, number>): void {
    this.cooling = map;
    this.now = Date.now();
    clearInterval(this.ticker);
    if (map.size === 0) return;
    this.ticker = setInterval(() => {
      this.now = Date.now();
      if ([...this.cooling.values()].every((t) => t <= this.now)) {
        clearInterval(this.ticker);
        this.cooling = new Map();
      }
    }, 250);
  }

  // announce tells a screen reader what is new, in one sentence per batch.
  private announce(arrived: Msg[]): void {
    const last = arrived.at(-1);
    if (!last || this.snap.convos.get(last.conversation)?.blocked) return;
    const who = this.nameOf(accountOf(last.conversation));
    const same = arrived.filter((m) => m.conversation === last.conversation).length;
    ui.say(same > 1 ? words.thread.burst(same, who) : words.thread.arrived(who, oneLine(last.text)));
  }
}

export const store = new Store();
