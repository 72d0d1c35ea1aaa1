/**
 * The browser's storage, and the drafts in it.
 */

/**
 * One of the browser's two storages. Where it is forbidden or full, nothing is stored, and the page
 * still works.
 */
class BrowserStorage {
  #open;

  /** `open` returns the storage; it throws where storage is forbidden. */
  constructor(open) {
    this.#open = open;
  }

  /** The text of a name; null if there is none. */
  get = (name) => this.#attempt((storage) => storage.getItem(name)) ?? null;
  set = (name, value) => this.#attempt((storage) => storage.setItem(name, value));
  remove = (name) => this.#attempt((storage) => storage.removeItem(name));

  /** Names with a prefix. */
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

/** Storage for all windows of this origin, until an item is removed. */
export const originStorage = new BrowserStorage(() => localStorage);

/** Storage for this tab, until it is closed. */
export const tabStorage = new BrowserStorage(() => sessionStorage);

/**
 * Drafts of each conversation, as long as their author is signed in. Each conversation has a name
 * of its own in the storage: two windows with two conversations do not overwrite each other.
 */
export class Drafts {
  #account = null;

  /** Use the drafts of an account that has signed in. */
  open(account) {
    this.#account = account;
  }

  /** Stop using them when the session ends; storage still holds them for their author. */
  close() {
    this.#account = null;
  }

  /** Remove all drafts of an account that has signed out itself. */
  forget(account) {
    originStorage.names(prefixOf(account)).forEach(originStorage.remove);
  }

  get = (conversation) => originStorage.get(this.#name(conversation)) ?? "";

  set(conversation, text) {
    if (this.#account === null) return;
    if (text.trim() === "") originStorage.remove(this.#name(conversation));
    else originStorage.set(this.#name(conversation), text);
  }

  #name = (conversation) => prefixOf(this.#account) + conversation;
}

const prefixOf = (account) => `draft:${account}:`;
