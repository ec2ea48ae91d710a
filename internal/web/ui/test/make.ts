// Builders for tests.
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { EventSchema, type Event, WatchResponseSchema, ReadStateResponseSchema } from '../src/gen/parley/api/v1/event_pb';
import { ContactSchema, ContactState, ConversationSchema, Delivery, MessageSchema } from '../src/gen/parley/api/v1/types_pb';
import type { Msg } from '../src/lib/model';

export const BO = 'people/bo';

export const wire = (id: string, time: number, more: Partial<{ text: string; own: boolean; delivery: Delivery; conversation: string }> = {}) =>
  create(MessageSchema, { id, conversation: BO, author: more.own ? 'me' : 'bo', text: id, time: timestampFromMs(time), received: timestampFromMs(time), ...more });

export const added = (...a: Parameters<typeof wire>): Event => create(EventSchema, { what: { case: 'messageAdded', value: wire(...a) } });
export const changed = (...a: Parameters<typeof wire>): Event => create(EventSchema, { what: { case: 'messageChanged', value: wire(...a) } });
export const convo = (unread: number, readTo = ''): Event =>
  create(EventSchema, { what: { case: 'conversationChanged', value: create(ConversationSchema, { name: BO, account: 'bo', unread, readTo }) } });
export const contact = (account: string, state: ContactState, displayName = ''): Event =>
  create(EventSchema, { what: { case: 'contactChanged', value: create(ContactSchema, { account, state, displayName }) } });
export const event = (what: Event['what']): Event => create(EventSchema, { what });

export const watch = (cursor: string, events: Event[] = [], greeting = false) => create(WatchResponseSchema, { cursor, events, greeting });
export const readState = (cursor: string) => create(ReadStateResponseSchema, { cursor, account: 'me' });

export const msg = (id: string, time: number, more: Partial<Msg> = {}): Msg => ({
  id, conversation: BO, author: more.own ? 'me' : 'bo', authorName: '', own: false, time, received: time, text: id, replyTo: '', edited: 0,
  deleted: false, reactions: [], delivery: 'none', reason: '', words: '', ...more,
});
