// The end-to-end run of the page. It takes two nodes:
//   PARLEY_URL_A, PARLEY_URL_B   addresses printed by `parley`, with #login=
//   PARLEY_STOP_A, PARLEY_START_A  optional shell commands, for the step that
//                                  stops and restarts node A
// Without them it drives two pretend nodes. Prints one JSON object per step.
import { execSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { launch, open } from './browser.mjs';
import { serve } from './fake/server.mjs';
import { accountId, FakeNode } from './fake/node.mjs';
import { long } from './fake/seed.mjs';
import { Screens } from './screens.mjs';
import { steps } from './steps.mjs';

const env = process.env;
const real = Boolean(env.PARLEY_URL_A || env.PARLEY_URL_B || env.PARLEY_STOP_A);
if (real && !(env.PARLEY_URL_A && env.PARLEY_URL_B)) throw new Error('PARLEY_URL_A and PARLEY_URL_B go together');
// parley refuses variables of its prefix that it does not know.
const clean = Object.fromEntries(Object.entries(env).filter(([k]) => !/^PARLEY_(URL|STOP|START|SHOTS|BAIL)/.test(k)));
const shell = (command) => execSync(command, { stdio: 'ignore', env: clean });
const fakes = real ? [] : [await serve(new FakeNode('', 'e2e-a')), await serve(new FakeNode('', 'e2e-b'))];
// A pretend node with a long history, for scrolling; also beside real nodes.
const old = new FakeNode('Old', 'e2e-old');
const lee = accountId('e2e-lee');
old.people.set(lee, { displayName: 'Lee', added: Date.now(), devices: [] });
long(old, lee, 5000);
const archive = await serve(old);
const urls = real ? [env.PARLEY_URL_A, env.PARLEY_URL_B] : fakes.map((f) => f.url);
const shots = env.PARLEY_SHOTS ?? '';
if (shots) await mkdir(shots, { recursive: true });

const began = Date.now();
const browser = await launch();
const world = {
  browser, open, urls, real, began,
  origin: (i) => new URL(urls[i]).origin,
  screens: new Screens(shots),
  archive: { url: archive.url, account: lee },
  patience: real ? 30_000 : 5_000,
  canStop: !real || Boolean(env.PARLEY_STOP_A && env.PARLEY_START_A),
  stopA: async () => (real ? shell(env.PARLEY_STOP_A) : fakes[0].stop()),
  startA: async () => (real ? shell(env.PARLEY_START_A) : fakes[0].start()),
};

let failed = 0;
const say = (o) => console.log(JSON.stringify(o));
for (const [name, run] of steps) {
  const t = Date.now();
  try {
    const note = await run(world);
    say({ step: name, ok: true, ms: Date.now() - t, ...(note ?? {}) });
  } catch (err) {
    failed++;
    say({ step: name, ok: false, ms: Date.now() - t, error: String(err?.message ?? err).split('\n').slice(0, 6).join(' | ') });
    for (const key of ['a', 'b']) await world[key]?.page.screenshot({ path: `${shots || tmpdir()}/page-failed-${key}.png` }).catch(() => {});
    if (env.PARLEY_BAIL !== '0') break;
  }
}
const trouble = [...(world.a?.trouble ?? []), ...(world.b?.trouble ?? [])];
if (trouble.length) failed++;
say({ result: failed ? 'failed' : 'passed', nodes: real ? 'real' : 'pretend', steps: steps.length, trouble, axe: world.screens.summary() });
await browser.close();
await Promise.all([...fakes, archive].map((f) => f.stop()));
process.exit(failed ? 1 : 0);
