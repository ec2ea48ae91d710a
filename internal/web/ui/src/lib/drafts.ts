// Saves what is being written through the node, so it survives reload and
// crash. One save at a time per conversation; the newest text wins.
const WAIT = 350;

interface Entry {
  text: string;
  timer: ReturnType<typeof setTimeout> | undefined;
  saving: boolean;
  dirty: boolean;
}

export class Drafts {
  private entries = new Map<string, Entry>();

  constructor(
    private save: (conversation: string, text: string) => Promise<unknown>,
    private changed: (unsaved: number) => void = () => {},
  ) {}

  // get is what was written here since the page opened; undefined: ask the node.
  get(conversation: string): string | undefined {
    return this.entries.get(conversation)?.text;
  }

  write(conversation: string, text: string): void {
    const e = this.entries.get(conversation) ?? { text: '', timer: undefined, saving: false, dirty: false };
    if (e.text === text && this.entries.has(conversation)) return;
    e.text = text;
    e.dirty = true;
    clearTimeout(e.timer);
    e.timer = setTimeout(() => void this.flush(conversation), WAIT);
    this.entries.set(conversation, e);
    this.changed(this.count());
  }

  // flush saves now what is not saved yet. A failed save stays dirty.
  async flush(conversation: string): Promise<void> {
    const e = this.entries.get(conversation);
    if (!e || !e.dirty || e.saving) return;
    clearTimeout(e.timer);
    e.saving = true;
    e.dirty = false;
    try {
      await this.save(conversation, e.text);
    } catch {
      e.dirty = true;
      e.saving = false;
      this.changed(this.count());
      return;
    }
    e.saving = false;
    this.changed(this.count());
    if (e.dirty) await this.flush(conversation);
  }

  async flushAll(): Promise<void> {
    await Promise.all([...this.entries.keys()].map((c) => this.flush(c)));
  }

  // count is how many texts are only here. An emptied draft loses nothing.
  private count(): number {
    return [...this.entries.values()].filter((e) => (e.dirty || e.saving) && e.text.trim() !== '').length;
  }

  unsaved(): boolean {
    return [...this.entries.values()].some((e) => e.dirty || e.saving);
  }
}
