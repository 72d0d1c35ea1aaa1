/**
 * The connection with the server: calls of the page's API, the outbox, the WebSocket for events.
 * This module knows no element of the page.
 */

import { originStorage, tabStorage } from "./storage.js";

/** Milliseconds after which a call without a response fails as "not reached". */
const CALL_TIMEOUT_MS = 20_000;

/** The same for an upload. */
const UPLOAD_TIMEOUT_MS = 300_000;

/** Delays before the WebSocket reconnects: the first, its factor, the longest. */
const BACKOFF_MS = { first: 400, factor: 1.7, longest: 15_000 };

/** Milliseconds before a message that did not reach the server is sent again. */
const RESEND_MS = 15_000;

/** Close code of the WebSocket when the session has ended. */
const CLOSED_SIGNED_OUT = 4401;

/** A refused call; `status` is the HTTP status, or 0 if the server was not reached. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }

  /** True if the same call may succeed later. */
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Key of the session's token in the browser's storage, for all windows of this origin. */
const TOKEN_KEY = "session-token";

/**
 * The token of the session. A cookie would also go to every other port of the host. A window uses
 * the token it started with, so that it never writes as an account that signed in later.
 */
class Token {
  #value = originStorage.get(TOKEN_KEY); // without storage, the session lasts as long as the window

  get value() {
    return this.#value;
  }

  save(value) {
    this.#value = value;
    originStorage.set(TOKEN_KEY, value);
  }

  /** Discard the ended session, but not one that another window has started. */
  discard() {
    if (originStorage.get(TOKEN_KEY) === this.#value) originStorage.remove(TOKEN_KEY);
    this.#value = null;
  }
}

/** Calls of the page's API, a method each; all throw `ApiError`. */
export class Api {
  #onSignedOut;
  #token = new Token();

  /** `onSignedOut()` runs when the server does not know the session, or no longer. */
  constructor(onSignedOut) {
    this.#onSignedOut = onSignedOut;
  }

  state = () => this.#call("GET", "/page/state");
  signIn = (account, password) => this.#call("POST", "/page/signin", { account, password });
  signInByLink = (link) => this.#call("POST", "/page/signin", { link });
  register = (nick, password) => this.#call("POST", "/page/register", { nick, password });
  signOut = (everywhere = false) => this.#call("POST", "/page/signout", { everywhere });
  changePassword = (current, changed) => this.#call("POST", "/page/password", { current, new: changed });

  /** Subprotocols of the WebSocket: the only header of its handshake that a page can set. */
  get subprotocols() {
    return this.#token.value ? [`token.${this.#token.value}`] : [];
  }

  /** Forget the session of this window. */
  forget() {
    this.#token.discard();
  }

  send = (conversation, content, nonce) =>
    this.#call("POST", "/page/messages", { conversation, content, nonce });
  recall = (message) => this.#call("POST", "/page/recall", { message });
  poke = (conversation, account) => this.#call("POST", "/page/poke", { conversation, account });
  joinGroup = (group, text) => this.#call("POST", "/page/join", { group, text });
  answerGroupRequest = (id, accept) => this.#call("POST", "/page/grouprequest", { id, accept });
  onebot = () => this.#call("GET", "/page/onebot");
  changeOneBot = (changes) => this.#call("POST", "/page/onebot", changes);

  /** Upload a file; returns {file, name, size, width, height, url}. */
  upload = (file, name) =>
    this.#call("POST", `/page/files?${new URLSearchParams({ name })}`, file, UPLOAD_TIMEOUT_MS);

