// Live data of the miner: its event stream, and polling while the stream is silent.

const SILENCE_MS = 5000; // without a status before polling
const REOPEN_MS = 15000; // before a closed or silent stream is opened again
const TIMEOUT_MS = 8000; // for a response

export async function fetchJson(path) {
  const response = await fetch(`api/v1/${path}`, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

export class Live {
  #handlers; #onLink;
  #stream = null;
  #streaming = false;
  #polling = false;
  #pollAgain = false;
  #lastStatusAt = performance.now();
  #openedAt = 0;
  #lastNumber = 0;

  /** Calls `handlers.status(object)` and `handlers.entries(array)` with new data, and
   * `onLink(state)` with "live", "polling" or "lost". */
  constructor(handlers, onLink) {
    this.#handlers = handlers;
    this.#onLink = onLink;
  }

  start() {
    this.#open();
    this.#poll();
    setInterval(() => this.#check(), 1000);
    document.addEventListener("visibilitychange", () => this.#check());
  }

  /** Forget which entries are known, since the miner was restarted. */
  restart() {
    this.#lastNumber = 0;
    this.#poll();
  }

  #open() {
    this.#stream?.close();
    this.#openedAt = performance.now();
    this.#stream = new EventSource("api/v1/stream");
    this.#stream.addEventListener("open", () => { this.#streaming = true; });
    this.#stream.addEventListener("status", (event) => {
      this.#streaming = true;
      this.#status(JSON.parse(event.data), "live");
    });
    this.#stream.addEventListener("entry", (event) => this.#entries([JSON.parse(event.data)], false));
    this.#stream.addEventListener("error", () => {
      this.#streaming = false;
      this.#poll();
    });
  }

  #check() {
    const now = performance.now();
    if (document.hidden || now - this.#lastStatusAt < SILENCE_MS) return;
    const ended = this.#stream.readyState === EventSource.CLOSED;
    if (now - this.#openedAt > REOPEN_MS && (ended || now - this.#lastStatusAt > REOPEN_MS)) this.#open();
    this.#poll();
  }

  async #poll() {
    this.#pollAgain = this.#polling;
    if (this.#polling) return;
    this.#polling = true;
    try {
      const [status, { events }] = await Promise.all([fetchJson("status"), fetchJson(`events?after=${this.#lastNumber}&limit=500`)]);
      this.#entries(events, true);
      this.#status(status, this.#streaming ? "live" : "polling");
    } catch {
      this.#onLink("lost");
    } finally {
      this.#polling = false;
      if (this.#pollAgain) this.#poll();
    }
  }

  #status(status, link) {
    this.#lastStatusAt = performance.now();
    this.#onLink(link);
    this.#handlers.status(status);
  }

  // Only polled entries count as known: the stream may send entries before older ones are known.
  #entries(entries, polled) {
    if (polled) for (const entry of entries) this.#lastNumber = Math.max(this.#lastNumber, entry.number);
    if (entries.length) this.#handlers.entries(entries);
  }
}
