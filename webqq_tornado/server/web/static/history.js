/**
 * The loaded messages of a conversation, and the range of them that is drawn.
 * This module knows no element of the page.
 *
 * Loaded messages have no gap between them: fetched ones, before or after which the server may have
 * more, and those received since. At most `MOST_DRAWN` of them are drawn, in a row: with all of a
 * long conversation in the page, a browser takes half a second to show one more (5,000 messages,
 * measured).
 */

/** Messages that are drawn at most, and that are added at once on one side. */
const MOST_DRAWN = 200;
const STEP = 50;

export class History {
  /** True if the server has messages before the first one; null before the first fetch. */
  hasOlder = null;
  /** True if the server has messages after the last one. */
  hasNewer = false;
  #messages = [];
  #from = 0; // index of the first message that is drawn
  #to = 0; // index after the last one

  clear() {
    this.#messages = [];
    this.#from = this.#to = 0;
    this.hasOlder = null;
    this.hasNewer = false;
  }

  get first() {
    return this.#messages.at(0)?.id ?? Infinity;
  }

  get last() {
    return this.#messages.at(-1)?.id ?? 0;
  }

  /** The messages to draw, oldest first. */
  get drawn() {
    return this.#messages.slice(this.#from, this.#to);
  }

  /** True if the newest message is drawn; unsent ones are then drawn below it. */
  get isDrawnToEnd() {
    return !this.hasNewer && this.#to === this.#messages.length;
  }

  has = (id) => this.#messages[this.#indexOf(id)]?.id === id;
  isDrawn = (id) => this.has(id) && this.#indexOf(id) >= this.#from && this.#indexOf(id) < this.#to;

  /**
   * Add messages that leave no gap. Newer ones are drawn if the last one was and it is in view
   * (`isSeen`) or there is room; older ones are not drawn yet.
   */
  add(messages, isSeen) {
    const isAtEnd = this.#to === this.#messages.length;
    const [first, end] = [this.#messages[this.#from]?.id, this.#messages[this.#to - 1]?.id];
    this.#merge(messages.filter(({ id }) => !this.has(id)));
    this.#from = first === undefined ? Math.max(0, this.#messages.length - STEP) : this.#indexOf(first);
    this.#to = end === undefined ? this.#messages.length : this.#indexOf(end) + 1;
    if (isAtEnd && isSeen) this.drawNewest();
    else if (isAtEnd) this.#to = Math.min(this.#messages.length, this.#from + MOST_DRAWN);
  }

  /** Replace the message with the same id; returns false if there is none. */
  replace(message) {
    if (!this.has(message.id)) return false;
    this.#messages[this.#indexOf(message.id)] = message;
    return true;
  }

  #merge(added) {
    const inOrder = added.sort((a, b) => a.id - b.id);
    const isAfter = inOrder.length === 0 || inOrder[0].id > this.last;
    if (isAfter) this.#messages.push(...inOrder);
    else this.#messages = [...this.#messages, ...inOrder].sort((a, b) => a.id - b.id);
  }

  /** Draw some older messages, and fewer at the end. Returns false if there are none. */
  drawOlder() {
    const before = this.#from;
    this.#from = Math.max(0, this.#from - STEP);
    this.#to = Math.min(this.#to, this.#from + MOST_DRAWN);
    return this.#from < before;
  }

  /** Draw some newer messages, and fewer at the start. Returns false if there are none. */
  drawNewer() {
    const before = this.#to;
    this.#to = Math.min(this.#messages.length, this.#to + STEP);
    this.#from = Math.max(this.#from, this.#to - MOST_DRAWN);
    return this.#to > before;
  }

  /** Draw the last loaded messages. */
  drawNewest() {
    this.#to = this.#messages.length;
    const isFar = this.#from < this.#to - MOST_DRAWN;
    if (isFar) this.#from = Math.max(0, this.#to - 2 * STEP);
  }

  /** Draw the messages around one. */
  drawAround(id) {
    const place = this.#indexOf(id);
    this.#from = Math.max(0, place - STEP);
    this.#to = Math.min(this.#messages.length, place + STEP);
  }

  /** Index of a message, or where it would be inserted. */
  #indexOf(id) {
    let [low, high] = [0, this.#messages.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#messages[middle].id < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
