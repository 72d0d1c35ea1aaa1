/**
 * The contact list: conversations with their last message, unread count and status.
 * Also what the list and the open conversation draw alike.
 */

const HUES = 8;

/** Labels of WebQQ's statuses. */
const STATUS_TEXT = {
  online: "Online",
  callme: "Online, wants to chat",
  away: "Away",
  busy: "Busy",
  silent: "Do not disturb",
  offline: "Offline",
};

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat("en", { weekday: "long" });
const shortDate = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const yearDate = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const longDate = new Intl.DateTimeFormat("en-GB", { dateStyle: "long" });

const statusText = (status) => STATUS_TEXT[status] ?? "Offline";
export const timeText = (seconds) => clock.format(new Date(seconds * 1000));

/** "Today", "Yesterday", "Tuesday", "3 November 2026". */
export function dayText(seconds) {
  const day = new Date(seconds * 1000);
  const days = daysAgo(day);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  return days < 7 ? weekday.format(day) : longDate.format(day);
}

/** True for a group or a discussion. */
const isRoom = ({ kind }) => kind === "group" || kind === "discussion";

/** The line below a conversation's name, by kind. */
const SUBTITLES = {
  group: ({ members, number }) => `Group ${number}, ${countText(members.length)}`,
  discussion: ({ members }) => `Discussion, ${countText(members.length)}`,
  friend: ({ number, status, lnick }) =>
    [statusText(status), `QQ ${number}`, lnick].filter(Boolean).join(", "),
  session: ({ status, via }) => `${statusText(status)}, temporary chat${via ? ` by ${via}` : ""}`,
};
export const subtitle = (conversation) => SUBTITLES[conversation.kind](conversation);

/** A member's name in their group: the card if they have one. */
const memberName = ({ card, nick, account }) => card || nick || String(account);

/** The author of a message, as its conversation knows them: {number, name}. */
export function authorOf({ members = [] }, { mine, from }) {
  if (mine) return { number: 0, name: "You" };
  const member = members.find(({ account }) => account === from.account) ?? from;
  return { number: from.account, name: memberName(member) };
}

/** Make `parent` contain exactly `nodes`, in order; nodes already in place are not touched. */
export function arrange(parent, nodes) {
  const stays = new Set(nodes);
  // Removals first: otherwise all nodes after a removed one would be moved.
  for (const node of [...parent.childNodes]) if (!stays.has(node)) node.remove();
  let next = parent.firstChild;
  for (const node of nodes) {
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  }
}

/** Draw an avatar: the first letter of the name, coloured by the number. */
export function drawAvatar(node, { kind = "friend", number, name }) {
  const [letter = "?"] = name.trim();
  node.className = `avatar ${kind} hue-${number % HUES}`;
  node.textContent = letter.toUpperCase();
}

/** A copy of the one element in a template of the page. */
export const fromTemplate = (id) =>
  document.getElementById(id).content.firstElementChild.cloneNode(true);

/** A friend who may be invited to a new group. */
export function candidateRow({ name, number }) {
  const row = fromTemplate("candidate-row");
  row.querySelector("input").value = number;
  row.querySelector(".name").textContent = name;
  row.querySelector(".number").textContent = number;
  return row;
}

/** A member of a room, with number and status; `chat` is the conversation with them, if any. */
export function memberRow(member, owner, chat) {
  const row = fromTemplate("member-row");
  const name = memberName(member);
  const role = member.account === owner ? "owner" : member.admin ? "administrator" : "";
  drawAvatar(row.querySelector(".avatar"), { number: member.account, name });
  row.querySelector(".name").textContent = name;
  const ban = member.banned_until * 1000 > Date.now() ? "banned" : "";
  row.querySelector(".number").textContent = [member.title, role, member.account, ban, statusText(member.status)]
    .filter(Boolean)
    .join(", ");
  row.querySelector(".chat").hidden = !chat;
  if (chat) row.querySelector(".chat").href = `#${chat}`;
  return row;
}

/** The list of conversations on the left, with their data. */
export class ConversationList {
  #byId = new Map();
  #empty;
  #faces;
  #filter = "";
  #headings = [];
  #isByHeading = false;
  #node;
  #rows = new Map();
  #selected = null;

  /** `node`: the list's element; `empty`: the element shown instead of an empty list. */
  constructor(node, empty, faces) {
    this.#node = node;
    this.#empty = empty;
    this.#faces = faces;
  }

