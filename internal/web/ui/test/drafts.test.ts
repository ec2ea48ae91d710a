import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Drafts } from '../src/lib/drafts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('drafts', () => {
  it('saves the newest text once writing pauses', async () => {
    const save = vi.fn(() => Promise.resolve());
    const d = new Drafts(save);
    d.write('people/a', 'h');
    d.write('people/a', 'hi');
    expect(d.unsaved()).toBe(true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(save.mock.calls).toEqual([['people/a', 'hi']]);
    expect(d.unsaved()).toBe(false);
    expect(d.get('people/a')).toBe('hi');
    expect(d.get('people/b')).toBeUndefined();
  });
  it('tells how many texts are only here', async () => {
    let down = true;
    const told = vi.fn();
    const d = new Drafts(() => (down ? Promise.reject(new Error('gone')) : Promise.resolve()), told);
    d.write('people/a', 'hi');
    d.write('people/b', '');
    await vi.advanceTimersByTimeAsync(1000);
    expect(told).toHaveBeenLastCalledWith(1);
    down = false;
    await d.flushAll();
    expect(told).toHaveBeenLastCalledWith(0);
  });
  it('keeps one save in the air and sends the newest after it', async () => {
    const free: (() => void)[] = [];
    const saved: string[] = [];
    const d = new Drafts((_, text) => new Promise<void>((r) => { saved.push(text); free.push(r); }));
    d.write('c', 'one');
    await vi.advanceTimersByTimeAsync(400);
    d.write('c', 'two');
    d.write('c', 'three');
    await vi.advanceTimersByTimeAsync(400);
    expect(saved).toEqual(['one']);
    free[0]?.();
    await vi.advanceTimersByTimeAsync(0);
    expect(saved).toEqual(['one', 'three']);
  });
  it('stays unsaved when the node does not answer, and saves later', async () => {
    let up = false;
    const saved: string[] = [];
    const d = new Drafts((_, text) => (up ? Promise.resolve(saved.push(text)) : Promise.reject(new Error('down'))));
    d.write('c', 'text');
    await vi.advanceTimersByTimeAsync(1000);
    expect(d.unsaved()).toBe(true);
    up = true;
    await d.flushAll();
    expect(saved).toEqual(['text']);
    expect(d.unsaved()).toBe(false);
  });
});
