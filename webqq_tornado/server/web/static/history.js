/**
 * The part of a conversation that is known here, and of that the part that is drawn.
 * Knows no element of the page.
 *
 * Known are messages without a gap between them: those fetched, which the server has more of on
 * one side or both, and those that came since. Drawn are some of them in a row, never more than
 * `MOST_DRAWN`: with all of a long conversation in the page, a browser takes half a second to
 * show one more (5,000 messages, measured).
 */

/** Messages that are drawn at most, and how many more at once on one side. */
const MOST_DRAWN = 200;
const STEP = 50;

export class History {
  /** Whether the server has messages before the first one; null: nothing was fetched yet. */
  hasOlder = null;
  /** Whether the server has messages after the last one. */
  hasNewer = false;
  #messages = [];
  #from = 0; // the drawn ones: from this place on,
  #to = 0; // to before that one

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

  /** Whether the last message that there is is drawn: what is on its way out stands below it. */
  get isDrawnToEnd() {
    return !this.hasNewer && this.#to === this.#messages.length;
  }

  has = (id) => this.#messages[this.#placeOf(id)]?.id === id;
  isDrawn = (id) => this.has(id) && this.#placeOf(id) >= this.#from && this.#placeOf(id) < this.#to;

  /**
   * Take messages in that leave no gap. Those after the last one are drawn if that one was and
   * somebody looks there (`isSeen`) or there is room; older ones are not drawn yet.
   */
  add(messages, isSeen) {
    const isAtEnd = this.#to === this.#messages.length;
    const [first, end] = [this.#messages[this.#from]?.id, this.#messages[this.#to - 1]?.id];
    this.#merge(messages.filter(({ id }) => !this.has(id)));
    this.#from = first === undefined ? Math.max(0, this.#messages.length - STEP) : this.#placeOf(first);
    this.#to = end === undefined ? this.#messages.length : this.#placeOf(end) + 1;
    if (isAtEnd && isSeen) this.drawNewest();
    else if (isAtEnd) this.#to = Math.min(this.#messages.length, this.#from + MOST_DRAWN);
  }

  /** Take a message in the place of the one with its id; returns whether there was one. */
  replace(message) {
    if (!this.has(message.id)) return false;
    this.#messages[this.#placeOf(message.id)] = message;
    return true;
  }

  #merge(added) {
    const inOrder = added.sort((a, b) => a.id - b.id);
    const isAfter = inOrder.length === 0 || inOrder[0].id > this.last;
    if (isAfter) this.#messages.push(...inOrder);
    else this.#messages = [...this.#messages, ...inOrder].sort((a, b) => a.id - b.id);
  }

  /** Draw some older ones; those that are then too many at the end are not drawn any more. */
  drawOlder() {
    const before = this.#from;
    this.#from = Math.max(0, this.#from - STEP);
    this.#to = Math.min(this.#to, this.#from + MOST_DRAWN);
    return this.#from < before;
  }

  /** Draw some newer ones; the other way round. Both return whether there were any. */
  drawNewer() {
    const before = this.#to;
    this.#to = Math.min(this.#messages.length, this.#to + STEP);
    this.#from = Math.max(this.#from, this.#to - MOST_DRAWN);
    return this.#to > before;
  }

  /** Draw the last ones that are known. */
  drawNewest() {
    this.#to = this.#messages.length;
    const isFar = this.#from < this.#to - MOST_DRAWN;
    if (isFar) this.#from = Math.max(0, this.#to - 2 * STEP);
  }

  /** Draw the messages around one. */
  drawAround(id) {
    const place = this.#placeOf(id);
    this.#from = Math.max(0, place - STEP);
    this.#to = Math.min(this.#messages.length, place + STEP);
  }

  /** Where a message stands or would stand. */
  #placeOf(id) {
    let [low, high] = [0, this.#messages.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#messages[middle].id < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
