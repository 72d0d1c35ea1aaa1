/**
 * Everything that speaks with the server: the calls of the page API, the outbox, the live link.
 * Knows no element of the page.
 */

import { browserKept, tabKept } from "./kept.js";

/** No answer within this many milliseconds counts as "not reached". */
const CALL_TIMEOUT_MS = 20_000;

/** The same for a file on its way. */
const UPLOAD_TIMEOUT_MS = 300_000;

/** Waits between two attempts of the live link: first, factor, longest. */
const BACKOFF_MS = { first: 400, factor: 1.7, longest: 15_000 };

/** A message that did not reach the server is tried again after so many milliseconds. */
const RESEND_MS = 15_000;

/** The server closes the live link with this code when the session has ended. */
const CLOSED_SIGNED_OUT = 4401;

/** The server said no; `status` is the HTTP status, or 0 when it was not reached at all. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }

  /** Whether the same call may well succeed later, unchanged. */
  get isTemporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Where the browser keeps the session's token, for all windows of this origin. */
const TOKEN_KEY = "session-token";

/**
 * The token of the session. It is no cookie: those go to every other port of the host as well. A
 * window keeps the one it began with, so that it never writes in the name of who signed in after.
 */
class Token {
  #value = browserKept.get(TOKEN_KEY); // not kept: signed in for as long as the window is open

  get value() {
    return this.#value;
  }

  keep(value) {
    this.#value = value;
    browserKept.set(TOKEN_KEY, value);
  }

  /** The session is over; one that another window has begun is not. */
  drop() {
    if (browserKept.get(TOKEN_KEY) === this.#value) browserKept.remove(TOKEN_KEY);
    this.#value = null;
  }
}

/** The calls of the page API, one method each; all of them throw `ApiError`. */
export class Api {
  #onSignedOut;
  #token = new Token();

  /** `onSignedOut()` runs whenever the server does not know our session (any more). */
  constructor(onSignedOut) {
    this.#onSignedOut = onSignedOut;
  }

  state = () => this.#call("GET", "/page/state");
  signIn = (account, password) => this.#call("POST", "/page/signin", { account, password });
  signInByLink = (link) => this.#call("POST", "/page/signin", { link });
  register = (nick, password) => this.#call("POST", "/page/register", { nick, password });
  signOut = (everywhere = false) => this.#call("POST", "/page/signout", { everywhere });
  changePassword = (current, changed) => this.#call("POST", "/page/password", { current, new: changed });

  /** Subprotocols of the live link: the only header that a page can set there. */
  get subprotocols() {
    return this.#token.value ? [`token.${this.#token.value}`] : [];
  }

  /** Nobody is signed in any more in this window. */
  forget() {
    this.#token.drop();
  }

  send = (conversation, content, nonce) =>
    this.#call("POST", "/page/messages", { conversation, content, nonce });
  recall = (message) => this.#call("POST", "/page/recall", { message });
  poke = (conversation, account) => this.#call("POST", "/page/poke", { conversation, account });
  joinGroup = (group, text) => this.#call("POST", "/page/join", { group, text });
  answerGroupRequest = (id, accept) => this.#call("POST", "/page/grouprequest", { id, accept });
  onebot = () => this.#call("GET", "/page/onebot");
  changeOneBot = (changes) => this.#call("POST", "/page/onebot", changes);

  /** Store a file; returns {file, name, size, width, height, url}. */
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

  /** Messages with these words, newest first, and where to go on: `before`, null at the end. */
  search = (text, side = {}) =>
    this.#call("GET", `/page/search?${new URLSearchParams({ text, ...side })}`);

  async #call(method, path, body, timeout = CALL_TIMEOUT_MS) {
    const response = await this.#fetch(method, path, body, timeout);
    const data = response.status === 204 ? {} : await response.json().catch(() => ({}));
    if (response.ok) {
      if (data.token) this.#token.keep(data.token);
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
 * Messages on their way out, sent one after the other in the order they were written.
 *
 * An entry is {nonce, conversation, content, time, state, error}; its state goes
 * queued -> sending -> gone (it is a message now) | failed -> queued (retried, same nonce, so
 * that a message whose answer was lost is not sent twice). One that the server was not there for
 * is retried by itself, and holds back those written after it: the order stays.
 *
 * The tab's session storage has them too, for each account: a reload loses none.
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

  /** `onChange(conversation)`: entries changed; `onMessage(message)`: one was accepted. */
  constructor(api, { onChange, onMessage }) {
    this.#api = api;
    this.#onChange = onChange;
    this.#onMessage = onMessage;
  }

  /** Somebody has signed in: go on with what they wrote here and what was not sent. */
  open(account) {
    this.#account = account;
    this.#entries = JSON.parse(tabKept.get(keyOf(account)) ?? "[]").map(queued);
  }

  /** Nobody is signed in any more; what was not sent waits for them. */
  close() {
    this.#entries = [];
    this.#held = [];
  }

  /** Somebody has signed out by their own will: nothing of theirs stays. */
  forget(account) {
    tabKept.remove(keyOf(account));
  }

  #keep() {
    const entries = this.#entries.map(({ nonce, conversation, content, time }) => {
      return { nonce, conversation, content, time };
    });
    tabKept.set(keyOf(this.#account), JSON.stringify(entries));
  }

  of(conversation) {
    return this.#entries.filter((entry) => entry.conversation === conversation);
  }

  add(conversation, content) {
    const time = Math.floor(Date.now() / 1000);
    const nonce = makeNonce();
    this.#entries.push(queued({ nonce, conversation, content, time }));
    this.#keep();
    this.#onChange(conversation);
    this.resume();
  }

  /** The user asks for it once more. */
  retry(entry) {
    Object.assign(entry, { state: "queued", error: null });
    this.#onChange(entry.conversation);
    this.resume();
  }

  discard(entry) {
    this.#remove(entry);
    this.resume();
  }

  /** The server may be back: send, in their order, what did not reach it and what waits. */
  resume() {
    const failed = this.#entries.filter((entry) => entry.state === "failed");
    for (const entry of failed) if (entry.error.isTemporary) entry.state = "queued";
    this.#run();
  }

  /**
   * Keep back our own message that the live link brought while a send is in the air: it may be
   * that very one, and would show twice until the send's answer is here. Returns whether kept.
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
    if (!this.#entries.includes(entry)) return; // its sender has signed out meanwhile
    this.#entries = this.#entries.filter((other) => other !== entry);
    this.#keep();
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

/** The WebSocket that brings what is new; comes back by itself, ever more slowly. */
export class Live {
  #api;
  #handlers;
  #socket = null;
  #timer = null;
  #wait = BACKOFF_MS.first;

  /**
   * Handlers: `onUp()` returns a promise, and the link counts as up when it is kept; `onDown()`;
   * `onEvent(event)`; `onSignedOut()`.
   */
  constructor(api, handlers) {
    this.#api = api;
    this.#handlers = handlers;
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
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
    // Up to a third of chance, so that a restarted server does not meet all its pages at once.
    this.#timer = setTimeout(() => this.#connect(), this.#wait * (1 + Math.random() / 3));
    this.#wait = Math.min(this.#wait * BACKOFF_MS.factor, BACKOFF_MS.longest);
    this.#handlers.onDown();
  }

  /** Somebody looks, or the network is back: do not sit out the wait. */
  #hurry() {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#connect();
  }
}
