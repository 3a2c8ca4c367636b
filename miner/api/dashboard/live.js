// What the miner says: its stream of events, and questions where the stream is silent.

const SILENCE = 5000; // milliseconds after which we ask
const REOPEN = 15000; // milliseconds after which a stream that ended for good is opened again
const PATIENCE = 8000; // milliseconds that an answer may take

export async function ask(path) {
  const answer = await fetch(`api/v1/${path}`, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) throw new Error(`the miner answers ${answer.status}`);
  return answer.json();
}

export class Live {
  #hear; #link;
  #stream = null;
  #streaming = false;
  #asking = false;
  #again = false;
  #heard = performance.now();
  #opened = 0;
  #last = 0;

  /** `hear` has status(object) and entries(array); `link` is told "live", "polling" or "lost". */
  constructor(hear, link) {
    this.#hear = hear;
    this.#link = link;
  }

  start() {
    this.#open();
    this.#ask();
    setInterval(() => this.#look(), 1000);
    document.addEventListener("visibilitychange", () => this.#look());
  }

  /** Forget which entries are known: the miner was started anew. */
  restart() {
    this.#last = 0;
    this.#ask();
  }

  #open() {
    this.#stream?.close();
    this.#opened = performance.now();
    this.#stream = new EventSource("api/v1/stream");
    this.#stream.addEventListener("open", () => { this.#streaming = true; });
    this.#stream.addEventListener("status", (event) => {
      this.#streaming = true;
      this.#status(JSON.parse(event.data), "live");
    });
    this.#stream.addEventListener("entry", (event) => this.#entries([JSON.parse(event.data)], false));
    this.#stream.addEventListener("error", () => {
      this.#streaming = false;
      this.#ask();
    });
  }

  #look() {
    const now = performance.now();
    if (document.hidden || now - this.#heard < SILENCE) return;
    const ended = this.#stream.readyState === EventSource.CLOSED;
    if (now - this.#opened > REOPEN && (ended || now - this.#heard > REOPEN)) this.#open();
    this.#ask();
  }

  async #ask() {
    this.#again = this.#asking;
    if (this.#asking) return;
    this.#asking = true;
    try {
      const [status, { events }] = await Promise.all([ask("status"), ask(`events?after=${this.#last}&limit=500`)]);
      this.#entries(events, true);
      this.#status(status, this.#streaming ? "live" : "polling");
    } catch {
      this.#link("lost");
    } finally {
      this.#asking = false;
      if (this.#again) this.#ask();
    }
  }

  #status(status, link) {
    this.#heard = performance.now();
    this.#link(link);
    this.#hear.status(status);
  }

  // Only an answer moves `last` on: entries of the stream may come before older ones are known.
  #entries(entries, asked) {
    if (asked) for (const entry of entries) this.#last = Math.max(this.#last, entry.number);
    if (entries.length) this.#hear.entries(entries);
  }
}
