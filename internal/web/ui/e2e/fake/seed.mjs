// Fills a pretend node with people and words, for screenshots.
import { FakeNode, accountId } from './node.mjs';

const MIN = 60_000;
const DAY = 24 * 60 * MIN;

export function seeded(now = Date.now()) {
  const n = new FakeNode('sam');
  const people = {
    maya: { displayName: 'Maya', online: true, verified: now - 9 * DAY }, ravi: { displayName: 'Ravi', petname: 'Ravi (climbing)', online: true },
    ana: { displayName: 'Ana' }, noor: { displayName: 'نور' }, lee: { displayName: 'lee' }, tomas: { displayName: 'Tomás Ó Briain' },
  };
  const id = {};
  for (const [key, p] of Object.entries(people)) {
    id[key] = accountId('seed/' + key);
    n.people.set(id[key], { added: now - 40 * DAY, devices: [accountId('seed/d/' + key)], ...p });
  }
  const stranger = accountId('seed/zed');
  n.people.set(stranger, { displayName: 'zed', request: true, devices: [] });
  const say = (who, ago, text, more = {}) => n.add(id[who] ?? who, { text, time: now - ago, delivery: 'DELIVERED', words: 'Delivered', ...more });
  const mine = (who, ago, text, more = {}) => say(who, ago, text, { own: true, ...more });

  say('lee', 6 * DAY, 'Sent you the recipe, the one with the burnt butter');
  mine('lee', 6 * DAY - 4 * MIN, 'Legend. Making it on Sunday');
  mine('tomas', 3 * DAY, 'Your parcel is still here, come by any time', { delivery: 'EXPIRED', words: 'Not delivered by 6 Dec. Send again?' });
  say('noor', 2 * DAY, 'مرحبا، هل وصلتك الصور من الرحلة؟');
  mine('noor', 2 * DAY - 2 * MIN, 'نعم وصلت، شكراً! I put them on https://photos.example.org/trip');
  say('ana', 26 * 60 * MIN, 'See you at nine then');
  mine('ana', 26 * 60 * MIN - MIN, 'ok, bringing the map', { delivery: 'HELD', words: 'Kept by 12 others' });

  say('maya', DAY + 190 * MIN, 'Morning! Did the boat people write back?');
  mine('maya', DAY + 180 * MIN, 'They did. Two cabins, Thursday to Sunday, and they want to know about food.');
  mine('maya', DAY + 179 * MIN, 'I said we cook.');
  say('maya', DAY + 176 * MIN, 'Perfect 🎉 I will ask Ravi about the stove, he took one to Norway last year and would not stop talking about it');
  const q = say('maya', 96 * MIN, 'So: is the harbour open in November? The page says until the 15th, but Ana was told the whole month.');
  mine('maya', 92 * MIN, 'Whole month, I called. https://harbour.example.com/opening-hours has the old text.', { replyTo: q.id });
  const plan = say('maya', 90 * MIN, 'Good. Then this is the plan:\n\n1. Train at 7:12, coach 4\n2. Ferry, we walk on\n3. Keys are under the third light on the left');
  plan.reactions.set(n.account, '👍');
  plan.reactions.set(id.maya, '🔥');
  const ed = mine('maya', 61 * MIN, 'I have the tickets for all four of us, printed even', { edited: now - 60 * MIN, delivery: 'READ', words: 'Read by Maya' });
  n.history.set(ed.id, [{ ...ed, text: 'I have the tickets for all five of us', edited: 0 }]);
  say('maya', 24 * MIN, 'Four is right. Zed cannot come');
  const gone = say('maya', 23 * MIN, 'x');
  gone.deleted = true;
  mine('maya', 12 * MIN, 'Sad, but more soup for us', {});
  mine('maya', 2 * MIN, 'Do we need the big tent?', { delivery: 'SENT', words: 'Sent to 2 peers' });
  n.read.set('people/' + id.maya, n.messages.at(-1).id);

  say('ravi', 55 * MIN, 'Stove packed');
  say('ravi', 9 * MIN, 'Also look at this name: pay\u202Epal and this https://xn--pypal-4ve.com/login, somebody sent it to my mother');
  say('ravi', 8 * MIN, 'Be careful out there');
  for (const [who, ago] of [['ana', 0], ['noor', 0], ['lee', 0], ['tomas', 0]]) {
    void ago;
    n.read.set('people/' + id[who], n.messages.filter((m) => m.conversation === 'people/' + id[who]).at(-1).id);
  }
  n.read.set('people/' + id.ravi, n.messages.find((m) => m.text === 'Stove packed').id);
  n.drafts.set('people/' + id.ana, 'Do you still have the');
  say(stranger, 30 * MIN, 'Hi sam, Maya gave me your id. I have a question about the boat, see http://boat.example.net');
  return { node: n, id, stranger };
}

// long adds a conversation of many messages, for scrolling.
export function long(node, account, count, now = Date.now()) {
  for (let i = 0; i < count; i++) {
    node.add(account, {
      text: `line ${i + 1}` + (i % 7 === 0 ? '\nwith a second line' : ''), own: i % 3 === 0, time: now - (count - i) * 4 * MIN, delivery: 'DELIVERED', words: 'Delivered',
    });
  }
  node.read.set('people/' + account, node.messages.filter((m) => m.conversation === 'people/' + account).at(-1).id);
}