  read = (conversation, message) => this.#call("POST", "/page/read", { conversation, message });
  typing = (conversation) => this.#call("POST", "/page/typing", { conversation });
  addFriend = (account, text) => this.#call("POST", "/page/friends", { account, text });
  changeFriend = (account, changes) => this.#call("POST", "/page/friend", { account, ...changes });
  answerRequest = (account, accept) => this.#call("POST", "/page/requests", { account, accept });
  addHeading = (name) => this.#call("POST", "/page/headings", { name });
  profile = () => this.#call("GET", "/page/profile");
  changeProfile = (changes) => this.#call("POST", "/page/profile", changes);
  waitingClients = (id) => this.#call("GET", id ? `/page/qr?${new URLSearchParams({ id })}` : "/page/qr");
  decideClient = (id, confirm) => this.#call("POST", "/page/qr", { id, confirm });
  createRoom = (kind, name, members) => this.#call("POST", `/page/${kind}s`, { name, members });
  changeRoom = (conversation, changes) =>
    this.#call("POST", "/page/room", { conversation, ...changes });

  /** Messages of a conversation, oldest first: the newest, those `before` or `after` one. */
  messages = (conversation, side = {}) =>
    this.#call("GET", `/page/messages?${new URLSearchParams({ conversation, limit: 50, ...side })}`);

  /** Messages with these words, newest first, and `before` for the next search; null at the end. */
  search = (text, side = {}) =>
    this.#call("GET", `/page/search?${new URLSearchParams({ text, ...side })}`);

  async #call(method, path, body, timeout = CALL_TIMEOUT_MS) {
    const response = await this.#fetch(method, path, body, timeout);
    const data = response.status === 204 ? {} : await response.json().catch(() => ({}));
    if (response.ok) {
      if (data.token) this.#token.save(data.token);
      return data;
    }
    if (response.status === 401) this.#onSignedOut();
    throw new ApiError(response.status, data.error ?? `The server answered ${response.status}.`);
  }

  async #fetch(method, path, body, timeout) {
    const headers = this.#token.value ? { Authorization: `Bearer ${this.#token.value}` } : {};
    const init = { method, headers, cache: "no-store", signal: AbortSignal.timeout(timeout) };
    if (body instanceof Blob) init.body = body;
    else if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(body);
    }
    try {
      return await fetch(path, init);
    } catch {
      throw new ApiError(0, "The server cannot be reached.");
    }
  }
}

/**
 * A queue of unsent messages, sent one after the other in the order they were written.
 *
 * An entry is {nonce, conversation, content, time, state, error}. Its state changes from queued to
 * sending, and then the entry is removed (it is a message now), or it has failed and is queued
 * again with the same nonce, so that a message whose response was lost is not sent twice. An entry
 * that did not reach the server is retried automatically, and delays those written after it: the
 * order stays.
 *
 * The tab's session storage holds the entries of each account: a reload loses none.
 */
export class Outbox {
  #account = null;
  #api;
  #entries = [];
  #held = [];
  #isRunning = false;
  #onChange;
  #onMessage;
  #timer = null;

  /** `onChange(conversation)`: entries changed; `onMessage(message)`: the server accepted one. */
  constructor(api, { onChange, onMessage }) {
    this.#api = api;
    this.#onChange = onChange;
    this.#onMessage = onMessage;
  }

  /** Load the unsent messages of an account that has signed in. */
  open(account) {
    this.#account = account;
    this.#entries = JSON.parse(tabStorage.get(keyOf(account)) ?? "[]").map(queued);
  }

  /** Drop the entries when the session ends; storage still holds them for their author. */
  close() {
    this.#entries = [];
    this.#held = [];
  }

  /** Remove the stored entries of an account that has signed out itself. */
  forget(account) {
    tabStorage.remove(keyOf(account));
  }

