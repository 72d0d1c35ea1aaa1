/**
 * What the browser keeps for us, and what was written and not sent.
 */

/**
 * One of the browser's two storages. Where it is forbidden or full, nothing is kept, and the page
 * works on.
 */
class Kept {
  #open;

  /** `open` returns the storage; it throws where that is forbidden. */
  constructor(open) {
    this.#open = open;
  }

  /** The text under a name; null if there is none. */
  get = (name) => this.#attempt((storage) => storage.getItem(name)) ?? null;
  set = (name, value) => this.#attempt((storage) => storage.setItem(name, value));
  remove = (name) => this.#attempt((storage) => storage.removeItem(name));

  /** Names that begin so. */
  names = (prefix) =>
    (this.#attempt(Object.keys) ?? []).filter((name) => name.startsWith(prefix));

  #attempt(action) {
    try {
      return action(this.#open());
    } catch {
      return undefined;
    }
  }
}

/** For all windows of this origin, until it is removed. */
export const browserKept = new Kept(() => localStorage);

/** For this tab, until it is closed. */
export const tabKept = new Kept(() => sessionStorage);

/**
 * What was written into each conversation and not sent, as long as its author is signed in. A
 * name of its own for each conversation: two windows with two conversations do not meet.
 */
export class Drafts {
  #account = null;

  /** Somebody has signed in: from now on it is their drafts. */
  open(account) {
    this.#account = account;
  }

  /** Nobody is signed in any more; the drafts wait for their author. */
  close() {
    this.#account = null;
  }

  /** Somebody has signed out by their own will: nothing of theirs stays. */
  forget(account) {
    browserKept.names(prefixOf(account)).forEach(browserKept.remove);
  }

  get = (conversation) => browserKept.get(this.#name(conversation)) ?? "";

  set(conversation, text) {
    if (this.#account === null) return;
    if (text.trim() === "") browserKept.remove(this.#name(conversation));
    else browserKept.set(this.#name(conversation), text);
  }

  #name = (conversation) => prefixOf(this.#account) + conversation;
}

const prefixOf = (account) => `draft:${account}:`;
