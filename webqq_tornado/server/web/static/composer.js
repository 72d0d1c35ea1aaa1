/**
 * Where a message is written: the text box, the face picker, and the room that is left.
 */

/** Who is typed to is told at most once in this many milliseconds. */
const TYPING_MS = 4_000;

/** Show how much room is left from this many bytes on. */
const COUNTER_FROM = 120;

const bytes = new TextEncoder();

/** The segment that answers a message, with what shows it until the server has it. */
const replyTo = ({ id, mine, from, content }) => [
  "reply",
  { id: String(id), nick: mine ? "You" : from.nick, content },
];

/** Gathers what is typed, picked and attached, and hands it on as content. */
export class Composer {
  #box;
  #answered = null; // the message that is answered
  #attachments;
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
  constructor(form, faces, { attachments, onDraft, onSend, onTyping }) {
    this.#form = form;
    this.#attachments = attachments;
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

  /** Something was attached, or has arrived: look whether it can be sent. */
  refresh() {
    this.#measure();
  }

  /** The next message answers this one; `null`: none. */
  answer(message) {
    this.#answered = message;
    const quote = this.#form.querySelector(".answered");
    quote.hidden = !message;
    if (!message) return;
    quote.querySelector("strong").textContent = message.mine ? "You" : message.from.nick;
    quote.querySelector(".words").textContent = this.#faces.plain(message.content);
    this.#box.focus();
  }

  get draft() {
    return this.#box.value;
  }

  set draft(value) {
    this.answer(null);
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
    this.#form.querySelector(".answered button").addEventListener("click", () => this.answer(null));
    const picker = this.#form.querySelector("input[type=file]");
    this.#form.querySelector(".attach").addEventListener("click", () => picker.click());
    picker.addEventListener("change", () => {
      this.#attachments.add(picker.files);
      picker.value = "";
      this.#box.focus();
    });
    this.#box.addEventListener("paste", (event) => this.#takeFiles(event, event.clipboardData));
    const pane = this.#form.closest(".conversation");
    pane.addEventListener("dragover", (event) => event.preventDefault());
    pane.addEventListener("drop", (event) => this.#takeFiles(event, event.dataTransfer));
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

  /** Files that were pasted or dropped; a text goes its own way. */
  #takeFiles(event, { files }) {
    if (!files?.length) return;
    event.preventDefault();
    this.#attachments.add(files);
  }

  #submit(event) {
    event.preventDefault();
    const written = this.#faces.parse(this.#box.value.trim());
    const isEmpty = written.length === 0 && this.#attachments.isEmpty;
    if (isEmpty || this.#room() < 0 || !this.#attachments.areReady) return;
    const reply = this.#answered ? [replyTo(this.#answered)] : [];
    const content = [...reply, ...written, ...this.#attachments.take()];
    this.answer(null);
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
    const isEmpty = this.#box.value.trim() === "" && this.#attachments.isEmpty;
    const isReady = !isEmpty && this.#attachments.areReady;
    this.#form.querySelector(".send").disabled = room < 0 || !isReady;
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
