// The story that the end-to-end run tells, in order.
import assert from 'node:assert/strict';

const last = (page, text) => page.locator('li[data-id]', { hasText: text }).last();
const write = async (page, text) => {
  await page.locator('[data-composer]').fill(text);
  await page.locator('[data-composer]').press('Enter');
};
const reached = (page, text, states, timeout) =>
  page.waitForFunction(
    ([t, s]) => [...document.querySelectorAll('li[data-id]')].some((li) => li.textContent.includes(t) && s.includes(li.dataset.delivery)),
    [text, states], { timeout },
  );
const lines = (page, text) => page.locator('li[data-id] .words', { hasText: text }).count();

async function enter(world, key, i, name) {
  world[key] = await world.open(world.browser, world.urls[i]);
  const { page } = world[key];
  page.setDefaultTimeout(world.patience);
  await page.waitForSelector('#name, [data-region]');
  assert.equal(new URL(page.url()).hash.includes('login'), false, 'the code is gone from the address');
  if (await page.locator('#name').count()) {
    if (key === 'a') await world.screens.check(page, 'first-run');
    await page.locator('#name').fill(name);
    await page.keyboard.press('Enter');
  }
  await page.waitForSelector('nav.list');
  await page.evaluate(() => (location.hash = '#/you/you'));
  await page.waitForSelector('.settings');
  const codes = await page.locator('.settings .card code').allTextContents();
  world[key].link = codes[0];
  world[key].account = codes[1];
  await page.evaluate(() => (location.hash = '#/'));
  await page.waitForSelector('.empty');
}

async function openPerson(world, key, account) {
  const { page } = world[key];
  await page.evaluate((a) => (location.hash = '#/p/' + a), account);
  await page.waitForSelector('.thread');
}

