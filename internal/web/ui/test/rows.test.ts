import { describe, expect, it } from 'vitest';
import { rows } from '../src/lib/rows';
import { dayName, listTime, seconds } from '../src/lib/time';
import { msg } from './make';

const day = (d: number, h = 12) => new Date(2026, 10, d, h).getTime();
const shape = (list: ReturnType<typeof rows>) => list.map((r) => (r.kind === 'msg' ? r.msg.id + (r.head ? '*' : '') : r.kind));

describe('rows', () => {
  it('draws a day line where the day changes and a heading where the author does', () => {
    const list = [msg('a', day(20)), msg('b', day(20) + 1000), msg('c', day(20) + 2000, { own: true }), msg('d', day(21), { own: true })];
    expect(shape(rows(list, null))).toEqual(['day', 'a*', 'b', 'c*', 'day', 'd*']);
  });
  it('gives a new heading after a pause and for a reply', () => {
    const list = [msg('a', day(20)), msg('b', day(20) + 6 * 60_000), msg('c', day(20) + 6 * 60_000 + 1, { replyTo: 'a' })];
    expect(shape(rows(list, null))).toEqual(['day', 'a*', 'b*', 'c*']);
  });
  it('shows the time again in a long run without pauses', () => {
    const list = [0, 2, 4, 6, 8].map((m) => msg(`m${m}`, day(20) + m * 60_000));
    expect(shape(rows(list, null))).toEqual(['day', 'm0*', 'm2', 'm4', 'm6*', 'm8']);
  });
  it('draws one line before the first new message of somebody else', () => {
    const list = [msg('a', day(20)), msg('b', day(20) + 1, { own: true }), msg('c', day(20) + 2), msg('d', day(20) + 3)];
    expect(shape(rows(list, 'a'))).toEqual(['day', 'a*', 'b*', 'new', 'c*', 'd']);
    expect(shape(rows(list, ''))).toEqual(['day', 'new', 'a*', 'b*', 'c*', 'd']);
    expect(shape(rows(list, 'not loaded'))).toEqual(['day', 'a*', 'b*', 'c*', 'd']);
    expect(shape(rows(list, 'd'))).not.toContain('new');
  });
  it('has a key of its own for every row', () => {
    const list = Array.from({ length: 50 }, (_, i) => msg(`m${i}`, day(1 + (i % 9)) + i));
    const keys = rows(list, 'm3').map((r) => r.key);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe('times', () => {
  it('names days by distance', () => {
    expect(dayName(day(20), day(20, 23))).toBe('Today');
    expect(dayName(day(20, 23), day(21, 1))).toBe('Yesterday');
    expect(dayName(day(10), day(20))).toMatch(/10/);
    expect(dayName(new Date(2024, 1, 3).getTime(), day(20))).toMatch(/2024/);
  });
  it('shortens times in the list', () => {
    expect(listTime(day(20, 9), day(20, 12))).toMatch(/9/);
    expect(listTime(day(17), day(20))).toMatch(/^\p{L}+/u);
  });
  it('rounds countdowns up and stops at zero', () => {
    expect([seconds(11_001), seconds(1), seconds(0), seconds(-5)]).toEqual([12, 1, 0, 0]);
  });
});
