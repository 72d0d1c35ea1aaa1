/**
 * Text and faces of a message: parsed from the text box, drawn in a bubble.
 *
 * Content is a list of texts and ["face", id]. In the text box a face is MARK and its label (an
 * emoji, or the name in brackets). The mark has no width and distinguishes the face from the same
 * emoji typed by hand, which stays text. The mark comes first: backspace then deletes the label.
 */

import { authorOf, drawAvatar, timeText } from "./conversations.js";
import { isSegment, segmentNodes, segmentText } from "./segments.js";

const MARK = "\u2063"; // INVISIBLE SEPARATOR

/** QQ faces with an equivalent emoji; each emoji occurs once, so that it can be parsed. */
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

/** The most used faces, for the picker's first rows. */
const FAVOURITES = [14, 13, 182, 2, 74, 5, 9, 11, 46, 124, 88, 33, 36, 99, 144, 145];

const LINK = /https?:\/\/[^\s<>"'，。！？、（）]+[^\s<>"'，。！？、（）.,;:!?)\]}]/g;

/** The server's faces: names, labels, and conversion between text and content. */
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

  /** True if the content is a few emoji only, which are then drawn large. */
  areOnlyFaces = (content) =>
    content.length > 0 && content.length <= 5 && content.every((part) => isFace(part) && !this.isChip(part[1]));

  /** A face as text of the text box. */
  token = (id) => MARK + this.label(id);

  /** Content on one line, for previews. */
  plain = (content) =>
    content
      .map((part) => (isFace(part) ? this.label(part[1]) : isSegment(part) ? segmentText(part) : part))
      .join("");

  /** Parse the text box's value into content. */
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

  /** Content as nodes; text is never set as HTML. */
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

/** Draw a message in its row; `conversation` knows the authors' names. */
export function drawMessage(row, message, conversation, faces) {
  const author = authorOf(conversation, message);
  row.classList.toggle("mine", message.mine);
  row.classList.toggle("in-group", Boolean(conversation.members));
  row.classList.toggle("only-faces", faces.areOnlyFaces(message.content));
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

/** Created once: `toLocaleString` for each message takes 50 times as long. */
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "short", timeStyle: "medium" });

const isFace = (part) => Array.isArray(part) && part[0] === "face";

/** The text in place of a recalled message. */
function recalledText({ recalled, from, mine }, author) {
  if (recalled !== from?.account) return "A message that an administrator recalled";
  return mine ? "You recalled this message" : `${author.name} recalled this message`;
}

function readTable(text) {
  const words = text.trim().split(/\s+/);
  const pairs = words.flatMap((word, i) => (i % 2 ? [] : [[Number(word), words[i + 1]]]));
  return new Map(pairs);
}

/** Text as nodes, with its web addresses as links. */
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
