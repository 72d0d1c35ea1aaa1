/**
 * The open conversation: its messages, unsent ones, and older or newer ones when it is scrolled.
 */

import { arrange, dayText, drawAvatar, fromTemplate, subtitle } from "./conversations.js";
import { drawMessage } from "./faces.js";
import { History } from "./history.js";

/** Messages of one person within this many seconds are grouped under one name. */
const TOGETHER_SECONDS = 300;

/** Distance in pixels within which the log counts as scrolled to its end or start. */
const NEAR_PIXELS = 80;

/** Messages fetched on each side of a jump target. */
const AROUND = 30;

/** Milliseconds that "is typing" is shown after the last report. */
const TYPING_MS = 6_000;

/** Milliseconds that a note, such as a poke, is shown. */
const NOTE_MS = 6_000;

/** Seconds in which an author can recall a message. */
const RECALL_SECONDS = 120;

/** The right pane: one conversation at a time. */
export class Thread {
  #api;
  #composer;
  #conversation = null;
  #drafts;
  #faces;
  #newestKnown = 0; // id of the newest message, loaded or not
  #history = new History();
  #isAtEnd = true;
  #isLoading = false;
  #noteTimer = null;
  #me;
  #onRead;
  #onRecall;
  #outbox;
  #part;
  #readUpTo = 0;
  #rows = new Map();
  #typing = null;
  #jumpTarget = null; // id of the last message jumped to

