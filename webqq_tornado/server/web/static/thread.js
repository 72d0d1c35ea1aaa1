/**
 * The open conversation: its messages, those on their way out, others when it is scrolled.
 */

import { arrange, dayText, drawAvatar, fromTemplate, subtitle } from "./conversations.js";
import { drawMessage } from "./faces.js";
import { History } from "./history.js";

/** Messages of one person within this many seconds stand together under one name. */
const TOGETHER_SECONDS = 300;

/** Nearer to the end or the start than this many pixels counts as "there". */
const NEAR_PIXELS = 80;

/** Messages on each side of one that is jumped to. */
const AROUND = 30;

/** "is typing" is shown for so many milliseconds after the last word of it. */
const TYPING_MS = 6_000;

/** What is no message is shown for so many milliseconds. */
const NOTE_MS = 6_000;

/** One's own message can be taken back for so many seconds. */
const RECALL_SECONDS = 120;

/** The right pane: one conversation at a time. */
export class Thread {
  #api;
  #composer;
  #conversation = null;
  #drafts;
  #faces;
  #heard = 0; // the newest message here that we know of, whether we have it or not
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
  #wanted = null; // the message that was jumped to last

  /** `node`: the pane; `onRead(conversation, message)`: all up to this message was read. */
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
      this.#composer.focus(); // the button that had it is gone
    });
    document.addEventListener("visibilitychange", () => this.#markRead());
  }

  get conversation() {
    return this.#conversation;
  }

  /** Whether what arrives in this conversation now is being seen. */
  isReading = (id) =>
    this.#conversation?.id === id && !document.hidden && !this.#history.hasNewer;

  /** Show a conversation, or none (`null`); at its end, or at a message. */
  async open(conversation, message = null) {
    this.#conversation = conversation;
    this.#heard = 0;
    this.#forget();
    this.render();
    if (!conversation) return;
    this.#composer.draft = this.#drafts.get(conversation.id);
    if (message !== null) return this.jumpTo(message);
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
    if (this.#history.hasNewer) return; // somebody reads old ones: the end comes when they go there
    const page = this.#conversation && (await this.#load({}));
    if (!page) return;
    const isFirst = this.#history.hasOlder === null;
    const hasGap = !isFirst && page.more && !page.messages.some(({ id }) => this.#history.has(id));
    if (hasGap) this.#forget();
    if (isFirst || hasGap) this.#history.hasOlder = page.more;
    this.#add(page.messages);
    this.#fill();
  }

  /** Show a message among those around it. */
  async jumpTo(id) {
    this.#wanted = id;
    if (!this.#history.has(id) && !(await this.#loadAround(id))) return;
    if (!this.#history.isDrawn(id)) this.#history.drawAround(id);
    this.#isAtEnd = false;
    this.render();
    this.#point(this.#rows.get(id));
    this.#showNewest();
    this.#markRead();
  }

  async #loadAround(id) {
    const sides = [{ before: id + 1, limit: AROUND }, { after: id, limit: AROUND }];
    const [older, newer] = await Promise.all(sides.map((side) => this.#load(side)));
    if (!older || !newer || this.#wanted !== id) return false;
    this.#forget();
    this.#history.add([...older.messages, ...newer.messages], false);
    this.#history.hasOlder = older.more;
    this.#setNewer(newer);
    return true;
  }

  /** Scroll to a row. Its focus shows which one is meant, to eyes and to those who listen. */
  #point(row) {
    if (!row) return this.#scrollToEnd(); // there is no such message
    row.tabIndex = -1;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "center" });
  }

  /** Send what was written, and show it at once. */
  send(content) {
    this.#drawEnd();
    this.#outbox.add(this.#conversation.id, content);
  }

  /** Somebody else may sign in now: nothing of this one's stays. */
  clear() {
    this.open(null);
    this.#composer.draft = "";
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
    if (message.conversation !== this.#conversation?.id) return;
    if (!message.mine) this.#stopTyping();
    this.#heard = Math.max(this.#heard, message.id);
    if (!this.#history.hasNewer) this.#add([message]);
    else if (!message.mine) this.#showNewest(true); // it comes when they go to the end
  }

  /** A message changed: it was taken back. */
  changed(message) {
    if (message.conversation !== this.#conversation?.id) return;
    if (this.#history.replace(message)) this.#rows.delete(message.id);
    this.render();
  }

  /** Somebody pokes somebody here. */
  poked(text) {
    const note = this.#part(".note");
    note.textContent = text;
    note.hidden = false;
    clearTimeout(this.#noteTimer);
    this.#noteTimer = setTimeout(() => { note.hidden = true; }, NOTE_MS);
  }

  /** Draw again what changed: header, messages, pending ones. */
  render() {
    this.#part(".conversation").hidden = !this.#conversation;
    this.#part(".nothing").hidden = Boolean(this.#conversation);
    if (!this.#conversation) return;
    this.#renderHeader();
    const seen = this.#isAtEnd ? [] : this.#rowsInView();
    arrange(this.#part(".messages"), this.#nodes());
    if (this.#isAtEnd) this.#scrollToEnd();
    else this.#putBack(seen);
  }

  /** What is being looked at: [row, how far down]. */
  #rowsInView() {
    const { top, bottom } = this.#part(".log").getBoundingClientRect();
    const rows = [...this.#part(".messages").children].map((row) => [row, row.getBoundingClientRect()]);
    return rows.filter(([, place]) => place.bottom > top && place.top < bottom).map(([row, place]) => [row, place.top]);
  }

  /** Scroll so that what was being looked at stays where it was. */
  #putBack(seen) {
    const [row, top] = seen.find(([each]) => each.isConnected) ?? [];
    if (row) this.#part(".log").scrollTop += row.getBoundingClientRect().top - top;
  }

  #forget() {
    this.#history.clear();
    this.#rows.clear();
    this.#readUpTo = 0;
    this.#isAtEnd = true;
    this.#part(".messages").replaceChildren();
    this.#part(".newest").hidden = true;
    clearTimeout(this.#typing);
    this.#typing = null;
  }

  /** A page of messages, or null when it did not come or another conversation is open by then. */
  async #load(side) {
    const { id } = this.#conversation;
    this.#isLoading = true;
    try {
      const page = await this.#api.messages(id, side);
      return id === this.#conversation?.id ? page : null;
    } catch {
      return null; // the live link says that the server is away, and its return syncs again
    } finally {
      this.#isLoading = false;
    }
  }

  /** Older ones come into view: those that are here, or those that the server has. */
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

  /** The same for newer ones, where there are any that are not drawn. */
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

  /** What arrived while the page was under way is not in it, and there is more than it says. */
  #setNewer({ messages, more }) {
    const last = Math.max(this.#history.last, messages.at(-1)?.id ?? 0);
    this.#history.hasNewer = more || last < this.#heard;
  }

  /** A pane too high for one page of messages cannot be scrolled up: take one more. */
  #fill() {
    const log = this.#part(".log");
    if (log.scrollHeight <= log.clientHeight) this.#showOlder();
  }

  #add(messages) {
    const isNew = messages.some(({ id, mine }) => !mine && id > this.#history.last);
    this.#measure(); // the event of a scroll just made may be still to come
    this.#history.add(messages, this.#isAtEnd);
    this.render();
    this.#showNewest(isNew);
    this.#markRead();
  }

  #markRead() {
    const newest = this.#history.last;
    if (document.hidden || !this.#conversation || newest <= this.#readUpTo) return;
    this.#readUpTo = newest;
    this.#onRead(this.#conversation, newest);
  }

  /** See whether the end is in view; returns how far the log is scrolled. */
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
    this.#showNewest();
  }

  /** The way to the end: where it is far, or new messages have come there (`isNew`). */
  #showNewest(isNew = false) {
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

  /** The newest ones are to be on display: those that are here, or else they are fetched anew. */
  #drawEnd() {
    this.#isAtEnd = true;
    if (!this.#history.hasNewer) return this.#history.drawNewest();
    this.#forget();
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

  /** The list's elements in order: day separators, messages, then the pending ones. */
  #nodes() {
    const isToEnd = this.#history.isDrawnToEnd;
    const pending = isToEnd ? this.#outbox.of(this.#conversation.id).map(asMessage) : [];
    const rows = new Map(); // those that are not drawn any more are made again when they are
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
    const deeds = row.querySelector(".deeds");
    deeds.hidden = !message.id || Boolean(message.recalled);
    deeds.querySelector(".reply").addEventListener("click", () => this.#composer.answer(message));
    const recall = deeds.querySelector(".recall");
    recall.addEventListener("click", () => this.#onRecall(message));
    // As the server has it, which has the last word.
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

function isSameDay(a, b) {
  const [one, other] = [new Date(a * 1000), new Date(b * 1000)];
  return one.toDateString() === other.toDateString();
}
