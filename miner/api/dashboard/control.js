// Pausing and resuming with the API's token, which is kept for this tab only.

import { find, setText } from "./nodes.js";

const STORAGE_KEY = "progpow-miner token";

/** UTF-8 bytes as characters, since a header may contain only those up to U+00FF. */
const headerText = (text) => String.fromCharCode(...new TextEncoder().encode(text));

export class Control {
  #form = find("#control");
  #field = find("#token");
  #changed;

  /** Calls `changed` when buttons must appear or disappear. */
  constructor(changed) {
    this.#changed = changed;
    const unlock = find("#unlock");
    unlock.addEventListener("click", () => {
      this.#form.hidden = !this.#form.hidden;
      unlock.setAttribute("aria-expanded", String(!this.#form.hidden));
      if (!this.#form.hidden) this.#field.focus();
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.#field.value.trim()) return this.#showAnswer("Enter the API token from the settings.");
      sessionStorage.setItem(STORAGE_KEY, this.#field.value.trim());
      this.#field.value = "";
      this.#showAnswer("The buttons use this token until the tab is closed.");
      this.#show();
    });
    find("#forget").addEventListener("click", () => this.#forget("Token removed."));
    for (const button of this.#form.querySelectorAll("[data-verb]")) {
      button.addEventListener("click", () => this.send(button.dataset.verb, null));
    }
    this.#show();
  }

  get hasToken() {
    return sessionStorage.getItem(STORAGE_KEY) !== null;
  }

  /** Pause or resume `device`, or all if null. */
  async send(verb, device) {
    const place = device === null ? "" : `devices/${encodeURIComponent(device)}/`;
    try {
      const response = await fetch(`api/v1/${place}${verb}`, {
        method: "POST", headers: { Authorization: `Bearer ${headerText(sessionStorage.getItem(STORAGE_KEY))}` },
      });
      const { error, done } = await response.json().catch(() => ({}));
      if (response.ok) return this.#showAnswer(done?.join("; ") || `Requested: ${verb} ${device ?? "all devices"}.`);
      const sentence = error || `The miner refused (status ${response.status}).`;
      if (response.status === 401) this.#forget(sentence);
      else this.#showAnswer(sentence);
    } catch {
      this.#showAnswer("The miner cannot be reached; nothing was changed.");
    }
  }

  #forget(sentence) {
    sessionStorage.removeItem(STORAGE_KEY);
    this.#showAnswer(sentence);
    this.#show();
  }

  #showAnswer(sentence) {
    this.#form.hidden = false;
    setText(find("#answer"), sentence);
  }

  #show() {
    find("#everything").hidden = find("#forget").hidden = !this.hasToken;
    this.#changed();
  }
}
