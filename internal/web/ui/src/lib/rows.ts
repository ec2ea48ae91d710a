// Turns the messages of a thread into the rows of the timeline.
import type { Msg } from './model';
import { dayKey } from './time';

export type Row =
  | { kind: 'day'; key: string; time: number }
  | { kind: 'new'; key: string }
  | { kind: 'msg'; key: string; msg: Msg; head: boolean };

// A new heading, with its time, this long after the last one, even by the
// same author.
const PAUSE = 5 * 60_000;

// rows puts a day line where the day changes, one line before the first
// message that is new, and a heading where author or moment change.
export function rows(messages: Msg[], newAfter: string | null): Row[] {
  const out: Row[] = [];
  let before: Msg | null = null;
  let headed = 0;
  let day = '';
  const readAt = newAfter ? messages.findIndex((m) => m.id === newAfter) : -1;
  let marked = newAfter === null || (newAfter !== '' && readAt < 0);
  messages.forEach((msg, i) => {
    const today = dayKey(msg.time);
    let head = !before || before.author !== msg.author || msg.time - headed > PAUSE;
    if (today !== day) {
      out.push({ kind: 'day', key: `day-${today}-${msg.id}`, time: msg.time });
      day = today;
      head = true;
    }
    if (!marked && i > readAt && !msg.own) {
      out.push({ kind: 'new', key: 'new' });
      marked = true;
      head = true;
    }
    if (msg.replyTo) head = true;
    if (head) headed = msg.time;
    out.push({ kind: 'msg', key: msg.id, msg, head });
    before = msg;
  });
  return out;
}