  #save() {
    const entries = this.#entries.map(({ nonce, conversation, content, time }) => {
      return { nonce, conversation, content, time };
    });
    tabStorage.set(keyOf(this.#account), JSON.stringify(entries));
  }

  of(conversation) {
    return this.#entries.filter((entry) => entry.conversation === conversation);
  }

  add(conversation, content) {
    const time = Math.floor(Date.now() / 1000);
    const nonce = makeNonce();
    this.#entries.push(queued({ nonce, conversation, content, time }));
    this.#save();
    this.#onChange(conversation);
    this.resume();
  }

  /** Send a failed entry again. */
  retry(entry) {
    Object.assign(entry, { state: "queued", error: null });
    this.#onChange(entry.conversation);
    this.resume();
  }

  discard(entry) {
    this.#remove(entry);
    this.resume();
  }

  /** Send, in order, what did not reach the server and what is queued. */
  resume() {
    const failed = this.#entries.filter((entry) => entry.state === "failed");
    for (const entry of failed) if (entry.error.isTemporary) entry.state = "queued";
    this.#run();
  }

  /**
   * Hold our own message that came by the WebSocket during a send: it may be the message being
   * sent, and would show twice until the response is here. Returns true if it is held.
   */
  hold(message) {
    if (this.#isRunning) this.#held.push(message);
    return this.#isRunning;
  }

  async #run() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    for (let entry; (entry = this.#entries.find((each) => each.state === "queued")); ) {
      await this.#send(entry);
      if (entry.error?.isTemporary) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.resume(), RESEND_MS);
        break;
      }
    }
    this.#isRunning = false;
    this.#held.splice(0).forEach((message) => this.#onMessage(message));
  }

  async #send(entry) {
    const { conversation, content, nonce } = entry;
    entry.state = "sending";
    try {
      const { message } = await this.#api.send(conversation, content, nonce);
      entry.error = null;
      this.#remove(entry);
      this.#onMessage(message);
    } catch (error) {
      Object.assign(entry, { state: "failed", error });
      this.#onChange(conversation);
    }
  }

  #remove(entry) {
    if (!this.#entries.includes(entry)) return; // its author has signed out meanwhile
    this.#entries = this.#entries.filter((other) => other !== entry);
    this.#save();
    this.#onChange(entry.conversation);
  }
}

const keyOf = (account) => `unsent:${account}`;

const queued = (message) => ({ ...message, state: "queued", error: null });

/** 32 hex digits; `crypto.randomUUID` is missing on plain http to another machine. */
function makeNonce() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The WebSocket for events; it reconnects with increasing delays. */
export class Live {
  #api;
  #handlers;
  #socket = null;
  #timer = null;
  #wait = BACKOFF_MS.first;

  /**
   * Handlers: `onUp()` returns a promise, and the connection counts as up when that resolves;
   * `onDown()`; `onEvent(event)`; `onSignedOut()`.
   */
  constructor(api, handlers) {
    this.#api = api;
    this.#handlers = handlers;
    addEventListener("online", () => this.#reconnectNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.#reconnectNow());
  }

  start() {
    this.stop();
    this.#wait = BACKOFF_MS.first;
    this.#connect();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #connect() {
    this.#timer = null;
    const address = new URL("/page/live", location.href.replace(/^http/, "ws"));
    const socket = new WebSocket(address, this.#api.subprotocols);
    this.#socket = socket;
    const whileOurs = (handler) => (event) => this.#socket === socket && handler(event);
    socket.onopen = whileOurs(() => this.#opened(socket));
    socket.onmessage = whileOurs(({ data }) => this.#handlers.onEvent(JSON.parse(data)));
    socket.onclose = whileOurs(({ code }) => this.#closed(code));
  }

  async #opened(socket) {
    try {
      await this.#handlers.onUp();
      this.#wait = BACKOFF_MS.first;
    } catch {
      socket.close();
    }
  }

  #closed(code) {
    this.#socket = null;
    if (code === CLOSED_SIGNED_OUT) return this.#handlers.onSignedOut();
    // Jitter of up to a third, so that not all pages reconnect to a restarted server at once.
    this.#timer = setTimeout(() => this.#connect(), this.#wait * (1 + Math.random() / 3));
    this.#wait = Math.min(this.#wait * BACKOFF_MS.factor, BACKOFF_MS.longest);
    this.#handlers.onDown();
  }

  /** Reconnect without delay when the page is shown or the network is back. */
  #reconnectNow() {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#connect();
  }
}
