/**
 * The page as a whole: signed in or not, which conversation is open, dialogs, notices.
 */

import { Api, Live, Outbox } from "./api.js";
import { Composer } from "./composer.js";
import { ConversationList, arrange, candidateRow, drawAvatar, memberRow } from "./conversations.js";
import { Faces } from "./faces.js";
import { LetIn } from "./letin.js";
import { Thread } from "./thread.js";

const NOTICES = {
  "link-used":
    "This sign-in link was already used, or is too old. Sign in with your QQ number and password.",
};

const $ = (id) => document.getElementById(id);

let self = null;

const faces = new Faces();
const api = new Api(() => showWelcome());
const outbox = new Outbox(api, {
  onChange: (conversation) => conversation === thread.conversation?.id && thread.render(),
  onMessage: (message) => received(message),
});
const composer = new Composer($("composer"), faces, (content) => thread.send(content));
const list = new ConversationList($("contacts"), $("no-contacts"), faces);
const thread = new Thread($("thread"), { api, composer, faces, onRead: markRead, outbox });
const letIn = new LetIn($("let-in"), document.querySelector("[data-opens=let-in]"), api, {
  onDone: (isLetIn) => showNotice(isLetIn ? `The program is signed in as ${self.nick} now.` : "The program was refused."),
});
const live = new Live({
  onUp: () => sync().then(() => showReconnecting(false)),
  onDown: () => {
    showReconnecting(true);
    api.state().catch(ignoreAway); // a refused link may also mean "signed out": a 401 tells
  },
  onEvent: (event) => EVENTS[event.type]?.(event),
  onSignedOut: () => showWelcome("You have been signed out."),
});

/** What the live link brings, by its type; types we do not know are left alone. */
const EVENTS = {
  message: ({ message }) => (message.mine && outbox.hold(message)) || received(message),
  status: ({ account, status }) => {
    list.status(account, status);
    thread.render();
  },
  state: () => loadState().catch(ignoreAway),
  client: () => letIn.called(),
  read: ({ conversation, message }) =>
    list.read(conversation, message) || loadState().catch(ignoreAway),
};

start();

async function start() {
  const asked = new URLSearchParams(location.search);
  const notice = NOTICES[asked.get("notice")];
  letIn.scanned = asked.get("qr");
  if (location.search) history.replaceState(null, "", location.pathname + location.hash);
  listen();
  try {
    await enter();
    if (notice) showNotice(`${notice.split(". ")[0]}. You are signed in as ${self.nick}.`);
  } catch (error) {
    if (error.status === 401) showWelcome(notice);
    else showNotice(`${error.message} Reload the page to try again.`);
  }
}

/** The session is good: show the contacts and go live. */
async function enter() {
  await loadState();
  $("welcome").hidden = true;
  $("app").hidden = false;
  openFromAddress();
  live.start();
  if (letIn.scanned) openDialog("let-in");
}

async function loadState() {
  const state = await api.state();
  self = state.self;
  composer.load(state.faces, state.limits.text_bytes);
  drawAvatar($("my-avatar"), { number: self.account, name: self.nick });
  $("my-nick").textContent = self.nick;
  for (const node of document.querySelectorAll(".my-number")) node.textContent = self.account;
  for (const node of document.querySelectorAll(".my-nick")) node.textContent = self.nick;
  for (const each of state.conversations) if (thread.isReading(each.id)) each.unread = 0;
  list.load(state.conversations);
  if (thread.conversation) thread.refresh(list.get(thread.conversation.id));
}

/** After the link came (back): nothing that happened in between may be missing. */
async function sync() {
  await loadState();
  await thread.sync();
  outbox.resume();
}

function received(message) {
  if (!list.get(message.conversation)) loadState().catch(ignoreAway);
  list.received(message, thread.isReading(message.conversation));
  thread.received(message);
}

function markRead(conversation, message) {
  if (conversation.unread > 0 || conversation.last?.mine === false) {
    api.read(conversation.id, message).catch(ignoreAway);
  }
  list.read(conversation.id, message);
}

