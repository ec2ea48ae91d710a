// From the generated API types to the page's own words.
import type { Timestamp, Duration } from '@bufbuild/protobuf/wkt';
import {
  ContactState,
  Delivery as WireDelivery,
  type Contact,
  type Conversation,
  type Message,
  type Pulse as WirePulse,
} from '../gen/parley/api/v1/types_pb';
import type { Convo, Delivery, Msg, Person, Pulse } from './model';

export const millis = (t?: Timestamp): number => (t ? Number(t.seconds) * 1000 + Math.floor(t.nanos / 1e6) : 0);
export const lasting = (d?: Duration): number => (d ? Number(d.seconds) * 1000 + Math.floor(d.nanos / 1e6) : 0);

const deliveries: Record<number, Delivery> = {
  [WireDelivery.UNSPECIFIED]: 'none',
  [WireDelivery.QUEUED]: 'queued',
  [WireDelivery.SENT]: 'sent',
  [WireDelivery.HELD]: 'held',
  [WireDelivery.DELIVERED]: 'delivered',
  [WireDelivery.READ]: 'read',
  [WireDelivery.REFUSED]: 'refused',
  [WireDelivery.EXPIRED]: 'expired',
};
export const delivery = (d: WireDelivery): Delivery => deliveries[d] ?? 'unknown';

export const message = (m: Message): Msg => ({
  id: m.id,
  conversation: m.conversation,
  author: m.author,
  authorName: m.authorName,
  own: m.own,
  time: millis(m.time),
  received: millis(m.received),
  text: m.text,
  replyTo: m.replyTo,
  edited: millis(m.edited),
  deleted: m.deleted,
  reactions: m.reactions.map((r) => ({ emoji: r.emoji, accounts: [...r.accounts] })),
  delivery: delivery(m.delivery),
  reason: m.deliveryReason,
  words: m.deliveryText,
});

export const conversation = (c: Conversation): Convo => ({
  name: c.name,
  title: c.title,
  account: c.account,
  last: c.last ? message(c.last) : null,
  unread: c.unread,
  readTo: c.readTo,
  draft: c.draft,
  request: c.request,
  blocked: c.blocked,
});

export const person = (c: Contact): Person => ({
  account: c.account,
  petname: c.petname,
  displayName: c.displayName,
  request: c.state === ContactState.REQUEST,
  added: c.state === ContactState.ADDED ? millis(c.added) || 1 : 0,
  trusted: c.trusted,
  verified: millis(c.verified),
  blocked: c.blocked,
  online: c.online,
  devices: [...c.devices],
});

export const pulse = (p: WirePulse): Pulse => ({ code: p.code, text: p.text, hint: p.hint });
