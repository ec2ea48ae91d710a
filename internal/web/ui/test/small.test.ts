import { Code, ConnectError } from '@connectrpc/connect';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { oneEmoji, recentEmoji, useEmoji } from '../src/lib/emoji';
import { faultOf } from '../src/lib/fault';
import { hueOf, placeOf, shortId } from '../src/lib/hue';
import { byteLength } from '../src/lib/model';
import { hrefPerson, parseRoute } from '../src/lib/route.svelte';
import { csrf, login, takeCode } from '../src/lib/session';

beforeEach(() => localStorage.clear());

describe('session', () => {
  it('takes the code out of the address and the history at once', () => {
    const hist = { replaceState: vi.fn() } as unknown as History;
    expect(takeCode({ hash: '#login=a%2Bb', pathname: '/' } as Location, hist)).toBe('a+b');
    expect(hist.replaceState).toHaveBeenCalledWith(null, '', '/');
    expect(takeCode({ hash: '#/p/x', pathname: '/' } as Location, hist)).toBe('');
  });
  it('keeps the second secret of a good login and nothing of a bad one', async () => {
    vi.stubGlobal('fetch', vi.fn(() => Promise.resolve(new Response('{}', { status: 401 }))));
    expect(await login('old')).toBe(false);
    expect(csrf()).toBe('');
    vi.stubGlobal('fetch', vi.fn(() => Promise.resolve(new Response('{"csrf":"s3"}'))));
    expect(await login('new')).toBe(true);
    expect(csrf()).toBe('s3');
    vi.unstubAllGlobals();
  });
});

describe('routes', () => {
  it.each([
    ['', { page: 'home' }], ['#/', { page: 'home' }], ['#/requests', { page: 'requests' }], ['#/you/look', { page: 'you', section: 'look' }],
    ['#/p/abc', { page: 'person', account: 'abc', message: '' }], ['#/p/abc/m/ff', { page: 'person', account: 'abc', message: 'ff' }],
    ['#/p/%E0%A4%A', { page: 'home' }], ['#junk', { page: 'home' }],
  ])('%s', (hash, want) => expect(parseRoute(hash)).toEqual(want));
  it('round-trips', () => expect(parseRoute(hrefPerson('a/b', 'm'))).toEqual({ page: 'person', account: 'a/b', message: 'm' }));
});

describe('faults', () => {
  const detail = (type: string, ...value: number[]) => ({ type, value: new Uint8Array(value) });
  const text = (field: number, s: string) => [(field << 3) | 2, s.length, ...new TextEncoder().encode(s)];
  it('tells a stopped node, a lost session and a refusal apart', () => {
    expect(faultOf(new TypeError('Failed to fetch')).kind).toBe('offline');
    expect(faultOf(new ConnectError('x', Code.Unavailable)).kind).toBe('offline');
    expect(faultOf(new ConnectError('x', Code.Unauthenticated)).kind).toBe('session');
    expect(faultOf(new ConnectError('x', Code.PermissionDenied)).kind).toBe('session');
  });
  it('reads reason, delay and sentence', () => {
    const e = new ConnectError('raw', Code.ResourceExhausted);
    e.details.push(detail('google.rpc.ErrorInfo', ...text(1, 'COOLING_PERIOD'), ...text(2, 'parley')), detail('google.rpc.RetryInfo', 0x0a, 2, 0x08, 12));
    expect(faultOf(e)).toEqual({ kind: 'refused', reason: 'COOLING_PERIOD', retryMs: 12_000, text: 'Goes out in 12 s' });
    const f = new ConnectError('raw', Code.InvalidArgument);
    f.details.push(detail('google.rpc.ErrorInfo', ...text(1, 'INVALID')), detail('google.rpc.LocalizedMessage', ...text(1, 'en'), ...text(2, 'One letter is wrong')));
    expect(faultOf(f)).toMatchObject({ kind: 'refused', text: 'One letter is wrong' });
    const unreachable = new ConnectError('x', Code.Unavailable);
    unreachable.details.push(detail('google.rpc.ErrorInfo', ...text(1, 'UNREACHABLE')));
    expect(faultOf(unreachable).kind).toBe('refused');
  });
  it('does not fall over a damaged detail', () => {
    const e = new ConnectError('raw', Code.NotFound);
    e.details.push(detail('google.rpc.ErrorInfo', 0x0a, 200, 1));
    expect(faultOf(e)).toMatchObject({ kind: 'refused', text: 'raw' });
  });
});

describe('lights', () => {
  it('give the same account the same light, and many accounts many hues', () => {
    expect(placeOf('a')).toEqual(placeOf('a'));
    expect(new Set(Array.from({ length: 200 }, (_, i) => hueOf(`id${i}`))).size).toBe(13);
    expect(shortId('12D3KooWabcdefghijk')).toBe('…\u2060defghijk');
  });
});

describe('emoji', () => {
  it('takes one emoji out of what was typed', () => {
    expect([oneEmoji('x 👩‍👩‍👧 y'), oneEmoji('🇫🇮'), oneEmoji('abc')]).toEqual(['👩‍👩‍👧', '🇫🇮', '']);
  });
  it('remembers six, newest first, and survives a damaged list', () => {
    useEmoji('🦀');
    expect(recentEmoji()[0]).toBe('🦀');
    expect(recentEmoji()).toHaveLength(6);
    localStorage.setItem('parley.emoji', '{broken');
    expect(recentEmoji()).toHaveLength(6);
  });
});

describe('limits', () => {
  it('counts bytes, not characters', () => expect([byteLength('ä'), byteLength('👍'), byteLength('abc')]).toEqual([2, 4, 3]));
});
