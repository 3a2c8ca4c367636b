// Pausing and resuming with the API's token, which is kept for this tab only.

import { find, setText } from "./nodes.js";

const STORAGE_KEY = "progpow-miner token";
const READ_ONLY = "This miner is read-only; set token_file under [api] to change that.";
const UNREACHABLE = "The miner cannot be reached; nothing was changed.";

/** The header with `token`, in UTF-8 bytes as characters: a header has only those up to U+00FF. */
const bearer = (token) => token === null ? {} : { Authorization: `Bearer ${String.fromCharCode(...new TextEncoder().encode(token))}` };

export class Control {
  #form = find("#control");
  #field = find("#token");
  #changed;
  #readOnly = false;

  /** Calls `changed` when buttons must appear or disappear. */
  constructor(changed) {
    this.#changed = changed;
    find("#unlock").addEventListener("click", ({ target }) => {
      this.#form.hidden = !this.#form.hidden;
      target.setAttribute("aria-expanded", String(!this.#form.hidden));
      if (this.#form.hidden) return;
      this.#field.focus();
      this.check();
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const token = this.#field.value.trim();
      this.#field.value = "";
      if (token) this.#use(token);
      else this.#showAnswer("Enter the API token from the settings.");
    });
    find("#forget").addEventListener("click", () => this.#forget("Token removed."));
    for (const button of this.#form.querySelectorAll("[data-verb]")) {
      button.addEventListener("click", () => this.send(button.dataset.verb, null));
    }
    this.#show();
  }

  get hasToken() {
    return this.#token !== null;
  }

  get #token() {
    return sessionStorage.getItem(STORAGE_KEY);
  }

  /** Ask the miner whether it is read-only and, if there is a token, whether it is still right. */
  async check() {
    try {
      const { read_only: readOnly, error } = await this.#request("access", "GET", this.#token);
      if (readOnly !== undefined) this.#readOnly = readOnly;
      if (this.#readOnly) this.#forget(READ_ONLY, this.#form.hidden);
      else if (error) this.#showAnswer(error);
      else this.#show();
    } catch {
      // The page's head shows whether the miner can be reached.
    }
  }

  /** Pause or resume `device`, or all if null. */
  async send(verb, device) {
    const place = device === null ? "" : `devices/${encodeURIComponent(device)}/`;
    try {
      const { error, done } = await this.#request(`${place}${verb}`, "POST", this.#token);
      this.#showAnswer(error || done?.join("; ") || `Requested: ${verb} ${device ?? "all devices"}.`);
    } catch {
      this.#showAnswer(UNREACHABLE);
    }
  }

  async #use(token) {
    try {
      const { control, error } = await this.#request("access", "GET", token);
      if (control) sessionStorage.setItem(STORAGE_KEY, token);
      this.#showAnswer(control ? "The token is right; the buttons use it until the tab is closed." : error || READ_ONLY);
      this.#show();
    } catch {
      this.#showAnswer(UNREACHABLE);
    }
  }

  /** Return the answer's members, or those of a refusal: `error`, a sentence. */
  async #request(path, method, token) {
    const response = await fetch(`api/v1/${path}`, { method, cache: "no-store", headers: bearer(token) });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    // A wrong token is not sent again.
    if (response.status === 401) this.#forget("", true);
    return { error: answer.error || `The miner refused (status ${response.status}).` };
  }

  #forget(sentence, quiet = false) {
    sessionStorage.removeItem(STORAGE_KEY);
    if (!quiet) this.#showAnswer(sentence);
    this.#show();
  }

  #showAnswer(sentence) {
    this.#form.hidden = false;
    setText(find("#answer"), sentence);
  }

  #show() {
    find("#everything").hidden = find("#forget").hidden = !this.hasToken;
    find("#entry").hidden = this.#readOnly;
    setText(find("#unlock"), this.#readOnly ? "Read-only" : "Control");
    this.#changed();
  }
}
