import { describe, expect, it } from 'vitest';
import { cleanName, hits, oneLine, onlyEmoji, pieces, safeLink } from '../src/lib/text';

const links = (s: string) => pieces(s).flatMap((p) => (p.kind === 'link' ? [p.href] : []));
const plain = (s: string) => pieces(s).map((p) => (p.kind === 'chip' ? `[${p.name}]` : p.text)).join('');

describe('pieces', () => {
  it('gives back every character of ordinary text', () => {
    for (const s of ['', 'hi', 'a\nb\tc', '<b>x</b> & "y"', 'שלום مرحبا 👩‍👩‍👧 é']) expect(plain(s)).toBe(s);
  });
  it('finds links and leaves the sentence around them alone', () => {
    expect(links('see https://example.com.')).toEqual(['https://example.com/']);
    expect(links('(http://a.example/b_(c)) and mailto:me@example.com!')).toEqual(['http://a.example/b_(c)', 'mailto:me@example.com']);
    expect(links('two: https://a.example/1, https://b.example/2')).toHaveLength(2);
    expect(plain('see https://example.com.')).toBe('see https://example.com.');
  });
  it.each(['javascript:alert(1)', 'data:text/html,x', 'vbscript:x', 'file:///etc/passwd', 'blob:https://a.example/1', 'https://', 'http:///', 'mailto:nobody', 'xhttps:/a'])(
    'never links %s', (s) => expect(links(s)).toEqual([]),
  );
  it('shows the ASCII form of a look-alike host', () => {
    const [p] = pieces('https://pаypal.com/login'); // the second letter is Cyrillic
    expect(p).toMatchObject({ kind: 'link', host: expect.stringMatching(/^xn--/) as string });
  });
  it('turns control and direction characters into chips', () => {
    expect(plain('safe\u202Etxt.exe')).toBe('safe[RLO]txt.exe');
    expect(plain('\u0000\u001b[31m\u009b\u2066x\u2069\ufeff')).toBe('[NUL][ESC][31m[U+009B][LRI]x[PDI][BOM]');
    expect(plain('a\r\nb')).toBe('a\nb');
  });
  it('ends a link at a hidden character', () => {
    expect(links('https://example.com/\u202Efdp.exe')).toEqual(['https://example.com/']);
  });
  it('survives a very long message without a pause', () => {
    const t = performance.now();
    pieces('https://a.example/'.repeat(200) + '('.repeat(4096) + 'http://'.repeat(500));
    expect(performance.now() - t).toBeLessThan(200);
  });
});

describe('safeLink', () => {
  it('keeps ports and drops nonsense', () => {
    expect(safeLink('http://localhost:8080/x')?.host).toBe('localhost:8080');
    expect(safeLink('not a link')).toBeNull();
  });
});

describe('onlyEmoji', () => {
  it.each([['👍', 1], ['👩‍👩‍👧 🎉', 2], ['🇫🇮', 1], ['1', 0], ['👍 ok', 0], ['', 0], ['🎉🎉🎉🎉', 0]] as const)('%s', (s, n) => expect(onlyEmoji(s)).toBe(n));
});

describe('oneLine', () => {
  it('flattens and shortens by what people see as one character', () => {
    expect(oneLine('a\n\n b\u202Ec')).toBe('a b c');
    expect(oneLine('👩‍👩‍👧'.repeat(5), 2)).toBe('👩‍👩‍👧👩‍👩‍👧…');
    expect(cleanName(' \u202EeviL\u0007 ')).toBe('eviL');
  });
});

describe('hits', () => {
  const shape = (text: string, query: string) => hits(text, query).map((p) => (p.hit ? `[${p.text}]` : p.text)).join('');
  it('marks every word that was looked for', () => {
    expect(shape('a boat, two Boats', 'boat')).toBe('a [boat], two [Boat]s');
    expect(shape('see you', 'you see')).toBe('[see] [you]');
    expect(shape('nothing here', 'x')).toBe('nothing here');
    expect(shape('as it is', ' ')).toBe('as it is');
  });
  it('looks past accents and keeps every character', () => {
    expect(shape('Zoë, zoe\u0308!', 'zoe')).toBe('[Zoë], [zoe\u0308]!');
    expect(shape('the ﬁnal 👩‍👩‍👧', 'fin')).toBe('the [ﬁn]al 👩‍👩‍👧');
  });
});
