/**
 * Where a message is written: the text box, the face picker, and the room that is left.
 */

/** Who is typed to is told at most once in this many milliseconds. */
const TYPING_MS = 4_000;

/** Show how much room is left from this many bytes on. */
const COUNTER_FROM = 120;

const bytes = new TextEncoder();

/** Gathers what is typed and picked, and hands it on as content. */
export class Composer {
  #box;
  #counter;
  #faces;
  #form;
  #limit = Infinity;
  #onDraft;
  #onSend;
  #onTyping;
  #picker;
  #toggle;
  #typedAt = -TYPING_MS;

  /**
   * `form` is the composer's form; `onSend(content)` takes what was written, `onDraft(text)` what
   * the box holds whenever somebody has changed that.
   */
  constructor(form, faces, { onDraft, onSend, onTyping }) {
    this.#form = form;
    this.#faces = faces;
    this.#onDraft = onDraft;
    this.#onSend = onSend;
    this.#onTyping = onTyping;
    this.#box = form.querySelector("textarea");
    this.#counter = form.querySelector(".counter");
    this.#picker = form.querySelector(".picker");
    this.#toggle = form.querySelector(".toggle-faces");
    this.#listen();
  }

  /** Take the names of the faces and the longest text, in bytes of UTF-8. */
  load(names, limit) {
    this.#faces.load(names);
    this.#limit = limit;
    const ids = this.#faces.ids();
    if (ids.length === this.#picker.childElementCount) return; // nothing new; it may be open
    this.#picker.replaceChildren(...ids.map((id) => this.#faceButton(id)));
  }

  get draft() {
    return this.#box.value;
  }

  set draft(value) {
    this.#box.value = value;
    this.#measure();
  }

  /** Ready to type; not where that would open a keyboard over half of the screen. */
  focus() {
    if (!matchMedia("(pointer: coarse)").matches) this.#box.focus();
  }

  #listen() {
    this.#box.addEventListener("input", () => {
      this.#changed();
      this.#tellTyping();
    });
    this.#box.addEventListener("keydown", (event) => {
      // While an input method is open, Enter chooses a word (Safari says so by keyCode 229).
      const isComposing = event.isComposing || event.keyCode === 229;
      if (event.key === "Enter" && !event.shiftKey && !isComposing) this.#submit(event);
    });
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    this.#toggle.addEventListener("click", () => this.#showPicker(this.#picker.hidden));
    this.#picker.addEventListener("keydown", (event) => this.#movePicker(event));
    this.#form.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.#picker.hidden) this.#showPicker(false);
    });
    document.addEventListener("pointerdown", (event) => {
      const inside = this.#picker.contains(event.target) || this.#toggle.contains(event.target);
      if (!inside && !this.#picker.hidden) this.#showPicker(false, false);
    });
  }

  #submit(event) {
    event.preventDefault();
    const content = this.#faces.parse(this.#box.value.trim());
    if (content.length === 0 || this.#room() < 0) return;
    this.#box.value = "";
    this.#changed();
    this.#typedAt = -TYPING_MS;
    this.#showPicker(false);
    this.#onSend(content);
  }

  #changed() {
    this.#measure();
    this.#onDraft(this.#box.value);
  }

  #tellTyping() {
    if (performance.now() - this.#typedAt < TYPING_MS || this.#box.value === "") return;
    this.#typedAt = performance.now();
    this.#onTyping();
  }

  #room() {
    const content = this.#faces.parse(this.#box.value.trim());
    const texts = content.filter((part) => typeof part === "string");
    return this.#limit - bytes.encode(texts.join("")).length;
  }

  #measure() {
    const room = this.#room();
    if (!CSS.supports("field-sizing", "content")) this.#grow();
    this.#counter.hidden = room > COUNTER_FROM;
    this.#counter.textContent = room < 0 ? `${-room} bytes too long` : `${room} bytes left`;
    this.#counter.classList.toggle("over", room < 0);
    this.#form.querySelector(".send").disabled = room < 0 || this.#box.value.trim() === "";
  }

  /** Make the box as high as its text, where the style sheet alone cannot (Firefox 140). */
  #grow() {
    this.#box.style.height = "auto";
    this.#box.style.height = `${this.#box.scrollHeight + 2}px`;
  }

  #showPicker(isOpen, takesFocus = true) {
    const wasOpen = !this.#picker.hidden;
    this.#picker.hidden = !isOpen;
    this.#toggle.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.#picker.firstElementChild?.focus();
    else if (wasOpen && takesFocus) this.#box.focus();
  }

  #movePicker(event) {
    const buttons = [...this.#picker.children];
    const columns = getComputedStyle(this.#picker).gridTemplateColumns.split(" ").length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    buttons[buttons.indexOf(document.activeElement) + step]?.focus();
  }

  #faceButton(id) {
    const button = document.createElement("button");
    button.type = "button";
    button.tabIndex = -1;
    button.className = this.#faces.isChip(id) ? "chip" : "";
    button.title = this.#faces.name(id);
    button.textContent = this.#faces.isChip(id) ? this.#faces.name(id) : this.#faces.label(id);
    button.setAttribute("aria-label", this.#faces.name(id));
    button.addEventListener("click", () => this.#insert(this.#faces.token(id)));
    return button;
  }

  #insert(token) {
    this.#box.setRangeText(token, this.#box.selectionStart, this.#box.selectionEnd, "end");
    this.#changed();
    this.#showPicker(false);
  }
}
