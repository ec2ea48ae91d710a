import { Code, ConnectError } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { WatchResponse } from '../src/gen/parley/api/v1/event_pb';
import { Feed, type Sink, type Source } from '../src/lib/feed';
import { added, readState, watch } from './make';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

// errorInfo is a google.rpc.ErrorInfo with a short reason.
const errorInfo = (reason: string) => ({ type: 'google.rpc.ErrorInfo', value: new Uint8Array([0x0a, reason.length, ...new TextEncoder().encode(reason)]) });
const failure = (code: Code, reason = '') => {
  const e = new ConnectError('x', code);
  if (reason) e.details.push(errorInfo(reason));
  return e;
};

// A scripted node: each watch plays its answers, then fails or hangs.
function script(plays: (WatchResponse | Error | 'hang')[][]) {
  const seen: string[] = [];
  const log: string[] = [];
  let states = 0;
  const source: Source = {
    readState: () => Promise.resolve(readState(`s${++states}`)),
    watch: async function* (cursor, signal) {
      seen.push(cursor);
      for (const play of plays[seen.length - 1] ?? ['hang']) {
        if (play instanceof Error) throw play;
        if (play === 'hang') await new Promise((_, no) => signal.addEventListener('abort', () => no(new ConnectError('aborted', Code.Canceled))));
        else yield play;
      }
    },
  };
  const sink: Sink = {
    state: (s, again) => log.push(`state ${s.cursor}${again ? ' again' : ''}`),
    update: (r) => log.push(...r.events.map((e) => (e.what.case === 'messageAdded' ? e.what.value.id : '?'))),
    online: (on) => log.push(on ? 'on' : 'off'),
    lost: () => log.push('lost'),
  };
  return { feed: new Feed(source, sink), seen, log };
}

async function play(s: ReturnType<typeof script>, ms: number) {
  const stop = new AbortController();
  const done = s.feed.run(stop.signal);
  await vi.advanceTimersByTimeAsync(ms);
  stop.abort();
  await done;
}

describe('feed', () => {
  it('reads the state once and resumes by the last cursor', async () => {
    const s = script([
      [watch('s1', [], true), watch('c2', [added('m1', 1), added('m2', 2)]), new Error('cut')],
      [watch('c2', [], true), watch('c3', [added('m3', 3)])],
    ]);
    await play(s, 1500);
    expect(s.seen.slice(0, 2)).toEqual(['s1', 'c2']);
    expect(s.log.filter((x) => /^m|state/.test(x))).toEqual(['state s1', 'm1', 'm2', 'm3']);
    expect(s.log).toContain('off');
  });
  it('reads the state again when the cursor is of another store', async () => {
    const s = script([[failure(Code.OutOfRange, 'CURSOR_EXPIRED')], ['hang']]);
    await play(s, 1500);
    expect(s.log.filter((x) => x.startsWith('state'))).toEqual(['state s1', 'state s2 again']);
    expect(s.seen).toEqual(['s1', 's2']);
  });
  it('stops for good when the session is over', async () => {
    const s = script([[failure(Code.Unauthenticated)]]);
    await play(s, 60_000);
    expect(s.log.at(-1)).toBe('lost');
    expect(s.seen).toHaveLength(1);
  });
  it('notices a connection that is silent beyond two beats', async () => {
    const s = script([[watch('c1', [], true), 'hang'], ['hang']]);
    await play(s, 40_000);
    expect(s.seen).toEqual(['s1', 'c1']);
  });
  it('steps aside without a word and goes on from its place', async () => {
    const s = script([[watch('c1', [added('m1', 1)], true), 'hang'], [watch('c2', [added('m2', 2)]), 'hang']]);
    const stop = new AbortController();
    const done = s.feed.run(stop.signal);
    await vi.advanceTimersByTimeAsync(10);
    s.feed.hold(true);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(s.seen).toEqual(['s1']);
    expect(s.log).not.toContain('off');
    s.feed.hold(false);
    await vi.advanceTimersByTimeAsync(10);
    expect(s.seen).toEqual(['s1', 'c1']);
    expect(s.log.filter((x) => x.startsWith('m'))).toEqual(['m1', 'm2']);
    stop.abort();
    await done;
  });
  it('waits longer after each failure, and at once when hurried', async () => {
    const s = script(Array.from({ length: 50 }, () => [new Error('down')]));
    const stop = new AbortController();
    const done = s.feed.run(stop.signal);
    await vi.advanceTimersByTimeAsync(20_000);
    const slow = s.seen.length;
    expect(slow).toBeLessThan(12);
    s.feed.hurry();
    await vi.advanceTimersByTimeAsync(1);
    expect(s.seen.length).toBe(slow + 1);
    stop.abort();
    await done;
  });
});