export const steps = [
  ['a page without a session says what to do', async (w) => {
    const { page, context } = await w.open(w.browser, w.origin(0));
    await page.waitForSelector('h1 code');
    assert.match(await page.textContent('h1'), /Open Parley from the terminal: run\s+parley/);
    await w.screens.check(page, 'locked');
    await context.close();
  }],
  ['a used link opens nothing', async (w) => {
    const { page, context } = await w.open(w.browser, w.origin(0) + '/#login=never-made');
    await page.waitForSelector('h1 code');
    assert.equal(page.url().includes('never-made'), false);
    await context.close();
  }],
  ['first run asks one name', (w) => enter(w, 'a', 0, 'Ana')],
  ['the second node too', (w) => enter(w, 'b', 1, 'Bo')],
  ['nobody there yet: an invitation', async (w) => {
    await w.a.page.waitForSelector('.card img');
    await w.screens.check(w.a.page, 'empty');
  }],
  ['add somebody by link', async (w) => {
    const { page } = w.a;
    await page.locator('.empty .btn.primary').click();
    await page.locator('#who').fill('parley:id/not-an-id-at-all-0000000');
    await page.waitForSelector('#who-said .fault');
    await page.locator('#who').fill(w.b.link);
    await page.waitForSelector('.found');
    await w.screens.check(page, 'add');
    await page.locator('#pet').fill('Bo from the boat');
    await page.locator('dialog .btn.primary').click();
    await page.waitForSelector('.thread');
    await w.screens.check(page, 'thread-empty');
  }],
  ['the first message is shown at once and delivered', async (w) => {
    const { page } = w.a;
    const shownIn = await page.evaluate(async () => {
      const area = document.querySelector('[data-composer]');
      area.value = 'hello over there';
      area.dispatchEvent(new Event('input', { bubbles: true }));
      await new Promise((r) => setTimeout(r, 50));
      const from = performance.now();
      const seen = new Promise((done) => {
        const o = new MutationObserver(() => {
          if ([...document.querySelectorAll('li[data-id] .words')].some((x) => x.textContent === 'hello over there')) {
            o.disconnect();
            done(performance.now() - from);
          }
        });
        o.observe(document.body, { childList: true, subtree: true });
      });
      area.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
      return seen;
    });
    await reached(page, 'hello over there', ['delivered', 'read'], w.patience);
    const total = Date.now() - w.began;
    if (w.real) assert.ok(total < 30_000, `first delivery after ${total} ms`);
    assert.equal(await lines(page, 'hello over there'), 1, 'shown once');
    return { shownMs: Math.round(shownIn * 10) / 10, firstDeliveredMs: total };
  }],
  ['a stranger waits in the requests', async (w) => {
    const { page } = w.b;
    await page.waitForSelector('a.folder');
    await page.locator('a.folder').click();
    await page.locator('[data-conversation]').first().click();
    await page.waitForSelector('.request');
    await w.screens.check(page, 'request');
    await page.locator('.request .btn.primary').click();
    await page.waitForSelector('[data-composer]');
  }],
  ['an answer arrives', async (w) => {
    await write(w.b.page, 'hi Ana, I see you');
    await last(w.a.page, 'hi Ana, I see you').waitFor();
    await reached(w.b.page, 'hi Ana', ['delivered', 'read'], w.patience);
  }],
  ['reply, reaction, edit and removal reach the other side', async (w) => {
    const [a, b] = [w.a.page, w.b.page];
    await last(a, 'hi Ana').focus();
    await a.keyboard.press('r');
    await a.waitForSelector('.on');
    await a.keyboard.type('me too, loud and cleer');
    await a.keyboard.press('Enter');
    await b.locator('.quote', { hasText: 'hi Ana' }).waitFor();
    await last(b, 'loud and cleer').focus();
    await b.keyboard.press('e');
    await b.locator('.grid button').first().click();
    await last(a, 'loud and cleer').locator('.reactions button').waitFor();
    await reached(a, 'loud and cleer', ['delivered', 'read'], w.patience);
    await a.locator('[data-composer]').focus();
    await a.keyboard.press('ArrowUp');
    await a.waitForFunction(() => document.querySelector('[data-composer]').value.includes('cleer'));
    await a.locator('[data-composer]').fill('me too, loud and clear');
    await a.keyboard.press('Enter');
    await last(b, 'loud and clear').locator('.edited').waitFor();
    await b.locator('.edited').last().click();
    await b.locator('dialog .words', { hasText: 'cleer' }).waitFor();
    await w.screens.check(b, 'history');
    await b.keyboard.press('Escape');
    await write(a, 'forget this one');
    await last(b, 'forget this one').waitFor();
    await last(a, 'forget this one').focus();
    await a.keyboard.press('Enter');
    await w.screens.check(a, 'menu', { narrow: false });
    await a.getByRole('menuitem', { name: 'Ask everyone to remove' }).click();
    await b.locator('.gone').waitFor();
    assert.equal(await lines(b, 'forget this one'), 0);
  }],
  ['the details of a delivery', async (w) => {
    const { page } = w.a;
    await page.locator('.mark').last().click();
    await page.locator('.why li').first().waitFor();
    await w.screens.check(page, 'why', { narrow: false });
    await page.keyboard.press('Escape');
    await page.locator('.why').waitFor({ state: 'detached' });
  }],
  ['hostile text stays text', async (w) => {
    const [a, b] = [w.a.page, w.b.page];
    const bad = ['<img src=x onerror="window.hacked=1">', '<script>window.hacked=1</script>', 'javascript:window.hacked=1', '{@html "<b>x</b>"}', 'safe\u202Etxt.exe', '[x](javascript:alert(1))', 'data:text/html,<script>window.hacked=1</script>'];
    for (const text of bad) await write(a, text);
    await last(b, 'data:text/html').waitFor();
    assert.equal(await b.evaluate(() => window.hacked), undefined);
    assert.equal(await b.locator('li[data-id] .words :is(img, script, b, iframe)').count(), 0);
    assert.equal(await b.locator('.words a[href^="javascript"], .words a[href^="data"]').count(), 0);
    assert.ok((await b.locator('.chip', { hasText: 'RLO' }).count()) > 0, 'bidi control shown as a chip');
  }],
  ['a link asks before it opens', async (w) => {
    const [a, b] = [w.a.page, w.b.page];
    await write(a, 'look (https://example.com/a_(b)) at this');
    const link = last(b, 'look (').locator('a');
    await link.waitFor();
    assert.equal(await link.getAttribute('href'), 'https://example.com/a_(b)');
    assert.equal(await link.getAttribute('rel'), 'noopener noreferrer');
    await link.click();
    await b.locator('dialog strong', { hasText: 'example.com' }).waitFor();
    await w.screens.check(b, 'link');
    await b.keyboard.press('Escape');
  }],
  ['a draft survives a reload', async (w) => {
    const { page } = w.a;
    await page.locator('[data-composer]').fill('half a thought');
    await page.waitForTimeout(900);
    await page.reload();
    await page.waitForSelector('[data-composer]');
    await page.waitForFunction(() => document.querySelector('[data-composer]').value === 'half a thought');
    await page.locator('[data-composer]').fill('');
    await page.waitForTimeout(600);
  }],
  ['the counter near the limit, and not beyond', async (w) => {
    const { page } = w.a;
    const area = page.locator('[data-composer]');
    await area.fill('ä'.repeat(1900));
    await page.locator('.left', { hasText: '296 bytes left' }).waitFor();
    await area.fill('ä'.repeat(2049));
    await page.locator('.left.over').waitFor();
    await area.press('Enter');
    assert.equal((await area.inputValue()).length, 2049, 'nothing was sent or lost');
    await area.fill('');
    await page.waitForTimeout(500);
  }],
  ['Enter during composition does not send', async (w) => {
    const { page } = w.a;
    const before = await page.locator('li[data-id]').count();
    await page.locator('[data-composer]').fill('にほん');
    await page.evaluate(() => document.querySelector('[data-composer]').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true })));
    await page.waitForTimeout(100);
    assert.equal(await page.locator('li[data-id]').count(), before);
    await page.locator('[data-composer]').fill('');
  }],
  ['find people and words', async (w) => {
    const { page } = w.a;
    await page.keyboard.press('Control+f');
    await page.waitForSelector('[role=combobox]');
    await page.keyboard.type('see you');
    await page.locator('[role=option]', { hasText: 'I see you' }).waitFor();
    await w.screens.check(page, 'search');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.activeElement?.textContent?.includes('I see you'));
    await page.keyboard.press('Control+k');
    await page.keyboard.type('boat');
    await page.locator('[role=option]', { hasText: 'Bo from the boat' }).first().waitFor();
    await page.keyboard.press('Escape');
  }],
  ['the same safety number on both sides', async (w) => {
    const digits = [];
    for (const key of ['a', 'b']) {
      const { page } = w[key];
      await openPerson(w, key, w[key === 'a' ? 'b' : 'a'].account);
      if (!(await page.locator('.aside').count())) await page.locator('.who').click();
      await page.locator('.aside .wide').click();
      await page.waitForSelector('.digits span');
      digits.push((await page.locator('.digits span').allTextContents()).join(' '));
      if (key === 'a') {
        await w.screens.check(page, 'safety');
        await page.locator('dialog .btn.primary').click();
        await page.waitForSelector('.done');
      }
      await page.keyboard.press('Escape');
    }
    assert.match(digits[0], /^\d{5}( \d{5}){11}$/);
    assert.equal(digits[0], digits[1]);
  }],
  ['block, and undo', async (w) => {
    const { page } = w.a;
    await page.locator('.aside .btn.danger').click();
    await page.waitForSelector('.request');
    await page.locator('.toast .btn').click();
    await page.waitForSelector('[data-composer]');
  }],
  ['the keyboard alone is enough', async (w) => {
    const { page } = w.a;
    await page.locator('[data-composer]').focus();
    const seen = [];
    for (let i = 0; i < 4; i++) {
      await page.keyboard.press('F6');
      seen.push(await page.evaluate(() => document.activeElement?.closest('[data-region]')?.className.split(' ')[0]));
    }
    assert.equal(new Set(seen).size, 4, `regions: ${seen}`);
    await page.keyboard.press('F6');
    await page.locator('li[data-id]').last().focus();
    await page.keyboard.press('ArrowUp');
    const row = await page.evaluate(() => document.activeElement?.dataset.id);
    assert.ok(row, 'arrows move between messages');
    const onRow = () => page.evaluate(() => document.activeElement?.matches('li[data-id]'));
    const stops = await page.$$eval('li[data-id], li[data-id] :is(button, a)', (all) => all.filter((x) => x.tabIndex >= 0).length);
    assert.equal(stops, 1, 'all messages together are one tab stop');
    await page.locator('[data-composer]').focus();
    await page.keyboard.press('Shift+Tab');
    assert.ok(await onRow(), 'Shift Tab goes from the composer to a message');
    await page.keyboard.press('Enter');
    await page.locator('[role=menuitem]').first().waitFor();
    await page.keyboard.press('Escape');
    await page.locator('[role=menuitem]').first().waitFor({ state: 'detached' });
    await page.keyboard.press('Tab');
    assert.ok(await page.evaluate(() => document.activeElement?.matches('li[data-id] button')), 'Tab goes into an entered message');
    await page.keyboard.press('Escape');
    assert.ok(await onRow(), 'Esc goes out again');
    await page.keyboard.type('written');
    assert.equal(await page.inputValue('[data-composer]'), 'written', 'nothing typed is lost');
    await page.locator('[data-composer]').fill('');
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Escape');
    assert.ok(await page.evaluate(() => document.activeElement?.hasAttribute('data-composer')), 'Esc goes to the composer');
  }],
  ['settings, every page', async (w) => {
    const { page } = w.a;
    for (const s of ['you', 'backup', 'privacy', 'blocks', 'look', 'node']) {
      await page.evaluate((x) => (location.hash = '#/you/' + x), s);
      await page.waitForSelector('.page h2');
      await page.waitForTimeout(150);
      await w.screens.check(page, 'settings-' + s);
    }
    await page.keyboard.press('Control+/');
    await w.screens.check(page, 'keys');
    await page.keyboard.press('Escape');
    await page.evaluate(() => (location.hash = '#/'));
    await w.screens.check(page, 'home');
    await openPerson(w, 'a', w.b.account);
    await w.screens.check(page, 'thread');
  }],
  ['new messages are counted while reading above', async (w) => {
    const [a, b] = [w.a.page, w.b.page];
    for (let i = 0; i < 25; i++) await write(b, `filler ${i}`);
    await last(a, 'filler 24').waitFor();
    await a.evaluate(() => (document.querySelector('[data-timeline]').scrollTop = 0));
    await a.waitForSelector('[data-bottom]');
    await write(b, 'are you still there');
    await a.waitForFunction(() => document.querySelector('[data-bottom]')?.textContent.includes('1 new'));
    await a.locator('[data-bottom]').click();
    await a.waitForFunction(() => {
      const s = document.querySelector('[data-timeline]');
      return s.scrollHeight - s.scrollTop - s.clientHeight < 60;
    });
  }],
  ['5,000 messages: scrolling keeps its place, and any message can be reached', async (w) => {
    const { page, context, trouble } = await w.open(w.browser, w.archive.url);
    await page.waitForSelector('nav.list');
    const from = Date.now();
    await page.evaluate((a) => (location.hash = '#/p/' + a), w.archive.account);
    await last(page, 'line 5000').waitFor();
    const openMs = Date.now() - from;
    const jumps = await page.evaluate(async () => {
      const s = document.querySelector('[data-timeline]');
      const wait = () => new Promise((r) => setTimeout(r, 50));
      let worst = 0;
      for (let i = 0; i < 60; i++) {
        // Watch one row while the window moves under it.
        const top = s.getBoundingClientRect().top;
        const row = [...s.querySelectorAll('[data-id]')].find((r) => r.getBoundingClientRect().top > top + 100);
        const before = row.getBoundingClientRect().top;
        const by = Math.min(500, s.scrollTop); // at the top there is less to go
        s.scrollTop -= 500;
        await wait();
        if (row.isConnected) worst = Math.max(worst, Math.abs(row.getBoundingClientRect().top - before - by));
      }
      return { worst, rows: s.querySelectorAll('[data-id]').length };
    });
    assert.ok(jumps.worst < 3, `a row moved by ${jumps.worst} px`);
    assert.ok(jumps.rows <= 300, `${jumps.rows} rows in the page`);
    await page.keyboard.press('Control+f');
    await page.keyboard.type('line 812');
    await page.locator('[role=option]', { hasText: 'line 812' }).first().waitFor();
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.activeElement?.textContent?.includes('line 812'), undefined, { timeout: 15000 });
    assert.ok((await page.locator('li[data-id]').count()) <= 300);
    await page.locator('[data-bottom]').click();
    await last(page, 'line 5000').waitFor();
    assert.deepEqual(trouble, []);
    await context.close();
    return { openMs, worstPx: jumps.worst, rows: jumps.rows };
  }],
  ['the node stops: the page stays, and goes on exactly once', async (w) => {
    if (!w.canStop) return { left: 'no PARLEY_STOP_A and PARLEY_START_A' };
    const { page } = w.a;
    await w.stopA();
    await page.waitForSelector('[data-code="NET-12"]');
    assert.match(await page.textContent('.pulse .said'), /Node stopped\. Restart it with parley up/);
    assert.equal(await page.textContent('.pulse .said code'), 'parley up');
    assert.match(await page.textContent('.pulse .hint'), /Nothing is lost/);
    await page.waitForFunction(() => !/here now/i.test(document.body.textContent) && !document.querySelector('.light.here'), undefined, { timeout: 5000 });
    assert.ok((await page.locator('li[data-id]').count()) > 10, 'still readable');
    await write(page, 'written while it was down');
    await page.locator('.pulse .hint', { hasText: '1 message is only in this tab.' }).first().waitFor();
    await w.screens.check(page, 'stopped');
    await w.startA();
    await page.waitForFunction(() => document.querySelector('.pulse')?.dataset.code !== 'NET-12');
    await reached(page, 'written while', ['queued', 'sent', 'held', 'delivered', 'read'], w.patience);
    await last(w.b.page, 'written while').waitFor();
    await page.waitForTimeout(500);
    assert.equal(await lines(page, 'written while'), 1);
    assert.equal(await lines(w.b.page, 'written while'), 1);
    const ids = await page.$$eval('li[data-id]', (all) => all.map((x) => x.dataset.id));
    assert.equal(new Set(ids).size, ids.length, 'nothing shown twice');
  }],
];
