import { describe, expect, it } from 'vitest';
import { deliveryWords, glyphs, notBack } from '../src/lib/delivery';
import type { Delivery } from '../src/lib/model';
import { words } from '../src/lib/words';

const said = (delivery: Delivery, told = '', reason = '', cooling = 0) => deliveryWords({ delivery, words: told, reason }, cooling);

describe('delivery', () => {
  it('has the glyph of the design for every state', () => {
    expect(glyphs).toMatchObject({ queued: '◌', sent: '◔', held: '◑', delivered: '●', read: '◉', refused: '⊘', expired: '⊗' });
  });
  it.each([
    ['queued', '', '', 0, 'Waiting for someone to connect'],
    ['queued', 'No address known for Maya yet', '', 0, 'No address known for Maya yet'],
    ['queued', 'Waiting for someone to connect', '', 12, 'Goes out in 12 s'],
    ['sent', 'Sent to 2 peers', '', 12, 'Sent to 2 peers'],
    ['held', 'Kept by 12 others', '', 0, 'Kept by 12 others'],
    ['delivered', '', '', 0, 'Delivered'],
    ['read', 'Read by Ana, Ravi', '', 0, 'Read by Ana, Ravi'],
    ['refused', '', 'TOO_LARGE', 0, 'Not accepted: too long (limit 4 KiB)'],
    ['refused', 'Not accepted: you are not a member', 'NOT_MEMBER', 0, 'Not accepted: you are not a member'],
    ['expired', 'Not delivered by 6 Dec. Send again?', '', 0, 'Not delivered by 6 Dec. Send again?'],
    ['unknown', '', '', 0, 'Something newer'],
    ['none', '', '', 0, ''],
  ] as [Delivery, string, string, number, string][])('%s %s %s %i', (d, told, reason, cooling, want) => expect(said(d, told, reason, cooling)).toBe(want));
  it('moves forward only; a receipt after EXPIRED wins', () => {
    expect(notBack('sent', 'delivered')).toBe(true);
    expect(notBack('delivered', 'sent')).toBe(false);
    expect(notBack('read', 'delivered')).toBe(false);
    expect(notBack('expired', 'delivered')).toBe(true);
  });
  it('counts what others keep', () => {
    expect(words.settings.mailWaiting(1, 0)).toBe('1 message not delivered yet');
    expect(words.settings.mailWaiting(3, 2)).toBe('3 messages not delivered yet, 2 kept by others');
    expect(words.settings.mailHosts(1)).toBe('1 node keeps your mail');
    expect(words.settings.mailHosts(14)).toBe('14 nodes keep your mail');
    expect(words.delivery.keepers(12)).toBe('Who keeps it: 12 nodes');
  });
  it('says the exact words of the design for a stopped node', () => {
    expect(words.pulse.stopped).toBe('Node stopped. Restart it with `parley up`');
    expect(words.actions.remove).toBe('Ask everyone to remove');
    expect(words.composer.secret).toBe('End-to-end encrypted');
  });
});
