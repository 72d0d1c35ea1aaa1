/**
 * The search field: it narrows the list of contacts, and below that finds messages.
 */

import { authorOf, drawAvatar, fromTemplate, shortTime } from "./conversations.js";

/** After the last key, so many milliseconds. */
const PAUSE_MS = 200;

/** Messages to find before one is asked whether to go on. */
const ENOUGH = 30;

/** Characters of a message that are shown before what was looked for. */
const LEAD = 24;

export class Search {
  #api;
  #before = null;
  #faces;
  #field;
  #list;
  #node;
  #round = 0;
  #timer = null;

  /** `field`: where it is typed; `node`: what the messages found are shown in. */
  constructor(field, node, { api, faces, list }) {
    this.#api = api;
    this.#faces = faces;
    this.#field = field;
    this.#list = list;
    this.#node = node;
    field.addEventListener("input", () => this.#typed());
    this.#part(".more").addEventListener("click", () => this.#find());
  }

  /** Nothing is looked for any more. */
  clear() {
    this.#field.value = "";
    this.#typed();
  }

  get #words() {
    return this.#field.value.trim();
  }

  #typed() {
    this.#round += 1; // what is under way is for other words
    clearTimeout(this.#timer);
    this.#list.filter(this.#words);
    this.#part("ul").replaceChildren();
    this.#node.hidden = this.#words === "";
    this.#say("Searching messages…");
    this.#before = null;
    if (this.#words) this.#timer = setTimeout(() => this.#find(), PAUSE_MS);
  }

  /** Ask until there is enough: the server looks through some thousand messages at a time. */
  async #find() {
    const round = ++this.#round;
    const enough = this.#count + ENOUGH;
    this.#say("Searching messages…");
    try {
      do {
        const side = this.#before === null ? {} : { before: this.#before };
        const { messages, before } = await this.#api.search(this.#words, side);
        if (round !== this.#round) return;
        this.#part("ul").append(...messages.map((message) => this.#row(message)));
        this.#before = before;
      } while (this.#before !== null && this.#count < enough);
      this.#say(this.#count ? "" : "No message has these words.", this.#before !== null);
    } catch (error) {
      if (round === this.#round) this.#say(error.message, true);
    }
  }

  get #count() {
    return this.#part("ul").childElementCount;
  }

  #say(text, hasMore = false) {
    this.#part(".progress").textContent = text;
    this.#part(".more").hidden = !hasMore;
  }

  #row(message) {
    const row = fromTemplate("found-row");
    const conversation = this.#list.get(message.conversation) ?? unknown(message);
    const part = (name) => row.querySelector(name);
    part("a").href = `#${message.conversation}/${message.id}`;
    drawAvatar(part(".avatar"), conversation);
    part(".name").textContent = conversation.name;
    part("time").textContent = shortTime(message.time);
    const text = this.#faces.plain(message.content).replace(/\s+/g, " ");
    const author = `${authorOf(conversation, message).name}: `;
    part(".preview").replaceChildren(author, ...marked(text, this.#words));
    return row;
  }

  #part = (selector) => this.#node.querySelector(selector);
}

/** A conversation that began after the contacts were loaded. */
const unknown = ({ conversation, from }) => ({ number: Number(conversation.split(":")[1]), name: from.nick });

/** The part of a text in which the words stand, with them marked, as nodes. */
function marked(text, words) {
  const places = placesOf(text, words);
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

/** Where the words stand in a text, in order and apart: [[from, to]]. */
function placesOf(text, words) {
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

/** About as the server compares: without case and width. */
const fold = (text) => text.normalize("NFKC").toLowerCase();

/** A text folded, and for each place in that (and its end) the place in the text. */
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
