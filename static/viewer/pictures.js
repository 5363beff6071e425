// Fetches pictures in the order they are wanted, few at a time; keeps the last ones as files and as bitmaps.

const AT_ONCE = 6;
const MOST_FILES = 96 << 20;
const MOST_BITMAPS = 256 << 20;

// The most recently used of what weighs less than `most` together.
class Recent {
  constructor(most, gone = () => {}) {
    this.most = most;
    this.gone = gone;
    this.kept = new Map();
    this.weight = 0;
  }

  get(name) {
    const found = this.kept.get(name);
    if (found === undefined) return undefined;
    this.kept.delete(name);
    this.kept.set(name, found);
    return found.value;
  }

  has(name) {
    return this.kept.has(name);
  }

  put(name, value, weight) {
    this.drop(name);
    this.kept.set(name, { value, weight });
    this.weight += weight;
    for (const oldest of this.kept.keys()) {
      if (this.weight <= this.most || oldest === name) break;
      this.drop(oldest);
    }
  }

  drop(name) {
    const found = this.kept.get(name);
    if (found === undefined) return;
    this.kept.delete(name);
    this.weight -= found.weight;
    this.gone(found.value);
  }
}

export class Pictures {
  // `ready` is called with the address of each picture that came, or with what went wrong.
  constructor(ready) {
    this.ready = ready;
    this.files = new Recent(MOST_FILES);
    this.bitmaps = new Recent(MOST_BITMAPS, (bitmap) => bitmap.close());
    this.queue = [];
    this.running = new Map();
    this.failed = new Map();
  }

  get(address) {
    return this.bitmaps.get(address);
  }

  has(address) {
    return this.bitmaps.has(address);
  }

  // What is wanted from now on, the most urgent first; what is on its way and not among it is broken off.
  plan(addresses) {
    const wanted = new Set(addresses);
    for (const [address, running] of this.running) {
      if (!wanted.has(address)) running.abort();
    }
    this.queue = [...wanted].filter(
      (one) => !this.bitmaps.has(one) && !this.running.has(one) && !this.failed.has(one),
    );
    this.next();
  }

  again() {
    this.failed.clear();
  }

  next() {
    while (this.running.size < AT_ONCE && this.queue.length) {
      const address = this.queue.shift();
      const breaking = new AbortController();
      this.running.set(address, breaking);
      this.load(address, breaking.signal)
        .then(() => this.settle(address, null))
        .catch((error) => this.settle(address, error));
    }
  }

  settle(address, error) {
    this.running.delete(address);
    if (error && error.name !== "AbortError") this.failed.set(address, error.message);
    if (!error || error.name !== "AbortError") this.ready(address, error);
    this.next();
  }

  async load(address, signal) {
    let file = this.files.get(address);
    if (!file) {
      const answer = await fetch(address, { signal, headers: { Accept: "image/jpeg, image/png;q=0.9" } });
      if (!answer.ok) throw new Error(await reason(answer));
      file = await answer.blob();
      this.files.put(address, file, file.size);
    }
    const bitmap = await createImageBitmap(file);
    this.bitmaps.put(address, bitmap, bitmap.width * bitmap.height * 4);
  }
}

async function reason(answer) {
  const told = await answer.json().catch(() => ({}));
  return told.error || `The server answered ${answer.status}.`;
}