  /** `node`: the pane; `onRead(conversation, message)`: all messages up to this one are read. */
  constructor(node, { api, composer, drafts, faces, me, onRead, onRecall, outbox }) {
    this.#api = api;
    this.#composer = composer;
    this.#drafts = drafts;
    this.#faces = faces;
    this.#me = me;
    this.#onRead = onRead;
    this.#onRecall = onRecall;
    this.#outbox = outbox;
    this.#part = (selector) => node.querySelector(selector);
    const log = this.#part(".log");
    log.addEventListener("scroll", () => this.#scrolled());
    log.addEventListener("keydown", ({ key }) => key === "End" && this.#goToEnd());
    new ResizeObserver(() => this.#isAtEnd && this.#scrollToEnd()).observe(log);
    this.#part(".newest").addEventListener("click", () => {
      this.#goToEnd();
      this.#composer.focus(); // the focused button is hidden now
    });
    document.addEventListener("visibilitychange", () => this.#markRead());
  }

  get conversation() {
    return this.#conversation;
  }

  /** True if a new message of this conversation is in view. */
  isReading = (id) =>
    this.#conversation?.id === id && !document.hidden && !this.#history.hasNewer;

  /** Show a conversation, or none (`null`), at its end or at a message. */
  async open(conversation, message = null) {
    this.#conversation = conversation;
    this.#newestKnown = 0;
    this.#reset();
    this.render();
    if (!conversation) return;
    this.#composer.draft = this.#drafts.get(conversation.id);
    if (message !== null) return this.jumpTo(message);
    this.#composer.focus();
    await this.sync();
  }

  /** Use the new record of this conversation after the contacts were reloaded. */
  refresh(conversation) {
    if (!conversation) return this.open(null);
    this.#conversation = conversation;
    this.render();
  }

  /** Fetch the newest messages; the loaded ones stay unless there is a gap. */
  async sync() {
    if (this.#history.hasNewer) return; // old messages are in view: the newest load when the user scrolls there
    const page = this.#conversation && (await this.#load({}));
    if (!page) return;
    const isFirst = this.#history.hasOlder === null;
    const hasGap = !isFirst && page.more && !page.messages.some(({ id }) => this.#history.has(id));
    if (hasGap) this.#reset();
    if (isFirst || hasGap) this.#history.hasOlder = page.more;
    this.#add(page.messages);
    this.#fill();
  }

  /** Show a message among those around it. */
  async jumpTo(id) {
    this.#jumpTarget = id;
    if (!this.#history.has(id) && !(await this.#loadAround(id))) return;
    if (!this.#history.isDrawn(id)) this.#history.drawAround(id);
    this.#isAtEnd = false;
    this.render();
    this.#focusRow(this.#rows.get(id));
    this.#updateNewestButton();
    this.#markRead();
  }

  async #loadAround(id) {
    const sides = [{ before: id + 1, limit: AROUND }, { after: id, limit: AROUND }];
    const [older, newer] = await Promise.all(sides.map((side) => this.#load(side)));
    if (!older || !newer || this.#jumpTarget !== id) return false;
    this.#reset();
    this.#history.add([...older.messages, ...newer.messages], false);
    this.#history.hasOlder = older.more;
    this.#setNewer(newer);
    return true;
  }

  /** Scroll to a row and focus it, which also announces it to screen readers. */
  #focusRow(row) {
    if (!row) return this.#scrollToEnd(); // there is no such message
    row.tabIndex = -1;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "center" });
  }

  /** Send a message, and show it at once. */
  send(content) {
    this.#drawEnd();
    this.#outbox.add(this.#conversation.id, content);
  }

  /** Close the conversation and empty the composer: another user may sign in. */
  clear() {
    this.open(null);
    this.#composer.draft = "";
  }

  /** Show that a friend is typing. */
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

  /** Add a message that came by the WebSocket or in the response to a send. */
  received(message) {
    if (message.conversation !== this.#conversation?.id) return;
    if (!message.mine) this.#stopTyping();
    this.#newestKnown = Math.max(this.#newestKnown, message.id);
    if (!this.#history.hasNewer) this.#add([message]);
    else if (!message.mine) this.#updateNewestButton(true); // it loads when the user scrolls to the end
  }

  /** Update a changed message: it was recalled. */
  changed(message) {
    if (message.conversation !== this.#conversation?.id) return;
    if (this.#history.replace(message)) this.#rows.delete(message.id);
    this.render();
  }

  /** Show a poke. */
  poked(text) {
    const note = this.#part(".note");
    note.textContent = text;
    note.hidden = false;
    clearTimeout(this.#noteTimer);
    this.#noteTimer = setTimeout(() => { note.hidden = true; }, NOTE_MS);
  }

  /** Draw the header, the messages and the unsent ones. */
  render() {
    this.#part(".conversation").hidden = !this.#conversation;
    this.#part(".nothing").hidden = Boolean(this.#conversation);
    if (!this.#conversation) return;
    this.#renderHeader();
    const seen = this.#isAtEnd ? [] : this.#rowsInView();
    arrange(this.#part(".messages"), this.#nodes());
    if (this.#isAtEnd) this.#scrollToEnd();
    else this.#restoreScroll(seen);
  }

  /** Rows in view: [row, distance from the top]. */
  #rowsInView() {
    const { top, bottom } = this.#part(".log").getBoundingClientRect();
    const rows = [...this.#part(".messages").children].map((row) => [row, row.getBoundingClientRect()]);
    return rows.filter(([, place]) => place.bottom > top && place.top < bottom).map(([row, place]) => [row, place.top]);
  }

  /** Scroll so that the rows in view stay in place. */
  #restoreScroll(seen) {
    const [row, top] = seen.find(([each]) => each.isConnected) ?? [];
    if (row) this.#part(".log").scrollTop += row.getBoundingClientRect().top - top;
  }

  #reset() {
    this.#history.clear();
    this.#rows.clear();
    this.#readUpTo = 0;
    this.#isAtEnd = true;
    this.#part(".messages").replaceChildren();
    this.#part(".newest").hidden = true;
    clearTimeout(this.#typing);
    this.#typing = null;
  }

  /** A page of messages; null if the call failed or another conversation is open by then. */
  async #load(side) {
    const { id } = this.#conversation;
    this.#isLoading = true;
    try {
      const page = await this.#api.messages(id, side);
      return id === this.#conversation?.id ? page : null;
    } catch {
      return null; // the page shows that the server is unreachable, and syncs after the reconnect
    } finally {
      this.#isLoading = false;
    }
  }

  /** Draw older messages: loaded ones, else from the server. */
  async #showOlder() {
    if (this.#history.drawOlder()) return this.render();
    if (this.#isLoading || !this.#history.hasOlder || !this.#conversation) return;
    this.#part(".older").hidden = false;
    const before = this.#history.first;
    const page = await this.#load({ before });
    this.#part(".older").hidden = true;
    if (!page || this.#history.first !== before) return;
    this.#history.hasOlder = page.more;
    this.#history.add(page.messages, false);
    this.#history.drawOlder();
    this.#measure(); // the event of a scroll just made may be still to come
    this.render();
    this.#fill();
  }

  /** Draw newer messages likewise, unless all are drawn. */
  async #showNewer() {
    if (this.#history.isDrawnToEnd) return;
    if (this.#history.drawNewer()) return this.#showMore();
    if (this.#isLoading) return;
    const after = this.#history.last;
    const page = await this.#load({ after });
    if (!page || this.#history.last !== after) return;
    this.#setNewer(page);
    this.#history.add(page.messages, false);
    this.#history.drawNewer();
    this.#showMore();
  }

  #showMore() {
    this.#isAtEnd = false;
    this.render();
    this.#scrolled();
    this.#markRead();
  }

  /** Messages received during the fetch are not in its page: the server has more than it says. */
  #setNewer({ messages, more }) {
    const last = Math.max(this.#history.last, messages.at(-1)?.id ?? 0);
    this.#history.hasNewer = more || last < this.#newestKnown;
  }

  /** A log higher than its messages cannot be scrolled up: load more. */
  #fill() {
    const log = this.#part(".log");
    if (log.scrollHeight <= log.clientHeight) this.#showOlder();
  }

  #add(messages) {
    const isNew = messages.some(({ id, mine }) => !mine && id > this.#history.last);
    this.#measure(); // the event of a scroll just made may be still to come
    this.#history.add(messages, this.#isAtEnd);
    this.render();
    this.#updateNewestButton(isNew);
    this.#markRead();
  }

  #markRead() {
    const newest = this.#history.last;
    if (document.hidden || !this.#conversation || newest <= this.#readUpTo) return;
    this.#readUpTo = newest;
    this.#onRead(this.#conversation, newest);
  }

  /** Update `#isAtEnd`; returns how far the log is scrolled. */
  #measure() {
    const { scrollTop } = this.#part(".log");
    this.#isAtEnd = this.#history.isDrawnToEnd && this.#isNearBottom();
    return scrollTop;
  }

  #isNearBottom() {
    const { scrollTop, scrollHeight, clientHeight } = this.#part(".log");
    return scrollHeight - scrollTop - clientHeight < NEAR_PIXELS;
  }

  #scrolled() {
    if (!this.#conversation) return;
    if (this.#measure() < NEAR_PIXELS) this.#showOlder();
    if (!this.#isAtEnd && this.#isNearBottom()) this.#showNewer();
    this.#updateNewestButton();
  }

  /** Show the button to the end if that is far, or has new messages (`isNew`). */
  #updateNewestButton(isNew = false) {
    const [button, log] = [this.#part(".newest"), this.#part(".log")];
    const wasNew = !button.hidden && button.dataset.new === "true";
    const isFar = log.scrollHeight - log.scrollTop > 3 * log.clientHeight;
    const hasNew = isNew || wasNew;
    button.hidden = this.#isAtEnd || !(hasNew || isFar || !this.#history.isDrawnToEnd);
    button.dataset.new = String(hasNew);
    button.textContent = hasNew ? "New messages ↓" : "Newest messages ↓";
  }

  #goToEnd() {
    this.#drawEnd();
    this.render();
    this.#markRead();
  }

  /** Draw the newest messages: loaded ones, else from the server. */
  #drawEnd() {
    this.#isAtEnd = true;
    if (!this.#history.hasNewer) return this.#history.drawNewest();
    this.#reset();
    this.sync();
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

  /** Elements of the list in order: day separators, messages, unsent ones. */
  #nodes() {
    const isToEnd = this.#history.isDrawnToEnd;
    const pending = isToEnd ? this.#outbox.of(this.#conversation.id).map(asMessage) : [];
    const rows = new Map(); // rows no longer drawn are dropped, and created again when needed
    let previous = null;
    for (const message of [...this.#history.drawn, ...pending]) {
      const key = message.id ?? message.nonce;
      const isNewDay = !previous || !isSameDay(previous.time, message.time);
      if (isNewDay) rows.set(`day ${key}`, this.#dayRow(`day ${key}`, message.time));
      rows.set(key, this.#row(key, message, isNewDay ? null : previous));
      previous = message;
    }
    this.#rows = rows;
    return [...rows.values()];
  }

  #dayRow(key, time) {
    const row = this.#rows.get(key) ?? fromTemplate("day-row");
    row.firstChild.textContent = dayText(time); // "Today" until midnight
    return row;
  }

  #row(key, message, previous) {
    const row = this.#rows.get(key) ?? this.#newRow(message);
    row.classList.toggle("follows", previous !== null && isTogether(previous, message));
    if (message.entry) this.#drawState(row, message.entry);
    return row;
  }

  #newRow(message) {
    const row = fromTemplate("message-row");
    drawMessage(row, message, this.#conversation, this.#faces);
    const actions = row.querySelector(".actions");
    actions.hidden = !message.id || Boolean(message.recalled);
    actions.querySelector(".reply").addEventListener("click", () => this.#composer.replyTo(message));
    const recall = actions.querySelector(".recall");
    recall.addEventListener("click", () => this.#onRecall(message));
    // The same rule as the server's, which decides.
    row.addEventListener("pointerenter", () => { recall.hidden = !this.#mayRecall(message); });
    recall.hidden = !this.#mayRecall(message);
    return row;
  }

  #mayRecall({ mine, time, from }) {
    const { kind, owner, members = [] } = this.#conversation;
    const rank = (account) =>
      account === owner ? 2 : members.find((each) => each.account === account)?.admin ? 1 : 0;
    const leads = kind === "group" ? rank(this.#me()) : 0;
    if (mine) return leads > 0 || Date.now() / 1000 - time < RECALL_SECONDS;
    return leads > rank(from.account);
  }

  #drawState(row, entry) {
    const { error } = entry; // stays during an automatic retry: nothing flickers
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

function isSameDay(a, b) {
  const [one, other] = [new Date(a * 1000), new Date(b * 1000)];
  return one.toDateString() === other.toDateString();
}