/** The server is away for now: the live link shows that, and syncs when it is back. */
function ignoreAway(error) {
  if (!(error.status === 401 || error.isTemporary)) throw error;
}

function openFromAddress() {
  if (!self) return;
  const conversation = list.get(decodeURIComponent(location.hash.slice(1))) ?? null;
  $("app").dataset.pane = conversation ? "thread" : "contacts";
  list.select(conversation?.id ?? null);
  if (conversation?.id !== thread.conversation?.id) thread.open(conversation);
}

function showWelcome(notice) {
  live.stop();
  outbox.clear();
  self = null;
  thread.clear();
  list.load([]);
  showReconnecting(false);
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  $("app").hidden = true;
  $("welcome").hidden = false;
  if (notice) showNotice(notice);
  showForm("sign-in");
}

function showNotice(text) {
  $("notice").hidden = !text;
  $("notice-text").textContent = text ?? "";
}

const showReconnecting = (isShown) => {
  $("reconnecting").hidden = !isShown;
};

/** Run what a form asks for; say in the form what went wrong. */
function onSubmit(form, action) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const problem = form.querySelector("[role=alert]");
    const button = form.querySelector("[type=submit]");
    problem.textContent = "";
    button.disabled = true;
    try {
      await action(form.elements);
      form.reset();
      form.closest("dialog")?.close();
    } catch (error) {
      problem.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}

function listen() {
  addEventListener("hashchange", openFromAddress);
  $("notice-close").addEventListener("click", () => showNotice(null));
  $("search").addEventListener("input", ({ target }) => list.filter(target.value));
  $("sign-out").addEventListener("click", signOut);
  for (const button of document.querySelectorAll("[data-shows]")) {
    button.addEventListener("click", () => showForm(button.dataset.shows));
  }
  for (const button of document.querySelectorAll("[data-opens]")) {
    button.addEventListener("click", () => openDialog(button.dataset.opens));
  }
  for (const button of document.querySelectorAll("dialog .cancel")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  onSubmit($("sign-in"), signIn);
  onSubmit($("register"), register);
  onSubmit($("add-friend-form"), addFriend);
  onSubmit($("new-group-form"), createGroup);
}

async function signOut() {
  try {
    await api.signOut();
    history.replaceState(null, "", location.pathname);
    showWelcome();
  } catch (error) {
    showNotice(error.message);
  }
}

/** The welcome card shows one form at a time: "sign-in" or "register". */
function showForm(id) {
  for (const form of document.querySelectorAll("#welcome form")) form.hidden = form.id !== id;
  $(id).querySelector("input").focus();
}

function openDialog(id) {
  const dialog = $(id);
  for (const problem of dialog.querySelectorAll("[role=alert]")) problem.textContent = "";
  FILL[id]?.();
  dialog.showModal();
}

/** What a dialog lists is filled in when it opens. */
const FILL = {
  "new-group": () => {
    arrange($("candidates"), list.friends().map(candidateRow));
    $("no-candidates").hidden = list.friends().length > 0;
  },
  "let-in": () => letIn.fill(),
  members: () => arrange($("member-list"), thread.conversation.members.map(memberRow)),
};

async function signIn({ account, password }) {
  await api.signIn(Number(account.value), password.value);
  showNotice(null);
  await enter();
}

async function register({ nick, password }) {
  const registered = await api.register(nick.value.trim(), password.value);
  const number = registered.self.account;
  await enter();
  showNotice(`Welcome! Your QQ number is ${number}. Keep it: you sign in with it.`);
}

async function addFriend({ account }) {
  const { conversation } = await api.addFriend(Number(account.value));
  show(conversation);
}

async function createGroup({ name }) {
  const boxes = $("candidates").querySelectorAll("input:checked");
  const chosen = Array.from(boxes, (box) => Number(box.value));
  const { conversation } = await api.createGroup(name.value.trim(), chosen);
  show(conversation);
}

function show(conversation) {
  list.add(conversation);
  location.hash = conversation.id;
}