  get = (id) => this.#byId.get(id);
  friends = () => [...this.#byId.values()].filter(({ kind }) => kind === "friend");

  rooms = () => [...this.#byId.values()].filter(isRoom);
  headings = () => this.#headings;

  load(conversations, headings = []) {
    this.#headings = headings;
    this.#byId = new Map(conversations.map((conversation) => [conversation.id, conversation]));
    this.#rows.forEach((_, id) => this.#byId.has(id) || this.#rows.delete(id));
    this.render();
  }

  add(conversation) {
    this.#byId.set(conversation.id, conversation);
    this.render();
  }

  select(id) {
    this.#selected = id;
    this.render();
  }

  filter(text) {
    this.#filter = text.trim().toLowerCase();
    this.render();
  }

  /** List contacts under their headings, or conversations with the newest first. */
  arrangeByHeading(isByHeading) {
    this.#isByHeading = isByHeading;
    this.render();
  }

  /** Show a new message as the last one and, unless it is being read, count it as unread. */
  received(message, isBeingRead) {
    const conversation = this.get(message.conversation);
    if (!conversation || message.id <= (conversation.last?.id ?? 0)) return;
    conversation.last = message;
    if (!message.mine && !isBeingRead) conversation.unread += 1;
    this.render();
  }

  /** Update a changed message if it is the last one. */
  changed(message) {
    const conversation = this.get(message.conversation);
    if (conversation?.last?.id !== message.id) return;
    conversation.last = message;
    this.render();
  }

  /** Mark all up to `message` as read. Returns true if nothing unread is left. */
  read(id, message) {
    const conversation = this.get(id);
    const isSettled = !conversation || message >= (conversation.last?.id ?? 0);
    if (conversation && isSettled) conversation.unread = 0;
    this.render();
    return isSettled;
  }

  status(account, status) {
    for (const conversation of this.#byId.values()) {
      const isTheirs = !isRoom(conversation) && conversation.number === account;
      if (isTheirs) conversation.status = status;
      const member = conversation.members?.find((each) => each.account === account);
      if (member) member.status = status;
    }
    this.render();
  }

  render() {
    const shown = [...this.#byId.values()].filter((each) => this.#matches(each)).sort(byRecency);
    arrange(this.#node, this.#isByHeading ? this.#sections(shown) : shown.map((each) => this.#row(each)));
    this.#empty.hidden = shown.length > 0;
    this.#empty.textContent = this.#filter
      ? "No contact by that name or number."
      : "No contacts yet. Add a friend by their QQ number.";
    const unread = [...this.#byId.values()].reduce((sum, each) => sum + each.unread, 0);
    document.title = unread ? `(${unread}) WebQQ` : "WebQQ";
  }

  #matches({ name, nick = "", number }) {
    const texts = [name, nick, String(number)];
    return texts.some((text) => text.toLowerCase().includes(this.#filter));
  }

  /** Friends under their headings, then the rooms; empty headings are omitted. */
  #sections(shown) {
    const sections = [
      { name: "My friends", has: (each) => each.kind === "friend" && !each.category },
      ...this.#headings.map(({ number, name }) => ({ name, has: (each) => each.category === number })),
      { name: "Groups", has: ({ kind }) => kind === "group" },
      { name: "Discussions", has: ({ kind }) => kind === "discussion" },
      { name: "Temporary chats", has: ({ kind }) => kind === "session" },
    ];
    const byName = [...shown].sort((a, b) => a.name.localeCompare(b.name));
    return sections.flatMap(({ name, has }) => {
      const rows = byName.filter(has).map((each) => this.#row(each));
      return rows.length ? [heading(name, rows.length), ...rows] : [];
    });
  }

  #row(conversation) {
    const { id, name, status, unread, last } = conversation;
    const row = this.#rows.get(id) ?? fromTemplate("contact-row");
    this.#rows.set(id, row);
    const isSelected = id === this.#selected;
    const preview = last ? this.#preview(conversation) : hint(conversation);
    // A new message changes one row of hundreds: only that one is drawn.
    const shown = [name, status, unread, last?.time, preview, isSelected, new Date().toDateString()].join("\n");
    if (row.shown !== shown) this.#draw(row, conversation, isSelected, preview);
    row.shown = shown;
    return row;
  }

  #draw(row, conversation, isSelected, preview) {
    const { id, kind, unread, last } = conversation;
    const part = (name) => row.querySelector(name);
    const link = part("a");
    link.href = `#${id}`;
    link.setAttribute("aria-current", String(isSelected));
    link.classList.toggle("unread", unread > 0);
    drawAvatar(part(".avatar"), conversation);
    part(".dot").hidden = isRoom(conversation);
    part(".dot").dataset.status = conversation.status ?? "";
    part(".dot").title = statusText(conversation.status);
    part(".status").textContent = isRoom(conversation) ? kind : statusText(conversation.status);
    part(".name").textContent = conversation.name;
    part("time").textContent = last ? shortTime(last.time) : "";
    part(".preview").textContent = preview;
    part(".badge").hidden = unread === 0;
    part(".count").textContent = unread > 99 ? "99+" : unread;
  }

  #preview(conversation) {
    const { last } = conversation;
    const isNamed = last.mine || isRoom(conversation);
    const author = isNamed ? `${authorOf(conversation, last).name}: ` : "";
    return author + (last.recalled ? "recalled a message" : this.#faces.plain(last.content));
  }
}

const hint = (conversation) =>
  isRoom(conversation) ? countText(conversation.members.length) : conversation.lnick || `QQ ${conversation.number}`;

function heading(name, count) {
  const row = fromTemplate("heading-row");
  row.textContent = `${name} (${count})`;
  return row;
}

const countText = (count) => (count === 1 ? "1 member" : `${count} members`);

function byRecency(a, b) {
  const recency = (b.last?.id ?? 0) - (a.last?.id ?? 0);
  return recency || a.name.localeCompare(b.name);
}

/** The time if today, the weekday within a week, else the date. */
export function shortTime(seconds) {
  const day = new Date(seconds * 1000);
  const days = daysAgo(day);
  if (days <= 0) return timeText(seconds);
  if (days < 7) return weekday.format(day).slice(0, 3);
  const isThisYear = day.getFullYear() === new Date().getFullYear();
  return (isThisYear ? shortDate : yearDate).format(day);
}

/** Whole days between the date and today, by the calendar. */
function daysAgo(date) {
  const midnight = (day) => Date.UTC(day.getFullYear(), day.getMonth(), day.getDate());
  return Math.round((midnight(new Date()) - midnight(date)) / 86_400_000);
}
