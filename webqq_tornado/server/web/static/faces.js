/**
 * What a message is made of, text and faces: read from the text box, shown in a bubble.
 *
 * Content is a list of texts and ["face", id]. In the text box a face is MARK and its label (an
 * emoji, or the name in brackets); the mark takes no room and tells the face from the same emoji
 * typed by hand, which stays text. Mark first: backspace then takes the visible part.
 */

import { authorOf, drawAvatar, timeText } from "./conversations.js";
import { isSegment, segmentNodes, segmentText } from "./segments.js";

const MARK = "\u2063"; // INVISIBLE SEPARATOR

/** The QQ faces with a good equivalent; each emoji stands once, so that it can be read back. */
const EMOJI = readTable(`
  1 😕  2 😍  3 😶  4 😏  5 😢  6 😊  7 🤐  8 😴  9 😭  10 😬  11 😡  12 😜  13 😁  14 🙂  21 😘
  25 🥶  26 😤  27 💑  29 ⚽  32 🍉  33 🌹  34 🥀  36 ❤️  37 💔  38 🎂  39 🎁  42 ☀️  45 🌙  46 👍
  47 👎  50 😞  51 😎  53 😫  54 🤮  55 😱  56 😓  57 😄  58 🪖  59 🐷  62 🤗  63 ☕  64 🍚  71 🤝
  72 💩  73 🤭  74 🥰  75 🙄  77 🤤  78 😪  79 💪  80 🤬  81 ❓  82 🤫  83 😵  84 😖  85 😩  86 💀
  87 🔨  88 👋  90 🌫️  91 ⚡  92 💣  93 🗡️  94 👩  95 ✌️  96 😰  97 😅  99 👏  100 😳  104 🥱
  105 😒  106 😟  107 🥹  108 😈  109 😚  110 😨  111 🥺  112 🔪  113 🍺  114 🏀  115 🏓  116 💋
  117 🐞  120 ✊  122 🤟  123 🙅  124 👌  126 🙇  129 🖐️  130 🤩  131 🕺  132 😗  135 🐱  137 🧨
  138 🏮  139 🤑  140 🎤  141 🛍️  142 📧  144 🎉  145 🙏  146 💥  147 🍭  148 🍼  149 🍜  150 🍌
  151 ✈️  152 🚗  153 🚄  154 🚃  156 ⛅  157 🌧️  158 💵  159 🐼  160 💡  162 ⏰  168 💊  169 🔫
  170 🐸  171 🥣  172 😉  174 🤷  176 😣  179 🐕  180 😲  182 😂  183 💅  184 🦀  185 🦙  187 👻
  188 🥚  190 🌼  191 🧼  192 🧧  193 😆  194 ☹️  195 😮  196 😧  197 😑  198 😐  204 😋  205 💐
  206 😦  209 ☺️  211 🙈  212 🤔
`);

/** What people reach for first, in the picker's first rows. */
const FAVOURITES = [14, 13, 182, 2, 74, 5, 9, 11, 46, 124, 88, 33, 36, 99, 144, 145];

const LINK = /https?:\/\/[^\s<>"'，。！？、（）]+[^\s<>"'，。！？、（）.,;:!?)\]}]/g;

/** The faces the server knows: names, labels, and the way from text to content and back. */
export class Faces {
  #names = new Map();
  #ids = new Map();

  /** `names`: face id -> name, as the server sends it. */
  load(names) {
    this.#names = new Map(Object.entries(names).map(([id, name]) => [Number(id), name]));
    this.#ids = new Map(this.ids().map((id) => [this.label(id), id]));
  }

  /** Favourites first, then those with an emoji, then the others. */
  ids() {
    const known = (id) => this.#names.has(id);
    const rest = [...this.#names.keys()].filter((id) => !FAVOURITES.includes(id));
    const emoji = rest.filter((id) => EMOJI.has(id));
    return [...FAVOURITES.filter(known), ...emoji, ...rest.filter(this.isChip)];
  }

  name = (id) => this.#names.get(id) ?? `face ${id}`;
  label = (id) => EMOJI.get(id) ?? `[${this.name(id)}]`;
  isChip = (id) => !EMOJI.has(id);

  /** Whether the content is nothing but a few emoji, which may then be large. */
  areAlone = (content) =>
    content.length > 0 && content.length <= 5 && content.every((part) => isFace(part) && !this.isChip(part[1]));

  /** What is put into the text box for a face. */
  token = (id) => MARK + this.label(id);

  /** Content on one line, for previews. */
  plain = (content) =>
    content
      .map((part) => (isFace(part) ? this.label(part[1]) : isSegment(part) ? segmentText(part) : part))
      .join("");

  /** The text box's value as content. */
  parse(value) {
    const [first, ...marked] = value.split(MARK);
    const content = [first, ...marked.flatMap((text) => this.#parseMarked(text))];
    return content.filter((part) => part !== "");
  }

  #parseMarked(text) {
    const labels = [...this.#ids.keys()].filter((label) => text.startsWith(label));
    if (labels.length === 0) return [text];
    const label = labels.reduce((a, b) => (a.length >= b.length ? a : b));
    return [["face", this.#ids.get(label)], text.slice(label.length)];
  }

  /** Content as nodes; text is only ever set as text. */
  nodes = (content, conversation) =>
    content.flatMap((part) => {
      if (isFace(part)) return [this.#faceNode(part[1])];
      return isSegment(part) ? segmentNodes(part, conversation, this.plain) : linked(part);
    });

  #faceNode(id) {
    const node = document.createElement("span");
    node.className = this.isChip(id) ? "face chip" : "face";
    node.title = this.name(id);
    node.textContent = this.label(id);
    return node;
  }
}

/** Fill a message's row of the page; `conversation` says who is who. */
export function drawMessage(row, message, conversation, faces) {
  const author = authorOf(conversation, message);
  row.classList.toggle("mine", message.mine);
  row.classList.toggle("in-group", Boolean(conversation.members));
  row.classList.toggle("only-faces", faces.areAlone(message.content));
  drawAvatar(row.querySelector(".avatar"), author);
  row.querySelector(".author").textContent = author.name;
  const text = row.querySelector(".text");
  row.classList.toggle("recalled", Boolean(message.recalled));
  if (message.recalled) text.textContent = recalledText(message, author);
  else text.replaceChildren(...faces.nodes(message.content, conversation));
  const time = row.querySelector("time");
  const date = new Date(message.time * 1000);
  time.dateTime = date.toISOString();
  time.title = moment.format(date);
  time.textContent = timeText(message.time);
}

/** Made once: `toLocaleString` takes 50 times as long, for each message. */
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "short", timeStyle: "medium" });

const isFace = (part) => Array.isArray(part) && part[0] === "face";

/** In the place of a message that was taken back. */
function recalledText({ recalled, from, mine }, author) {
  if (recalled !== from?.account) return "A message that an administrator took back";
  return mine ? "You took this message back" : `${author.name} took this message back`;
}

function readTable(text) {
  const words = text.trim().split(/\s+/);
  const pairs = words.flatMap((word, i) => (i % 2 ? [] : [[Number(word), words[i + 1]]]));
  return new Map(pairs);
}

/** Text as nodes, its web addresses as links. */
function linked(text) {
  const nodes = [];
  let end = 0;
  for (const { 0: address, index } of text.matchAll(LINK)) {
    nodes.push(document.createTextNode(text.slice(end, index)), linkNode(address));
    end = index + address.length;
  }
  return [...nodes, document.createTextNode(text.slice(end))];
}

function linkNode(address) {
  const link = document.createElement("a");
  link.href = address;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  link.textContent = address;
  return link;
}
