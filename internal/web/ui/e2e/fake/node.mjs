// A pretend node for developing the page: state in memory, the API's answers
// as JSON, and a log that Watch follows by cursor. It is no measure of the
// real node; the same e2e scripts run against real ones.
import { createHash, randomBytes } from 'node:crypto';
import { picture } from './picture.mjs';

const base58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
export const accountId = (seed) =>
  '12D3KooW' + [...createHash('sha512').update(seed).digest()].slice(0, 44).map((b) => base58[b % 58]).join('');
const stamp = (ms) => new Date(ms).toISOString();
const ORDER = ['QUEUED', 'SENT', 'HELD', 'DELIVERED', 'READ'];

export class ApiError extends Error {
  constructor(code, reason, message, retryMs = 0) {
    super(message);
    Object.assign(this, { code, reason, retryMs });
  }
}

export class FakeNode {
  constructor(name, seed = name) {
    this.account = accountId(seed);
    this.device = accountId(seed + '/device');
    this.name = name;
    this.receipts = false;
    this.people = new Map(); // account -> contact
    this.messages = []; // in causal order
    this.history = new Map(); // message id -> earlier texts
    this.read = new Map(); // conversation -> message id
    this.drafts = new Map();
    this.blocks = new Set();
    this.answers = new Map(); // request id -> answer
    this.links = new Map(); // account -> FakeNode that can be reached
    this.log = [];
    this.watchers = new Set();
    this.pulse = { code: 'NET-05', text: 'Connected to 11 others, 2 of your people are here', hint: '' };
    this.cooling = [];
    this.burst = Infinity;
  }

  emit(what) {
    this.log.push(what);
    for (const wake of this.watchers) wake();
  }
  cursor(n = this.log.length) {
    return `7-${n}`;
  }

  // ---- what the page sees ----
  message(m) {
    return {
      id: m.id, conversation: m.conversation, author: m.author, authorName: this.nameOf(m.author), device: m.device, own: m.author === this.account,
      time: stamp(m.time), received: stamp(m.received), text: m.deleted ? '' : m.text, replyTo: m.replyTo || '',
      ...(m.edited ? { edited: stamp(m.edited) } : {}), deleted: !!m.deleted,
      reactions: [...m.reactions].reduce((out, [account, emoji]) => {
        const r = out.find((x) => x.emoji === emoji);
        if (r) r.accounts.push(account);
        else out.push({ emoji, accounts: [account] });
        return out;
      }, []),
      ...(m.author === this.account ? { delivery: 'DELIVERY_' + m.delivery, deliveryReason: m.reason || '', deliveryText: m.words || '' } : {}),
    };
  }
  nameOf(account) {
    const p = this.people.get(account);
    return p?.petname || p?.displayName || '';
  }
  contact(account) {
    const p = this.people.get(account);
    return p && {
      account, petname: p.petname || '', displayName: p.displayName || '', state: p.request ? 'CONTACT_STATE_REQUEST' : 'CONTACT_STATE_ADDED',
      trusted: !!p.trusted, ...(p.verified ? { verified: stamp(p.verified) } : {}), added: stamp(p.added || Date.now()),
      blocked: this.blocks.has(account), online: !!p.online, devices: p.devices || [],
    };
  }
  conversation(name) {
    const account = name.slice('people/'.length);
    const msgs = this.messages.filter((m) => m.conversation === name);
    const readAt = msgs.findIndex((m) => m.id === this.read.get(name));
    const last = msgs.at(-1);
    return {
      name, title: this.nameOf(account), account, ...(last ? { last: this.message(last) } : {}),
      unread: msgs.slice(readAt + 1).filter((m) => m.author !== this.account).length, readTo: this.read.get(name) || '',
      draft: this.drafts.get(name) || '', request: !!this.people.get(account)?.request, blocked: this.blocks.has(account),
    };
  }
  conversations() {
    return [...new Set([...this.messages.map((m) => m.conversation), ...this.drafts.keys()])].map((c) => this.conversation(c));
  }
  find(id) {
    const m = this.messages.find((x) => x.id === id || (id.length >= 4 && x.id.startsWith(id)));
    if (!m) throw new ApiError('not_found', 'NOT_FOUND', 'no such message');
    return m;
  }

  // ---- writing ----
  insert(m) {
    let i = this.messages.length;
    while (i > 0 && this.messages[i - 1].time > m.time) i--;
    this.messages.splice(i, 0, m);
    this.emit(() => ({ messageAdded: this.message(m) }));
  }
  add(account, { text, own = false, time = Date.now(), replyTo = '', delivery = 'QUEUED', words = '', received = time, ...rest }) {
    const m = {
      id: randomBytes(32).toString('hex'), conversation: 'people/' + account, author: own ? this.account : account, device: this.device,
      time, received, text, replyTo, delivery, words, reactions: new Map(), ...rest,
    };
    this.insert(m);
    return m;
  }
  changed(m) {
    this.emit(() => ({ messageChanged: this.message(m) }));
  }
  advance(m, state, words) {
    if (ORDER.indexOf(state) <= ORDER.indexOf(m.delivery) && ORDER.includes(m.delivery)) return;
    m.delivery = state;
    m.words = words;
    this.changed(m);
  }

  send(m) {
    const account = m.conversation.slice('people/'.length);
    const peer = this.links.get(account);
    if (!peer) {
      m.words = `No address known for ${this.nameOf(account) || 'them'} yet`;
      return;
    }
    setTimeout(() => this.advance(m, 'SENT', 'Sent to 1 peer'), 60);
    setTimeout(() => {
      if (!peer.receive(this, m)) return;
      this.advance(m, 'DELIVERED', 'Delivered');
    }, 140);
  }
  receive(from, m) {
    if (this.blocks.has(from.account)) return false;
    if (!this.people.has(from.account)) {
      this.people.set(from.account, { displayName: from.name, request: true, online: true, devices: [from.device] });
      this.emit(() => ({ contactChanged: this.contact(from.account) }));
    }
    this.links.set(from.account, from);
    this.insert({ ...m, conversation: 'people/' + from.account, received: Date.now(), reactions: new Map(), peer: m });
    return true;
  }
  mirror(m, fn) {
    const peer = this.links.get(m.conversation.slice('people/'.length));
    const twin = peer?.messages.find((x) => x.id === m.id);
    if (!twin) return;
    fn(twin, peer);
    peer.changed(twin);
  }

  once(requestId, fn) {
    if (requestId && this.answers.has(requestId)) return this.answers.get(requestId);
    const answer = fn();
    if (requestId) this.answers.set(requestId, answer);
    return answer;
  }
  person(account) {
    if (!this.people.has(account)) throw new ApiError('not_found', 'NOT_FOUND', 'no such contact');
    return this.people.get(account);
  }
  qr(text) {
    return picture(text).toString('base64');
  }
}
