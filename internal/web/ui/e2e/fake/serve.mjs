// npm run dev: two pretend nodes, one with a life, one empty.
import { FakeNode } from './node.mjs';
import { seeded } from './seed.mjs';
import { serve } from './server.mjs';

const a = await serve(seeded().node, 4801);
const b = await serve(new FakeNode('', 'newcomer'), 4802);
console.log(`lively: ${a.url}\nempty:  ${b.url}`);
