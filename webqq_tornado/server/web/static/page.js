/**
 * The page: sign-in, the open conversation, dialogs, notices.
 */

import { Api, Live, Outbox } from "./api.js";
import { Composer } from "./composer.js";
import { ConversationList, arrange, candidateRow, drawAvatar, memberRow } from "./conversations.js";
import { FriendDialog, ProfileDialog, RoomDialog, drawRequests } from "./dialogs.js";
import { Faces } from "./faces.js";
import { Drafts } from "./storage.js";
import { QrSignInDialog } from "./qr_signin.js";
import { BotsDialog } from "./bots.js";
import { Search } from "./search.js";
import { Attachments } from "./segments.js";
import { Thread } from "./thread.js";

const $ = (id) => document.getElementById(id);

let self = null;

const faces = new Faces();
const api = new Api(() => showWelcome());
const outbox = new Outbox(api, {
  onChange: (conversation) => conversation === thread.conversation?.id && thread.render(),
  onMessage: (message) => received(message),
});
const drafts = new Drafts();
const attachments = new Attachments($("composer").querySelector(".attachments"), api, {
  onChange: () => composer.refresh(),
  onProblem: (text) => showNotice(text),
});
const composer = new Composer($("composer"), faces, {
  attachments,
  onDraft: (text) => drafts.set(thread.conversation.id, text),
  onSend: (content) => thread.send(content),
  onTyping: () => {
    const { id, kind } = thread.conversation;
    if (kind === "friend") api.typing(id).catch(ignoreUnreachable);
  },
});
const list = new ConversationList($("contacts"), $("no-contacts"), faces);
const thread = new Thread($("thread"), {
  api,
  composer,
  drafts,
  faces,
  me: () => self?.account,
  onRead: markRead,
  onRecall: ({ id }) => api.recall(id).catch((error) => showNotice(error.message)),
  outbox,
});
const search = new Search($("search"), $("search-results"), { api, faces, list });
const qrSignIn = new QrSignInDialog($("qr-sign-in"), document.querySelector("[data-opens=qr-sign-in]"), api, {
  onDone: (isConfirmed) => showNotice(isConfirmed ? `The program is now signed in as ${self.nick}.` : "The program was refused."),
});
const goBack = () => {
  location.hash = "";
};
const friendDialog = new FriendDialog($("friend-form"), api, goBack);
const roomDialog = new RoomDialog($("room-form"), api, goBack);
const profileDialog = new ProfileDialog($("profile-form"), api);
const botsDialog = new BotsDialog($("bots-form"), api);
const live = new Live(api, {
  onUp: () => sync().then(() => showReconnecting(false)),
  onDown: () => {
    showReconnecting(true);
    api.state().catch(ignoreUnreachable); // a refused WebSocket may also mean "signed out": then this call returns 401
  },
  onEvent: (event) => EVENTS[event.type]?.(event),
  onSignedOut: () => showWelcome("You have been signed out."),
});

/** Handlers of the WebSocket's events, by type; unknown types are ignored. */
const EVENTS = {
  message: ({ message }) => (message.mine && outbox.hold(message)) || received(message),
  status: ({ account, status }) => {
    list.status(account, status);
    thread.render();
  },
  changed: ({ message }) => {
    list.changed(message);
    thread.changed(message);
  },
  poke: showPoke,
  typing: ({ account }) => thread.typing(account),
  state: () => loadState().catch(ignoreUnreachable),
  client: () => qrSignIn.announce(),
  read: ({ conversation, message }) =>
    list.read(conversation, message) || loadState().catch(ignoreUnreachable),
};

start();

async function start() {
  const asked = new URLSearchParams(location.search);
  const link = location.pathname === "/signin" ? asked.get("token") : null;
  qrSignIn.scanned = asked.get("qr");
  if (location.search) history.replaceState(null, "", `/${location.hash}`);
  listen();
  const problem = link && (await signInByLink(link));
  try {
    await enter();
    if (problem) showNotice(`${problem}. You are signed in as ${self.nick}.`);
  } catch (error) {
    if (error.status === 401) showWelcome(problem && `${problem}. Sign in with your QQ number and password.`);
    else showNotice(`${error.message} Reload the page to try again.`);
  }
}

