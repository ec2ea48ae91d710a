// Checks one screen: axe in both themes, nothing wider than the window at
// 320 px and with text at 200 %, and an optional screenshot at two widths.
import { AxeBuilder } from '@axe-core/playwright';

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

export class Screens {
  constructor(folder) {
    this.folder = folder;
    this.checked = 0;
    this.violations = [];
  }
  summary() {
    return { screens: this.checked, violations: this.violations.length };
  }

  async check(page, name, { narrow = true } = {}) {
    const faults = [];
    const before = page.viewportSize();
    for (const scheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await page.waitForTimeout(60);
      const { violations } = await new AxeBuilder({ page }).setLegacyMode().withTags(TAGS).analyze();
      this.checked++;
      for (const v of violations) {
        const what = `${name} (${scheme}): ${v.id}: ${v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join('; ')}`;
        faults.push(what);
        this.violations.push(what);
      }
      if (this.folder) {
        await page.screenshot({ path: `${this.folder}/${name}-${scheme}-1280.png` });
        await page.setViewportSize({ width: 390, height: 844 });
        await page.waitForTimeout(80);
        await page.screenshot({ path: `${this.folder}/${name}-${scheme}-390.png` });
        await page.setViewportSize(before);
      }
    }
    if (narrow) {
      await page.setViewportSize({ width: 320, height: 640 });
      faults.push(...(await overflow(page, name, '320 px')));
      await page.setViewportSize(before);
      await page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
      faults.push(...(await overflow(page, name, '200 % text')));
      await page.evaluate(() => (document.documentElement.style.fontSize = ''));
    }
    await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'no-preference' });
    if (faults.length) throw new Error(faults.join(' | '));
  }
}

async function overflow(page, name, how) {
  await page.waitForTimeout(60);
  const wide = await page.evaluate(() => {
    const out = [];
    if (document.documentElement.scrollWidth > innerWidth) out.push('page');
    for (const el of document.querySelectorAll('#app *')) {
      const style = getComputedStyle(el);
      if (!/auto|scroll/.test(style.overflowX) || el.matches('textarea')) continue;
      if (el.scrollWidth > el.clientWidth + 1) out.push(el.className || el.tagName);
    }
    return out;
  });
  return wide.length ? [`${name}: wider than the window at ${how}: ${wide.join(', ')}`] : [];
}
