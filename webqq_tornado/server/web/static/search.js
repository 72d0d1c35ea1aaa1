/**
 * The search field: it filters the list of contacts, and lists matching messages below.
 */

import { authorOf, drawAvatar, fromTemplate, shortTime } from "./conversations.js";

/** Milliseconds after the last key before a search starts. */
const PAUSE_MS = 200;

/** Messages found before the user is asked whether to continue. */
const ENOUGH = 30;

/** Characters of a message shown before the first match. */
const LEAD = 24;

export class Search {
  #api;
  #before = null;
  #faces;
  #field;
  #list;
  #node;
  #searchNumber = 0;
  #timer = null;

  /** `field`: the input; `node`: the element with the messages found. */
  constructor(field, node, { api, faces, list }) {
    this.#api = api;
    this.#faces = faces;
    this.#field = field;
    this.#list = list;
    this.#node = node;
    field.addEventListener("input", () => this.#onInput());
    this.#part(".more").addEventListener("click", () => this.#find());
  }

  /** End the search. */
  clear() {
    this.#field.value = "";
    this.#onInput();
  }

  get #words() {
    return this.#field.value.trim();
  }

  #onInput() {
    this.#searchNumber += 1; // results under way are for other words
    clearTimeout(this.#timer);
    this.#list.filter(this.#words);
    this.#part("ul").replaceChildren();
    this.#node.hidden = this.#words === "";
    this.#showStatus("Searching messages…");
    this.#before = null;
    if (this.#words) this.#timer = setTimeout(() => this.#find(), PAUSE_MS);
  }

  /** Ask until there are enough: the server looks through some thousand messages at a time. */
  async #find() {
    const number = ++this.#searchNumber;
    const enough = this.#count + ENOUGH;
    this.#showStatus("Searching messages…");
    try {
      do {
        const side = this.#before === null ? {} : { before: this.#before };
        const { messages, before } = await this.#api.search(this.#words, side);
        if (number !== this.#searchNumber) return;
        this.#part("ul").append(...messages.map((message) => this.#row(message)));
        this.#before = before;
      } while (this.#before !== null && this.#count < enough);
      this.#showStatus(this.#count ? "" : "No message has these words.", this.#before !== null);
    } catch (error) {
      if (number === this.#searchNumber) this.#showStatus(error.message, true);
    }
  }

  get #count() {
    return this.#part("ul").childElementCount;
  }

  #showStatus(text, hasMore = false) {
    this.#part(".progress").textContent = text;
    this.#part(".more").hidden = !hasMore;
  }

  #row(message) {
    const row = fromTemplate("search-result-row");
    const conversation = this.#list.get(message.conversation) ?? unknown(message);
    const part = (name) => row.querySelector(name);
    part("a").href = `#${message.conversation}/${message.id}`;
    drawAvatar(part(".avatar"), conversation);
    part(".name").textContent = conversation.name;
    part("time").textContent = shortTime(message.time);
    const text = this.#faces.plain(message.content).replace(/\s+/g, " ");
    const author = `${authorOf(conversation, message).name}: `;
    part(".preview").replaceChildren(author, ...highlighted(text, this.#words));
    return row;
  }

  #part = (selector) => this.#node.querySelector(selector);
}

/** A conversation that started after the contacts were loaded. */
const unknown = ({ conversation, from }) => ({ number: Number(conversation.split(":")[1]), name: from.nick });

/** The part of a text with the matches, which are marked, as nodes. */
function highlighted(text, words) {
  const places = matchesOf(text, words);
  const start = places.length ? Math.max(0, places[0][0] - LEAD) : 0;
  const nodes = start ? ["…"] : [];
  let end = start;
  for (const [from, to] of places) {
    const mark = document.createElement("mark");
    mark.textContent = text.slice(from, to);
    nodes.push(text.slice(end, from), mark);
    end = to;
  }
  return [...nodes, text.slice(end)];
}

/** Matches of the words in a text, in order, without overlaps: [[from, to]]. */
function matchesOf(text, words) {
  const { folded, origins } = foldedWithOrigins(text);
  const found = fold(words).split(/\s+/).flatMap((word) => {
    const places = [];
    for (let at = folded.indexOf(word); word && at >= 0; at = folded.indexOf(word, at + word.length)) {
      places.push([origins[at], origins[at + word.length]]);
    }
    return places;
  });
  return found.sort((a, b) => a[0] - b[0]).filter(([from, to], i, all) => {
    return to > from && all.slice(0, i).every((other) => other[1] <= from);
  });
}

/** A text without case and width, about as the server compares. */
const fold = (text) => text.normalize("NFKC").toLowerCase();

/** A folded text, and for each of its indices (and its end) the index in the text. */
function foldedWithOrigins(text) {
  let [folded, at] = ["", 0];
  const origins = [];
  for (const character of text) {
    const added = fold(character);
    for (let i = 0; i < added.length; i++) origins.push(at);
    folded += added;
    at += character.length;
  }
  return { folded, origins: [...origins, at] };
}
