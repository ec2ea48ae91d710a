// Follows the node: the present state once, then every change by cursor.
import type { ReadStateResponse, WatchResponse } from '../gen/parley/api/v1/event_pb';
import { faultOf } from './fault';

// The node speaks at least every 15 s; two and a half silent beats mean that
// the connection is dead though nobody said so.
const SILENCE = 38_000;
const BACKOFF = [250, 500, 1000, 2000, 4000];

export interface Source {
  readState(signal: AbortSignal): Promise<ReadStateResponse>;
  watch(cursor: string, signal: AbortSignal): AsyncIterable<WatchResponse>;
}

export interface Sink {
  state(s: ReadStateResponse, again: boolean): void;
  update(r: WatchResponse): void;
  online(on: boolean): void;
  lost(): void; // the session is over
}

export class Feed {
  // The cursor of what the sink has been given: the whole state of a reader.
  cursor = '';
  private fails = 0;
  private wake: (() => void) | null = null;
  private readBefore = false;
  private held = false;
  private current: AbortController | null = null;

  constructor(private source: Source, private sink: Sink) {}

  // run returns when the signal ends it or the session is lost.
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.held) {
        await this.rest(signal);
        continue;
      }
      try {
        await this.follow(signal);
      } catch (err) {
        if (signal.aborted) return;
        if (this.held) continue;
        const fault = faultOf(err);
        if (fault.kind === 'session') {
          this.sink.lost();
          return;
        }
        if (fault.reason === 'CURSOR_EXPIRED') this.cursor = '';
      }
      if (signal.aborted) return;
      if (this.held) continue;
      this.sink.online(false);
      await this.pause(signal);
    }
  }

  // hurry ends a pause: the reader pressed Reconnect or came back to the tab.
  hurry(): void {
    this.fails = 0;
    this.wake?.();
  }

  // hold steps aside without forgetting the place, and goes on from it.
  hold(on: boolean): void {
    if (this.held === on) return;
    this.held = on;
    if (on) this.current?.abort();
    else this.wake?.();
  }

  private async follow(outer: AbortSignal): Promise<void> {
    const one = new AbortController();
    this.current = one;
    const stop = () => one.abort();
    outer.addEventListener('abort', stop);
    let timer = setTimeout(stop, SILENCE);
    try {
      if (!this.cursor) {
        const state = await this.source.readState(one.signal);
        this.sink.state(state, this.readBefore);
        this.readBefore = true;
        this.cursor = state.cursor;
      }
      for await (const res of this.source.watch(this.cursor, one.signal)) {
        clearTimeout(timer);
        timer = setTimeout(stop, SILENCE);
        this.fails = 0;
        this.sink.online(true);
        this.sink.update(res);
        // Only after the sink has it: a fault in between repeats, never loses.
        if (res.cursor) this.cursor = res.cursor;
      }
    } finally {
      clearTimeout(timer);
      outer.removeEventListener('abort', stop);
      one.abort();
    }
  }

  private pause(signal: AbortSignal): Promise<void> {
    const base = BACKOFF[Math.min(this.fails++, BACKOFF.length - 1)] ?? 4000;
    return this.rest(signal, base * (0.75 + Math.random() / 2));
  }

  // rest waits for the time, if there is one, for hurry, hold or the end.
  private rest(signal: AbortSignal, ms = 0): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.wake = null;
        resolve();
      };
      const timer = ms ? setTimeout(done, ms) : undefined;
      signal.addEventListener('abort', done);
      this.wake = done;
    });
  }
}
