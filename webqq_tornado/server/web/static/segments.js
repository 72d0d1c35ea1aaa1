/**
 * Segments of messages beside text and faces: pictures, files, mentions, replies, cards.
 * A segment is [kind, {...}], as the server sends it.
 */

import { fromTemplate } from "./conversations.js";

/** Largest size of a picture, in pixels. */
const MOST_WIDE = 320;
const MOST_HIGH = 300;

/** Text of a segment, for previews and for kinds that are not drawn. */
const WORDS = {
  at: ({ name, qq }) => `@${qq === "all" ? "everybody" : name || qq}`,
  reply: () => "",
  image: ({ summary }) => summary || "[Picture]",
  record: () => "[Voice message]",
  video: () => "[Video]",
  file: ({ name }) => `[File] ${name}`,
  forward: ({ count }) => `[${count ?? "Several"} messages]`,
  dice: ({ result }) => `[Dice: ${result}]`,
  rps: ({ result }) => `[${["", "Paper", "Scissors", "Rock"][result] ?? "Rock, paper, scissors"}]`,
  share: ({ title }) => `[Link] ${title ?? ""}`,
  location: ({ title }) => `[Place] ${title ?? ""}`,
  music: ({ title }) => `[Music] ${title ?? ""}`,
  contact: ({ id }) => `[Contact] ${id ?? ""}`,
  markdown: ({ content }) => content ?? "",
  json: () => "[Card]",
  xml: () => "[Card]",
};

export const isSegment = (part) => Array.isArray(part) && part[0] !== "face";

/** A segment as text. */
export const segmentText = ([kind, data]) => (WORDS[kind] ?? (() => `[${kind}]`))(data);

/** A segment as nodes; `plain(content)` returns other messages as text. */
export function segmentNodes([kind, data], conversation, plain) {
  const draw = { image: picture, reply: quote, at: mention, forward: forwarded }[kind];
  if (draw) return [draw(data, conversation, plain)];
  if (["file", "video", "record"].includes(kind) && data.url) return [download(kind, data)];
  return [chip(segmentText([kind, data]))];
}

function picture({ url, thumb, width, height, name, summary }) {
  const link = document.createElement("a");
  link.className = "picture";
  Object.assign(link, { href: url, target: "_blank", rel: "noopener" });
  const image = document.createElement("img");
  const scale = Math.min(1, MOST_WIDE / width, MOST_HIGH / height);
  // The size is set before the picture loads: the text around it does not move.
  Object.assign(image, { width: Math.round(width * scale), height: Math.round(height * scale) });
  Object.assign(image, { loading: "lazy", alt: summary || name || "Picture", src: thumb });
  image.addEventListener("error", () => link.replaceChildren("[Picture: gone]"), { once: true });
  link.append(image);
  return link;
}

function quote({ id, nick, content = [] }, conversation, plain) {
  const link = document.createElement("a");
  link.className = "quote";
  link.href = `#${conversation.id}/${id}`;
  const author = document.createElement("strong");
  author.textContent = nick ?? "A message";
  const words = document.createElement("span");
  words.textContent = plain(content);
  link.append(author, words);
  return link;
}

function mention({ name, qq }) {
  const node = document.createElement("span");
  node.className = "mention";
  node.textContent = segmentText(["at", { name, qq }]);
  return node;
}

function forwarded({ first = [], count }, _conversation, plain) {
  const node = document.createElement("span");
  node.className = "quote";
  const head = document.createElement("strong");
  head.textContent = `${count ?? "Several"} messages`;
  const lines = first.map(({ nick, content }) => `${nick}: ${plain(content)}`);
  node.append(head, ...lines.map((line) => Object.assign(document.createElement("span"), { textContent: line })));
  return node;
}

function download(kind, { url, name, size }) {
  const link = document.createElement("a");
  link.className = "download";
  link.href = `${url}?${new URLSearchParams({ name: name || kind })}`;
  link.download = name || kind;
  link.textContent = `${kind === "file" ? name : segmentText([kind, {}])} (${sizeText(size)})`;
  return link;
}

function chip(text) {
  const node = document.createElement("span");
  node.className = "face chip";
  node.textContent = text;
  return node;
}

/** A number of bytes with its unit. */
export function sizeText(bytes) {
  const units = ["B", "KB", "MB", "GB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10));
  return `${(bytes / 1024 ** step).toFixed(step ? 1 : 0)} ${units[step]}`;
}

/** Files for the next message, shown above the text box. */
export class Attachments {
  #api;
  #entries = [];
  #limit = Infinity;
  #list;
  #onChange;
  #onProblem;

  /** `onChange()`: a file was added, removed or uploaded; `onProblem(text)`. */
  constructor(list, api, { onChange, onProblem }) {
    this.#list = list;
    this.#api = api;
    this.#onChange = onChange;
    this.#onProblem = onProblem;
  }

  set limit(bytes) {
    this.#limit = bytes;
  }

  get isEmpty() {
    return this.#entries.length === 0;
  }

  get areUploaded() {
    return this.#entries.every(({ stored }) => stored);
  }

  /** Add files; their uploads start at once. */
  add(files) {
    for (const file of files) this.#add(file);
  }

  async #add(file) {
    if (file.size > this.#limit) {
      this.#onProblem(`${file.name} has ${sizeText(file.size)}; the most is ${sizeText(this.#limit)}.`);
      return;
    }
    const entry = { name: file.name || "picture.png", stored: null };
    this.#entries.push(entry);
    this.#render();
    try {
      entry.stored = await this.#api.upload(file, entry.name);
    } catch (error) {
      this.remove(entry);
      this.#onProblem(`${entry.name} was not sent: ${error.message}`);
    }
    this.#render();
  }

  remove(entry) {
    this.#entries = this.#entries.filter((each) => each !== entry);
    this.#render();
  }

  /** Return the segments of all files, and remove them. */
  take() {
    const content = this.#entries.map(({ name, stored }) => [
      stored.width ? "image" : "file",
      { ...stored, name, thumb: `${stored.url}?thumb=1` },
    ]);
    this.#entries = [];
    this.#render();
    return content;
  }

  #render() {
    this.#list.hidden = this.isEmpty;
    this.#list.replaceChildren(...this.#entries.map((entry) => this.#row(entry)));
    this.#onChange();
  }

  #row(entry) {
    const row = fromTemplate("attachment-row");
    const image = row.querySelector("img");
    image.hidden = !entry.stored?.width;
    if (entry.stored?.width) image.src = `${entry.stored.url}?thumb=1`;
    row.querySelector(".name").textContent = entry.name;
    row.querySelector(".progress").textContent = entry.stored ? sizeText(entry.stored.size) : "sending…";
    row.querySelector("button").addEventListener("click", () => this.remove(entry));
    return row;
  }
}