/** Sign in by the link that the command has printed; returns the error's text, or null. */
async function signInByLink(link) {
  try {
    await api.signInByLink(link);
  } catch (error) {
    return error.message;
  }
  return null;
}

/** Show the contacts and connect the WebSocket: the session is valid. */
async function enter() {
  await loadState();
  outbox.open(self.account);
  drafts.open(self.account);
  $("welcome").hidden = true;
  $("app").hidden = false;
  openFromAddress();
  live.start();
  if (qrSignIn.scanned) openDialog("qr-sign-in");
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
  $("my-lnick").textContent = state.lnick ? `, ${state.lnick}` : "";
  attachments.limit = state.limits.file_bytes;
  drawRequests($("requests"), state.requests, state.group_requests, api, showNotice);
  list.load(withOpen(state.conversations), state.headings);
  if (thread.conversation) thread.refresh(list.get(thread.conversation.id));
  // Refresh the list of members, unless one of its menus has the focus.
  if ($("members").open && thread.conversation?.members && !$("members").querySelector("select:focus")) FILL.members();
}

/** Keep the open temporary chat: without a message, the server does not know it. */
function withOpen(conversations) {
  const open = thread.conversation;
  const isKept = open?.kind === "session" && !conversations.some(({ id }) => id === open.id);
  return isKept ? [...conversations, open] : conversations;
}

/** A new temporary chat with a fellow member, as a conversation; null if the id names none. */
function strangerOf(id) {
  const number = Number(id.startsWith("session:") && id.slice("session:".length));
  for (const room of number ? list.rooms() : []) {
    const member = room.members.find(({ account }) => account === number);
    if (!member) continue;
    const { nick: name, status } = member;
    const stranger = { id, kind: "session", number, name, status, via: room.name, unread: 0, last: null };
    list.add(stranger);
    return stranger;
  }
  return null;
}

/** Load all that happened before the WebSocket was connected. */
async function sync() {
  await loadState();
  await thread.sync();
  outbox.resume();
}

function received(message) {
  if (!list.get(message.conversation)) loadState().catch(ignoreUnreachable);
  list.received(message, thread.isReading(message.conversation));
  thread.received(message);
}

/** Show a poke if its group or chat is open. */
function showPoke({ from, to, group }) {
  const id = group ? `group:${group}` : `friend:${from === self.account ? to : from}`;
  if (thread.conversation?.id !== id) return;
  const { members = [], name } = thread.conversation;
  const nameOf = (account) => {
    if (account === self.account) return "you";
    const member = members.find((each) => each.account === account);
    return member ? member.card || member.nick : name;
  };
  const text = `${nameOf(from)} poked ${nameOf(to)}`;
  thread.poked(text[0].toUpperCase() + text.slice(1));
}

function markRead(conversation, message) {
  if (conversation.unread > 0 || conversation.last?.mine === false) {
    api.read(conversation.id, message).catch(ignoreUnreachable);
  }
  list.read(conversation.id, message);
}

/** Ignore that the server is unreachable: the page shows it, and syncs after the reconnect. */
function ignoreUnreachable(error) {
  if (!(error.status === 401 || error.isTemporary)) throw error;
}

function openFromAddress() {
  if (!self) return;
  const [id, message] = conversationInAddress();
  const conversation = list.get(id) ?? strangerOf(id);
  $("app").dataset.pane = conversation ? "thread" : "contacts";
  list.select(conversation?.id ?? null);
  if (conversation?.id !== thread.conversation?.id) thread.open(conversation, message);
  else if (conversation && message !== null) thread.jumpTo(message);
}

/** The address's fragment, #friend:10001 or #friend:10001/42, as [conversation, message]. */
function conversationInAddress() {
  const [, id, number] = /^#([^/]*)(?:\/([0-9]{1,15}))?/.exec(decoded(location.hash)) ?? [null, ""];
  return [id, number ? Number(number) : null];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // typed by hand
  }
}

