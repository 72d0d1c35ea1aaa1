/**
 * The composer: the text box, the face picker, and the counter of bytes left.
 */

/** Milliseconds between two reports that the user is typing. */
const TYPING_MS = 4_000;

/** Show the counter when this many bytes are left. */
const COUNTER_FROM = 120;

const bytes = new TextEncoder();

/** The segment of a reply, with the quote to show until the server has stored the message. */
const replySegment = ({ id, mine, from, content }) => [
  "reply",
  { id: String(id), nick: mine ? "You" : from.nick, content },
];

/** Collects typed text, picked faces and attachments, and passes them on as content. */
export class Composer {
  #box;
  #repliedTo = null; // the message that the next one replies to
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
   * `form` is the composer's form; `onSend(content)` receives a message, `onDraft(text)` the text of
   * the box after each change.
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

  /** Set the names of the faces and the longest text, in bytes of UTF-8. */
  load(names, limit) {
    this.#faces.load(names);
    this.#limit = limit;
    const ids = this.#faces.ids();
    if (ids.length === this.#picker.childElementCount) return; // unchanged; the picker may be open
    this.#picker.replaceChildren(...ids.map((id) => this.#faceButton(id)));
  }

  /** Update the buttons after attachments have changed. */
  refresh() {
    this.#measure();
  }

  /** Make the next message a reply to this one; `null`: to none. */
  replyTo(message) {
    this.#repliedTo = message;
    const quote = this.#form.querySelector(".reply-preview");
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
    this.replyTo(null);
    this.#box.value = value;
    this.#measure();
  }

  /** Focus the text box, except where that would open a keyboard over half of the screen. */
  focus() {
    if (!matchMedia("(pointer: coarse)").matches) this.#box.focus();
  }

  #listen() {
    this.#box.addEventListener("input", () => {
      this.#changed();
      this.#reportTyping();
    });
    this.#box.addEventListener("keydown", (event) => {
      // While an input method is open, Enter selects a word (Safari reports it by keyCode 229).
      const isComposing = event.isComposing || event.keyCode === 229;
      if (event.key === "Enter" && !event.shiftKey && !isComposing) this.#submit(event);
    });
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    this.#form.querySelector(".reply-preview button").addEventListener("click", () => this.replyTo(null));
    const picker = this.#form.querySelector("input[type=file]");
    this.#form.querySelector(".attach").addEventListener("click", () => picker.click());
    picker.addEventListener("change", () => {
      this.#attachments.add(picker.files);
      picker.value = "";
      this.#box.focus();
    });
    this.#box.addEventListener("paste", (event) => this.#attachFiles(event, event.clipboardData));
    const pane = this.#form.closest(".conversation");
    pane.addEventListener("dragover", (event) => event.preventDefault());
    pane.addEventListener("drop", (event) => this.#attachFiles(event, event.dataTransfer));
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

  /** Attach pasted or dropped files; pasted text is left to the browser. */
  #attachFiles(event, { files }) {
    if (!files?.length) return;
    event.preventDefault();
    this.#attachments.add(files);
  }

  #submit(event) {
    event.preventDefault();
    const written = this.#faces.parse(this.#box.value.trim());
    const isEmpty = written.length === 0 && this.#attachments.isEmpty;
    if (isEmpty || this.#bytesLeft() < 0 || !this.#attachments.areUploaded) return;
    const reply = this.#repliedTo ? [replySegment(this.#repliedTo)] : [];
    const content = [...reply, ...written, ...this.#attachments.take()];
    this.replyTo(null);
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

  #reportTyping() {
    if (performance.now() - this.#typedAt < TYPING_MS || this.#box.value === "") return;
    this.#typedAt = performance.now();
    this.#onTyping();
  }

  #bytesLeft() {
    const content = this.#faces.parse(this.#box.value.trim());
    const texts = content.filter((part) => typeof part === "string");
    return this.#limit - bytes.encode(texts.join("")).length;
  }

  #measure() {
    const room = this.#bytesLeft();
    if (!CSS.supports("field-sizing", "content")) this.#grow();
    this.#counter.hidden = room > COUNTER_FROM;
    this.#counter.textContent = room < 0 ? `${-room} bytes too long` : `${room} bytes left`;
    this.#counter.classList.toggle("over", room < 0);
    const isEmpty = this.#box.value.trim() === "" && this.#attachments.isEmpty;
    const isReady = !isEmpty && this.#attachments.areUploaded;
    this.#form.querySelector(".send").disabled = room < 0 || !isReady;
  }

  /** Fit the box to its text where the style sheet cannot (Firefox 140). */
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
