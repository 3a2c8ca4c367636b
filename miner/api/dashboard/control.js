// Pausing and resuming, for who has the token; it is kept for this tab only.

import { find, put } from "./nodes.js";

const KEY = "progpow-miner token";

/** UTF-8 in the only characters that a header may have. */
const bytes = (text) => String.fromCharCode(...new TextEncoder().encode(text));

export class Control {
  #form = find("#control");
  #field = find("#token");
  #changed;

  /** `changed` is called when buttons are to appear or to go. */
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
      if (!this.#field.value.trim()) return this.#say("Type the token that the settings name as the API's.");
      sessionStorage.setItem(KEY, this.#field.value.trim());
      this.#field.value = "";
      this.#say("The buttons use this token until the tab is closed.");
      this.#show();
    });
    find("#forget").addEventListener("click", () => this.#forget("The token is forgotten."));
    for (const button of this.#form.querySelectorAll("[data-verb]")) {
      button.addEventListener("click", () => this.send(button.dataset.verb, null));
    }
    this.#show();
  }

  get unlocked() {
    return sessionStorage.getItem(KEY) !== null;
  }

  /** Pause or resume `device`, or all where it is null. */
  async send(verb, device) {
    const place = device === null ? "" : `devices/${encodeURIComponent(device)}/`;
    try {
      const answer = await fetch(`api/v1/${place}${verb}`, {
        method: "POST", headers: { Authorization: `Bearer ${bytes(sessionStorage.getItem(KEY))}` },
      });
      const { error, done } = await answer.json().catch(() => ({}));
      if (answer.ok) return this.#say(done?.join("; ") || `${device ?? "Every device"} was told to ${verb}.`);
      const sentence = error || `The miner refused with ${answer.status}.`;
      if (answer.status === 401) this.#forget(sentence);
      else this.#say(sentence);
    } catch {
      this.#say("The miner cannot be reached, nothing was changed.");
    }
  }

  #forget(sentence) {
    sessionStorage.removeItem(KEY);
    this.#say(sentence);
    this.#show();
  }

  #say(sentence) {
    this.#form.hidden = false;
    put(find("#answer"), sentence);
  }

  #show() {
    find("#everything").hidden = find("#forget").hidden = !this.unlocked;
    this.#changed();
  }
}