function showWelcome(notice) {
  live.stop();
  outbox.close();
  drafts.close();
  api.forget();
  self = null;
  thread.clear();
  search.clear();
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

/** Run an action when a form is submitted; show its error in the form. */
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
  document.querySelector("aside").addEventListener("keydown", moveFocusInLists);
  document.querySelector(".back").addEventListener("click", closeThread);
  $("sign-out").addEventListener("click", () => signOut());
  $("sign-out-everywhere").addEventListener("click", () => {
    if (confirm("Sign out everywhere, here as well? Programs and bots have to sign in again.")) signOut(true);
  });
  for (const button of document.querySelectorAll("[data-shows]")) {
    button.addEventListener("click", () => showForm(button.dataset.shows));
  }
  for (const button of document.querySelectorAll("[data-opens]")) {
    button.addEventListener("click", () => openDialog(button.dataset.opens));
  }
  for (const button of document.querySelectorAll("[data-lists]")) {
    button.addEventListener("click", () => showList(button.dataset.lists));
  }
  document.querySelector(".show-details").addEventListener("click", () => {
    openDialog(thread.conversation.kind === "friend" ? "friend" : "room");
  });
  $("member-list").addEventListener("click", ({ target }) => target.matches("a") && $("members").close());
  for (const button of document.querySelectorAll("dialog .cancel")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  onSubmit($("sign-in"), signIn);
  onSubmit($("register"), register);
  onSubmit($("add-friend-form"), addFriend);
  onSubmit($("new-group-form"), createRoom);
  onSubmit($("friend-form"), () => friendDialog.save());
  onSubmit($("room-form"), () => roomDialog.save());
  onSubmit($("profile-form"), () => profileDialog.save());
  onSubmit($("password-form"), changePassword);
  onSubmit($("bots-form"), () => botsDialog.save());
}

/** Move the focus by arrow keys between the search field and the listed rows. */
function moveFocusInLists(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const stops = [$("search"), ...document.querySelectorAll("nav a, nav button:not([hidden])")];
  const at = stops.indexOf(document.activeElement);
  if (!step || at < 0) return;
  event.preventDefault();
  stops[at + step]?.focus();
}

/** Return to the list and focus the row of the conversation, so that the keyboard continues there. */
function closeThread(event) {
  event.preventDefault();
  const link = `nav a[href="${CSS.escape(location.hash)}"]`;
  addEventListener("hashchange", () => document.querySelector(link)?.focus(), { once: true });
  goBack();
}

async function signOut(everywhere = false) {
  const { account } = self; // the WebSocket may close before the call returns
  live.stop();
  try {
    await api.signOut(everywhere);
    outbox.forget(account);
    drafts.forget(account);
    history.replaceState(null, "", location.pathname);
    showWelcome(everywhere ? "You are signed out everywhere." : undefined);
  } catch (error) {
    live.start();
    showNotice(error.message);
  }
}

async function changePassword({ current, changed, again }) {
  if (changed.value !== again.value) throw new Error("The new passwords are not the same.");
  await api.changePassword(current.value, changed.value);
  showNotice("Your password is changed. You are signed out everywhere but here.");
}

/** Show one form of the welcome card: "sign-in" or "register". */
function showForm(id) {
  for (const form of document.querySelectorAll("#welcome form")) form.hidden = form.id !== id;
  $(id).querySelector("input").focus();
}

function openDialog(id) {
  const dialog = $(id);
  for (const problem of dialog.querySelectorAll("[role=alert]")) problem.textContent = "";
  FILL[id]?.();
  dialog.showModal();
  // No autofocus: that is processed when the page loads, too, where a field has the focus already.
  dialog.querySelector("[data-focused]")?.focus();
}

/** Functions that fill a dialog when it opens. */
const FILL = {
  "new-group": () => {
    arrange($("candidates"), list.friends().map(candidateRow));
    $("no-candidates").hidden = list.friends().length > 0;
  },
  "qr-sign-in": () => qrSignIn.fill(),
  members: () => {
    const { members, owner } = thread.conversation;
    const role = roleIn(thread.conversation, self.account);
    // Unchanged rows stay: the menu of one may be about to open.
    const shown = new Map(Array.from($("member-list").children, (row) => [row.dataset.member, row]));
    const rows = members.map((member) => {
      const row = memberRow(member, owner, conversationWith(member));
      row.dataset.member = `${thread.conversation.id} ${member.account}`;
      fillActions(row.querySelector("select"), thread.conversation, member, role);
      const old = shown.get(row.dataset.member);
      return old?.isEqualNode(row) ? old : row;
    });
    arrange($("member-list"), rows);
  },
  friend: () => friendDialog.open(thread.conversation, list.headings()),
  room: () => roomDialog.open(thread.conversation, self.account, list.friends()),
  bots: () => {
    $("profile").close();
    botsDialog.open().catch((error) => showNotice(error.message));
  },
  profile: () => profileDialog.open().catch((error) => showNotice(error.message)),
  security: () => {
    $("profile").close();
    $("password-form").reset();
    $("password-form").elements.account.value = self.account;
  },
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

const roleIn = ({ owner, members }, account) => {
  if (account === owner) return "owner";
  return members.find((each) => each.account === account)?.admin ? "admin" : "member";
};

/** Fill the menu beside a member with the user's actions on them. */
function fillActions(select, { id, kind }, member, role) {
  const ranks = { member: 0, admin: 1, owner: 2 };
  const theirs = roleIn(thread.conversation, member.account);
  const isOther = member.account !== self.account;
  const actions = [];
  if (kind === "group" && isOther) actions.push(["Poke", () => api.poke(id, member.account)]);
  const change = (changes) => () => api.changeRoom(id, changes);
  const { account } = member;
  if (kind === "group" && ranks[role] > ranks[theirs]) {
    actions.push(
      member.banned_until * 1000 > Date.now()
        ? ["Lift the ban", change({ ban: account, seconds: 0 })]
        : ["Ban for 30 minutes", change({ ban: account, seconds: 1800 })],
      ["Ban for a day", change({ ban: account, seconds: 86400 })],
    );
    if (role === "owner") {
      const isAdmin = theirs === "admin";
      actions.push([isAdmin ? "Remove as administrator" : "Make administrator", change({ admin: account, is_admin: !isAdmin })]);
    }
    actions.push(["Remove from the group", change({ remove: account })]);
  }
  select.hidden = actions.length === 0;
  select.setAttribute("aria-label", `Actions for ${member.card || member.nick}`);
  select.replaceChildren(new Option("…", ""), ...actions.map(([name], place) => new Option(name, place)));
  select.onchange = async () => {
    const [name, act] = actions[select.value] ?? [];
    select.value = "";
    if (!act || (name.startsWith("Remove from") && !confirm(`${name}: ${member.card || member.nick}?`))) return;
    try {
      await act();
      $("members").close();
    } catch (error) {
      $("members").close();
      showNotice(error.message);
    }
  };
}

async function addFriend({ account, text, kind }) {
  if (kind.value === "group") {
    await api.joinGroup(Number(account.value), text.value.trim());
    showNotice("The group's administrators were asked. It appears in your list when they accept.");
    return;
  }
  const { conversation, asked } = await api.addFriend(Number(account.value), text.value.trim());
  if (conversation) show(conversation);
  else showNotice(`${asked} was asked, and appears in your list after accepting.`);
}

async function createRoom({ name, kind }) {
  const boxes = $("candidates").querySelectorAll("input:checked");
  const chosen = Array.from(boxes, (box) => Number(box.value));
  const { conversation } = await api.createRoom(kind.value, name.value.trim(), chosen);
  show(conversation);
}

/** The conversation with a member: as a friend, or a temporary chat; null for the user. */
function conversationWith({ account }) {
  if (account === self.account) return null;
  const friend = `friend:${account}`;
  return list.get(friend) ? friend : `session:${account}`;
}

/** List "chats", the newest first, or "contacts" under their headings. */
function showList(what) {
  for (const button of document.querySelectorAll("[data-lists]")) {
    button.setAttribute("aria-pressed", String(button.dataset.lists === what));
  }
  list.arrangeByHeading(what === "contacts");
}

function show(conversation) {
  list.add(conversation);
  location.hash = conversation.id;
}
