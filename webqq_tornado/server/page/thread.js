/**
 * The open conversation: its messages, those on their way out, older ones on scroll up.
 */

import { arrange, dayText, drawAvatar, fromTemplate, subtitle } from "./conversations.js";
import { drawMessage } from "./faces.js";

/** Messages of one person within this many seconds stand together under one name. */
const TOGETHER_SECONDS = 300;

/** Nearer to the end or the start than this many pixels counts as "there". */
const NEAR_PIXELS = 80;

/** "is typing" is shown for so many milliseconds after the last word of it. */
const TYPING_MS = 6_000;

/** The right pane: one conversation at a time. */
export class Thread {
  #api;
  #composer;
  #conversation = null;
  #drafts = new Map();
  #faces;
  #isAtEnd = true;
  #isLoading = false;
  #messages = new Map();
  #more = null; // whether there are older ones; null: nothing was fetched yet
  #oldest = Infinity;
  #onRead;
  #outbox;
  #part;
  #readUpTo = 0;
  #rows = new Map();
  #typing = null;

  /** `node`: the pane; `onRead(conversation, message)`: all up to this message was read. */
  constructor(node, { api, composer, faces, onRead, outbox }) {
    this.#api = api;
    this.#composer = composer;
    this.#faces = faces;
    this.#onRead = onRead;
    this.#outbox = outbox;
    this.#part = (selector) => node.querySelector(selector);
    const log = this.#part(".log");
    log.addEventListener("scroll", () => this.#scrolled());
    new ResizeObserver(() => this.#isAtEnd && this.#scrollToEnd()).observe(log);
    this.#part(".newest").addEventListener("click", () => this.#scrollToEnd());
    document.addEventListener("visibilitychange", () => this.#markRead());
  }

  get conversation() {
    return this.#conversation;
  }

  /** Whether what arrives in this conversation now is being seen. */
  isReading = (id) => this.#conversation?.id === id && !document.hidden;

  /** Show a conversation, or none (`null`). */
  async open(conversation) {
    if (this.#conversation) this.#drafts.set(this.#conversation.id, this.#composer.draft);
    this.#conversation = conversation;
    this.#forget();
    this.render();
    if (!conversation) return;
    this.#composer.draft = this.#drafts.get(conversation.id) ?? "";
    this.#composer.focus();
    await this.sync();
  }

  /** The contacts were loaded again: go on with the new record of this conversation, if any. */
  refresh(conversation) {
    if (!conversation) return this.open(null);
    this.#conversation = conversation;
    this.render();
  }

  /** Fetch the newest messages; what is on display stays, unless there is a gap in between. */
  async sync() {
    const page = this.#conversation && (await this.#load(this.#conversation, null));
    if (!page) return;
    const isFirst = this.#more === null;
    const hasGap = !isFirst && page.more && !page.messages.some(({ id }) => this.#messages.has(id));
    if (hasGap) this.#forget();
    if (isFirst || hasGap) this.#more = page.more;
    this.#add(page.messages);
    this.#fill();
  }

  /** Send what was written, and show it at once. */
  send(content) {
    this.#isAtEnd = true;
    this.#outbox.add(this.#conversation.id, content);
  }

  /** Somebody else may sign in now: nothing of this one's stays. */
  clear() {
    this.open(null);
    this.#composer.draft = "";
    this.#drafts.clear();
  }

  /** Somebody is writing to us. */
  typing(account) {
    if (this.#conversation?.id !== `friend:${account}`) return;
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#stopTyping(), TYPING_MS);
    this.#renderHeader();
  }

  #stopTyping() {
    clearTimeout(this.#typing);
    this.#typing = null;
    if (this.#conversation) this.#renderHeader();
  }

  /** A message came by the live link or as the answer to a send. */
  received(message) {
    if (!message.mine && message.conversation === this.#conversation?.id) this.#stopTyping();
    if (message.conversation === this.#conversation?.id) this.#add([message]);
  }

  /** Draw again what changed: header, messages, pending ones. */
  render() {
    this.#part(".conversation").hidden = !this.#conversation;
    this.#part(".nothing").hidden = Boolean(this.#conversation);
    if (!this.#conversation) return;
    this.#renderHeader();
    const [log, list] = [this.#part(".log"), this.#part(".messages")];
    const [height, top] = [log.scrollHeight, this.#oldest];
    arrange(list, this.#nodes());
    this.#oldest = Math.min(...this.#messages.keys());
    // Older messages came in above: what was being looked at stays where it was.
    if (this.#oldest < top) log.scrollTop += log.scrollHeight - height;
    if (this.#isAtEnd) this.#scrollToEnd();
  }

  #forget() {
    this.#messages.clear();
    this.#rows.clear();
    this.#readUpTo = 0;
    this.#oldest = Infinity;
    this.#more = null;
    this.#isAtEnd = true;
    this.#part(".messages").replaceChildren();
    clearTimeout(this.#typing);
    this.#typing = null;
  }

  /** A page of messages, or null when it did not come or another conversation is open by then. */
  async #load(conversation, before) {
    this.#isLoading = true;
    try {
      const page = await this.#api.messages(conversation.id, before);
      return conversation.id === this.#conversation?.id ? page : null;
    } catch {
      return null; // the live link says that the server is away, and its return syncs again
    } finally {
      this.#isLoading = false;
    }
  }

  async #loadOlder() {
    if (this.#isLoading || !this.#more || !this.#conversation) return;
    this.#part(".older").hidden = false;
    const page = await this.#load(this.#conversation, this.#oldest);
    this.#part(".older").hidden = true;
    if (!page) return;
    this.#more = page.more;
    this.#add(page.messages);
    this.#fill();
  }

  /** A pane too high for one page of messages can not be scrolled up: take one more. */
  #fill() {
    const log = this.#part(".log");
    if (log.scrollHeight <= log.clientHeight) this.#loadOlder();
  }

  #add(messages) {
    const newest = Math.max(0, ...this.#messages.keys());
    const isNew = messages.some(({ id, mine }) => !mine && id > newest);
    messages.forEach((message) => this.#messages.set(message.id, message));
    this.#measure(); // the event of a scroll just made may be still to come
    this.render();
    this.#part(".newest").hidden = this.#isAtEnd || !isNew;
    this.#markRead();
  }

  #markRead() {
    const newest = Math.max(0, ...this.#messages.keys());
    if (document.hidden || !this.#conversation || newest <= this.#readUpTo) return;
    this.#readUpTo = newest;
    this.#onRead(this.#conversation, newest);
  }

  /** See whether the end is in view; returns how far the log is scrolled. */
  #measure() {
    const { scrollTop, scrollHeight, clientHeight } = this.#part(".log");
    this.#isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_PIXELS;
    return scrollTop;
  }

  #scrolled() {
    if (this.#measure() < NEAR_PIXELS) this.#loadOlder();
    if (this.#isAtEnd) this.#part(".newest").hidden = true;
  }

  #scrollToEnd() {
    this.#part(".log").scrollTop = this.#part(".log").scrollHeight;
    this.#part(".newest").hidden = true;
  }

  #renderHeader() {
    drawAvatar(this.#part("header .avatar"), this.#conversation);
    this.#part("h2").textContent = this.#conversation.name;
    const { kind, members } = this.#conversation;
    this.#part(".subtitle").textContent = this.#typing ? "is typing…" : subtitle(this.#conversation);
    this.#part(".show-members").hidden = !members;
    this.#part(".show-details").hidden = kind === "session";
  }

  /** The list's elements in order: day separators, messages, then the pending ones. */
  #nodes() {
    const sent = [...this.#messages.values()].sort((a, b) => a.id - b.id);
    const pending = this.#outbox.of(this.#conversation.id).map(asMessage);
    const nodes = [];
    let previous = null;
    for (const message of [...sent, ...pending]) {
      const day = dayText(message.time);
      const isNewDay = !previous || day !== dayText(previous.time);
      if (isNewDay) nodes.push(this.#cached(day, "day-row", (row) => row.firstChild.append(day)));
      nodes.push(this.#row(message, isNewDay ? null : previous));
      previous = message;
    }
    return nodes;
  }

  #row(message, previous) {
    const row = this.#cached(message.id ?? message.nonce, "message-row", (made) =>
      drawMessage(made, message, this.#conversation, this.#faces),
    );
    row.classList.toggle("follows", previous !== null && isTogether(previous, message));
    if (message.entry) this.#drawState(row, message.entry);
    return row;
  }

  #cached(key, template, draw) {
    if (!this.#rows.has(key)) {
      const row = fromTemplate(template);
      draw(row);
      this.#rows.set(key, row);
    }
    return this.#rows.get(key);
  }

  #drawState(row, entry) {
    const { error } = entry; // stays while it is tried again by itself: nothing flickers
    row.classList.add("pending");
    row.classList.toggle("failed", error !== null);
    row.querySelector(".state").hidden = error === null;
    row.querySelector(".not-sent").textContent = error?.isTemporary ? "Not sent yet." : "Not sent.";
    row.querySelector(".reason").textContent = error?.message ?? "";
    row.querySelector(".retry").onclick = () => this.#outbox.retry(entry);
    row.querySelector(".discard").onclick = () => this.#outbox.discard(entry);
  }
}

const asMessage = (entry) => ({ ...entry, entry, mine: true });

function isTogether(a, b) {
  const isSame = a.mine === b.mine && (a.mine || a.from.account === b.from.account);
  return isSame && b.time - a.time < TOGETHER_SECONDS;
}
