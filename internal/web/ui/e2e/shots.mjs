// Screenshots of every screen, at 1280 and 390 px, in both themes.
// usage: node e2e/shots.mjs [folder] [name filter]
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { launch, open } from './browser.mjs';
import { FakeNode } from './fake/node.mjs';
import { seeded } from './fake/seed.mjs';
import { serve } from './fake/server.mjs';

const out = process.argv[2] ?? 'shots';
const only = process.argv[3] ?? '';
await mkdir(out, { recursive: true });
const life = seeded();
const a = await serve(life.node);
const b = await serve(new FakeNode('', 'newcomer'));
const c = await serve(new FakeNode('sam', 'settled'));
const browser = await launch();

const go = (hash) => (p) => p.evaluate((h) => (location.hash = h), hash);
const maya = '#/p/' + life.id.maya;
const screens = {
  locked: { url: a.origin + '/#login=used' },
  name: { url: b.url },
  empty: { url: c.url },
  home: { url: a.url },
  thread: { url: a.url, do: go(maya) },
  unread: { url: a.url, do: go('#/p/' + life.id.ravi) },
  rtl: { url: a.url, do: go('#/p/' + life.id.noor) },
  expired: { url: a.url, do: go('#/p/' + life.id.tomas) },
  request: { url: a.url, do: go('#/p/' + life.stranger) },
  requests: { url: a.url, do: go('#/requests') },
  why: { url: a.url, do: async (p) => { await go(maya)(p); await p.locator('.mark').last().click(); } },
  menu: { url: a.url, do: async (p) => { await go(maya)(p); await p.locator('li[data-id]').last().focus(); await p.keyboard.press('Enter'); } },
  emoji: { url: a.url, do: async (p) => { await go(maya)(p); await p.locator('li[data-id]').last().focus(); await p.keyboard.press('e'); } },
  reply: { url: a.url, do: async (p) => { await go(maya)(p); await p.locator('li[data-id]').nth(-3).focus(); await p.keyboard.press('r'); await p.keyboard.type('The small one is enough, if it stays dry'); } },
  history: { url: a.url, do: async (p) => { await go(maya)(p); await p.locator('.edited').click(); } },
  add: { url: a.url, do: async (p) => { await p.keyboard.press('Control+k'); await p.keyboard.type('add'); await p.keyboard.press('Enter'); await p.locator('#who').fill(b.node.account); await p.waitForSelector('.found'); } },
  safety: { url: a.url, do: async (p) => { await go(maya)(p); if (await p.locator('.aside').count() === 0) await p.locator('.who').click(); await p.locator('.aside .wide').click(); } },
  person: { url: a.url, do: async (p) => { await go(maya)(p); if (!(await p.locator('.aside').isVisible().catch(() => false))) await p.locator('.who').click(); } },
  jump: { url: a.url, do: async (p) => { await p.keyboard.press('Control+k'); await p.keyboard.type('an'); await p.waitForTimeout(400); } },
  link: { url: a.url, do: async (p) => { await go('#/p/' + life.id.ravi)(p); await p.locator('.words a').last().click(); } },
  you: { url: a.url, do: go('#/you/you') },
  settings: { url: a.url, do: go('#/you') },
  backup: { url: a.url, do: async (p) => { await go('#/you/backup')(p); await p.locator('.page .btn').first().click(); } },
  look: { url: a.url, do: go('#/you/look') },
  node: { url: a.url, do: async (p) => { await go('#/you/node')(p); await p.locator('.page .btn').first().click(); } },
  keys: { url: a.url, do: (p) => p.keyboard.press('Control+/') },
  cooling: { url: a.url, do: async (p) => { await go(maya)(p); a.node.cooling = [{ conversation: 'people/' + life.id.maya, retryAfter: '12s' }]; a.wake(); await p.locator('[data-composer]').fill('One more'); await p.waitForTimeout(300); } },
};

for (const [name, s] of Object.entries(screens)) {
  if (only && !new RegExp(only).test(name)) continue;
  for (const scheme of ['dark', 'light']) {
    for (const [width, height] of [[1280, 800], [390, 844]]) {
      a.node.cooling = [];
      const { page, context, trouble } = await open(browser, s.url, { viewport: { width, height }, colorScheme: scheme, deviceScaleFactor: width < 500 ? 2 : 1, hasTouch: width < 500, isMobile: width < 500 });
      await page.waitForTimeout(250);
      try {
        await s.do?.(page);
      } catch (e) {
        console.log(`${name} ${scheme} ${width}: ${String(e.message).split('\n')[0]}`);
      }
      await page.waitForTimeout(350);
      await page.screenshot({ path: join(out, `${name}-${scheme}-${width}.png`) });
      if (trouble.length) console.log(name, scheme, width, trouble);
      await context.close();
    }
  }
}
await browser.close();
await Promise.all([a.stop(), b.stop(), c.stop()]);
