// The page's own words for what the node tells it: plain values, times in
// milliseconds. Everything else in the page speaks these and not protobuf.

export type Delivery =
  | 'none' | 'storing' | 'queued' | 'sent' | 'held' | 'delivered' | 'read' | 'refused' | 'expired' | 'unknown';

export interface Reaction {
  emoji: string;
  accounts: string[];
}

export interface Msg {
  id: string;
  conversation: string;
  author: string;
  authorName: string;
  own: boolean;
  time: number;
  received: number;
  text: string;
  replyTo: string;
  edited: number;
  deleted: boolean;
  reactions: Reaction[];
  delivery: Delivery;
  reason: string;
  words: string;
}

export interface Convo {
  name: string;
  title: string;
  account: string;
  last: Msg | null;
  unread: number;
  readTo: string;
  draft: string;
  request: boolean;
  blocked: boolean;
}

export interface Person {
  account: string;
  petname: string;
  displayName: string;
  request: boolean;
  added: number;
  trusted: boolean;
  verified: number;
  blocked: boolean;
  online: boolean;
  devices: string[];
}

export interface Pulse {
  code: string;
  text: string;
  hint: string;
}

// Pending is a message of ours that the node has not confirmed yet. Its
// request id makes a second try harmless.
export interface Pending {
  requestId: string;
  conversation: string;
  text: string;
  replyTo: string;
  time: number;
  state: 'storing' | 'waiting' | 'refused';
  fault: string;
  // Set when the event stream showed the message before the answer came.
  id: string;
}

export interface Thread {
  messages: Msg[];
  nextToken: string;
  loaded: boolean;
  loading: boolean;
  fault: string;
}

export const MAX_TEXT = 4096; // bytes of UTF-8, as in the node

export const conversationOf = (account: string): string => `people/${account}`;
export const accountOf = (conversation: string): string => conversation.replace(/^people\//, '');

const utf8 = new TextEncoder();
export const byteLength = (text: string): number => utf8.encode(text).length;
