// The calls of the API as the pretend node answers them.
import { createHash } from 'node:crypto';
import { accountId, ApiError } from './node.mjs';

const MAX_TEXT = 4096;
const idOf = (text) => {
  const m = /^(?:parley:id\/|parley:i\/)?(12D3KooW[1-9A-HJ-NP-Za-km-z]{44})(?:\?.*)?$/.exec(text.trim());
  if (!m) throw new ApiError('invalid_argument', 'INVALID', 'That is not a Parley id or link. Check for a missing character.');
  return m[1];
};
const deviceRow = (m) => ({
  device: accountId(m.conversation + '/phone'), delivery: 'DELIVERY_' + m.delivery, text: m.words || '', time: new Date(m.time + 900).toISOString(),
  receipt: ['DELIVERED', 'READ'].includes(m.delivery) ? 'cmVjZWlwdA==' : '', attempts: 1,
});

export const calls = {
  'IdentityService/GetIdentity': (n) => ({
    account: n.account, device: n.device, displayName: n.name, link: 'parley:id/' + n.account, linkQrPng: n.qr(n.account), readReceipts: n.receipts, devices: [n.device],
  }),
  'IdentityService/SetProfile': (n, q) => {
    if (q.displayName !== undefined) n.name = q.displayName.replace(/\s+/g, ' ').trim();
    if (q.readReceipts !== undefined) n.receipts = q.readReceipts;
    n.emit(() => ({ profileChanged: { account: n.account, displayName: n.name, readReceipts: n.receipts } }));
    return { displayName: n.name, readReceipts: n.receipts };
  },
  'IdentityService/GetPhrase': () => ({
    phrase: 'river lantern amber quiet harbor slender maple ribbon copper meadow violin cedar tunnel orbit gentle fabric winter pebble candle mirror autumn rocket velvet anchor',
  }),
  'IdentityService/CreateInvite': (n) => ({
    link: `parley:i/${n.account}?a=${createHash('sha256').update(n.account).digest('base64url')}`, qrPng: n.qr(n.account + 'i'), expires: new Date(Date.now() + 7 * 864e5).toISOString(),
  }),
  'IdentityService/GetSafetyNumber': (n, q) => {
    const seed = [n.account, q.account].sort().join();
    let digits = '';
    for (let i = 0; digits.length < 60; i++) digits += BigInt('0x' + createHash('sha256').update(seed + i).digest('hex')).toString().slice(-30);
    const v = n.people.get(q.account)?.verified;
    return { digits: digits.slice(0, 60).match(/.{5}/g).join(' '), qrPng: n.qr(seed), ...(v ? { verified: new Date(v).toISOString() } : {}) };
  },

  'EventService/ReadState': (n) => ({
    cursor: n.cursor(), conversations: n.conversations(), contacts: [...n.people.keys()].map((a) => n.contact(a)), pulse: n.pulse, account: n.account, displayName: n.name,
  }),

  'MessageService/SendMessage': (n, q) => n.once(q.requestId, () => {
    const account = q.conversation.slice('people/'.length);
    if (!q.text) throw new ApiError('invalid_argument', 'INVALID', 'A message needs a text.');
    if (Buffer.byteLength(q.text) > MAX_TEXT) throw new ApiError('invalid_argument', 'TOO_LARGE', 'too long (limit 4 KiB)');
    if (n.blocks.has(account)) throw new ApiError('permission_denied', 'BLOCKED', 'you block this person');
    const m = n.add(account, { text: q.text, own: true, replyTo: q.replyTo, words: 'Waiting for someone to connect' });
    n.send(m);
    return { message: n.message(m), reached: false };
  }),
  'MessageService/EditMessage': (n, q) => {
    const m = n.find(q.id);
    const old = n.history.get(m.id) ?? [];
    n.history.set(m.id, [...old, { ...m, edited: m.edited }]);
    const set = (x) => Object.assign(x, { text: q.text, edited: Date.now() });
    n.mirror(m, (x, peer) => {
      peer.history.set(x.id, [...(peer.history.get(x.id) ?? []), { ...x }]);
      set(x);
    });
    set(m);
    n.changed(m);
    return { message: n.message(m) };
  },
  'MessageService/DeleteMessage': (n, q) => {
    const m = n.find(q.id);
    if (q.validateOnly) return {};
    m.deleted = true;
    n.mirror(m, (x) => (x.deleted = true));
    n.changed(m);
    return {};
  },
  'MessageService/React': (n, q) => {
    const m = n.find(q.id);
    const set = (x) => (q.emoji ? x.reactions.set(n.account, q.emoji) : x.reactions.delete(n.account));
    set(m);
    n.mirror(m, set);
    n.changed(m);
    return { message: n.message(m) };
  },
  'MessageService/ResendMessage': (n, q) => {
    const old = n.find(q.id);
    const m = n.add(old.conversation.slice('people/'.length), { text: old.text, own: true, words: 'Waiting for someone to connect' });
    n.send(m);
    return { message: n.message(m) };
  },
  'MessageService/GetMessage': (n, q) => {
    const m = n.find(q.id);
    return { message: n.message(m), history: (n.history.get(m.id) ?? []).map((x) => n.message(x)) };
  },
  'MessageService/ListMessages': (n, q) => {
    const all = n.messages.filter((m) => m.conversation === q.conversation);
    const end = q.pageToken ? all.findIndex((m) => m.id === q.pageToken) : all.length;
    const start = Math.max(0, end - (q.pageSize || 50));
    return { messages: all.slice(start, end).map((m) => n.message(m)), nextPageToken: start > 0 ? all[start].id : '' };
  },
  'MessageService/SearchMessages': (n, q) => ({
    messages: n.messages.filter((m) => !m.deleted && (!q.conversation || m.conversation === q.conversation) && m.text.toLowerCase().includes(q.query.toLowerCase()))
      .reverse().slice(0, q.pageSize || 20).map((m) => n.message(m)),
  }),
  'MessageService/ExplainMessage': (n, q) => {
    const m = n.find(q.id);
    return { message: n.message(m), devices: m.delivery === 'QUEUED' ? [] : [deviceRow(m)], summary: m.words || '' };
  },
  'MessageService/ListConversations': (n) => ({ conversations: n.conversations() }),
  'MessageService/MarkRead': (n, q) => {
    n.read.set(q.conversation, q.message);
    n.emit(() => ({ conversationChanged: n.conversation(q.conversation) }));
    const peer = n.receipts && n.links.get(q.conversation.slice('people/'.length));
    if (peer && peer.receipts) for (const m of peer.messages) if (m.author === peer.account && m.conversation === 'people/' + n.account) peer.advance(m, 'READ', `Read by ${peer.nameOf(n.account)}`);
    return {};
  },
  'MessageService/SaveDraft': (n, q) => {
    if (q.text) n.drafts.set(q.conversation, q.text);
    else n.drafts.delete(q.conversation);
    n.emit(() => ({ conversationChanged: n.conversation(q.conversation) }));
    return {};
  },

  'PeopleService/ReadInvite': (n, q) => {
    const account = idOf(q.link);
    const peer = FakeNet.get(account);
    return { account, displayName: peer?.name ?? '', signed: q.link.startsWith('parley:i/'), known: n.people.has(account) && !n.people.get(account).request, self: account === n.account };
  },
  'PeopleService/AddContact': (n, q) => n.once(q.requestId, () => {
    const account = idOf(q.who);
    if (account === n.account) throw new ApiError('invalid_argument', 'INVALID', 'This is your own link. Give it to somebody else.');
    const peer = FakeNet.get(account);
    const p = n.people.get(account) ?? { displayName: peer?.name ?? '', online: !!peer, devices: peer ? [peer.device] : [] };
    n.people.set(account, { ...p, request: false, added: Date.now(), petname: q.petname || p.petname || '' });
    if (peer) n.links.set(account, peer);
    n.emit(() => ({ contactChanged: n.contact(account) }));
    return { contact: n.contact(account) };
  }),
  'PeopleService/UpdateContact': (n, q) => {
    const p = n.person(q.account);
    if (q.petname !== undefined) p.petname = q.petname;
    if (q.trusted !== undefined) p.trusted = q.trusted;
    if (q.verified !== undefined) p.verified = q.verified ? Date.now() : 0;
    n.emit(() => ({ contactChanged: n.contact(q.account) }));
    return { contact: n.contact(q.account) };
  },
  'PeopleService/RemoveContact': (n, q) => {
    n.person(q.account);
    n.people.delete(q.account);
    n.emit(() => ({ contactRemoved: q.account }));
    return {};
  },
  'PeopleService/Block': (n, q) => {
    n.blocks.add(q.account);
    n.emit(() => ({ blocked: q.account }));
    return {};
  },
  'PeopleService/Unblock': (n, q) => {
    n.blocks.delete(q.account);
    n.emit(() => ({ unblocked: q.account }));
    return {};
  },
  'PeopleService/ListBlocks': (n) => ({ accounts: [...n.blocks] }),
  'PeopleService/ListContacts': (n) => ({ contacts: [...n.people.keys()].map((a) => n.contact(a)) }),

  'NodeService/GetStatus': (n) => ({
    version: 'pretend', account: n.account, device: n.device, displayName: n.name, pulse: n.pulse, connections: 14, dhtPeers: 41, reachability: 'private',
    queued: n.messages.filter((m) => m.delivery === 'QUEUED' && m.author === n.account).length, dataFolder: '~/.local/share/parley', diskBytes: '4194304', keyInFile: true,
  }),
  'NodeService/Doctor': () => ({
    checks: [
      { name: 'Port', result: 'RESULT_OK', text: '4717 answers' }, { name: 'Clock', result: 'RESULT_OK', text: '40 ms off' },
      { name: 'Network', result: 'RESULT_WARNING', text: 'not reachable from outside', fix: 'Messages still arrive; a relay is used where it must.' },
    ],
  }),
  'MailService/GetMailStatus': () => ({
    keeping: { on: true, text: 'Keeps 214 envelopes in 12 boxes for others', boxes: '12', envelopes: '214', bytes: '1258291', limitBytes: '536870912', sleepers: '3' },
    collecting: { boxes: 4, last: new Date(Date.now() - 3e5).toISOString(), asked: 20, answered: 18, collected: '5' }, waiting: 2, held: 1,
  }),
  'MailService/ListMailHosts': (n) => ({
    hosts: Array.from({ length: 12 }, (_, i) => ({ device: accountId(n.name + '/host/' + i), fromUs: 1, forUs: i % 3, region: i < 9 })),
  }),
  'NetworkService/ListPeers': (n) => ({ peers: [...n.people].filter(([, p]) => p.online).map(([a, p]) => ({ device: p.devices[0] ?? a, account: a, name: p.displayName, transport: 'QUIC', rtt: '0.038s' })) }),
  'NetworkService/FindPeer': (n, q) => ({ devices: [], text: n.people.get(q.who)?.online ? 'Connected directly, 38 ms' : 'No device record found: they have not been online in the last two days.' }),
};

export const FakeNet = new Map(); // account -> FakeNode
