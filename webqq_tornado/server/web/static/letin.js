/**
 * The dialog that lets a program in: one that shows a QR code, and waits for somebody who is
 * signed in here.
 */

/** What programs call themselves, by what people call them; the first that is found. */
const PROGRAMS = [
  [/webqq_tornado/i, "webqq_tornado"],
  [/Mojolicious/i, "Perl program"],
  [/Jetty|Java/i, "Java program"],
  [/Edg/, "Edge"],
  [/Firefox/, "Firefox"],
  [/Chrome/, "Chrome"],
  [/Safari/, "Safari"],
];

export class LetIn {
  /** The QR code that the page was opened with; it is asked about once somebody is signed in. */
  scanned = null;
  #dialog;
  #opener;
  #api;
  #onDone;
  #timer = null;

  /** `opener` is the button of the dialog; `onDone(isLetIn)` is told what was decided. */
  constructor(dialog, opener, api, { onDone }) {
    this.#dialog = dialog;
    this.#opener = opener;
    this.#api = api;
    this.#onDone = onDone;
    dialog.addEventListener("close", () => clearInterval(this.#timer));
  }

  /** A program shows a QR code just now. */
  called() {
    if (this.#dialog.open) return void this.fill();
    this.#opener.classList.add("is-called");
  }

  /** List who waits: the program that was scanned, or all of them. */
  async fill() {
    const id = this.scanned;
    this.scanned = null;
    this.#opener.classList.remove("is-called");
    clearInterval(this.#timer);
    this.#say("");
    try {
      const { waiting } = await this.#api.waitingClients(id);
      this.#show(waiting);
    } catch (error) {
      this.#show([]);
      this.#find(".none").hidden = true;
      this.#say(`${error.message}.`);
    }
  }

  #show(waiting) {
    const now = performance.now();
    const rows = waiting.map((client) => this.#row(client, now));
    this.#find(".people").replaceChildren(...rows);
    this.#find(".none").hidden = rows.length > 0;
    const tick = () => rows.forEach((row) => this.#count(row));
    tick();
    this.#timer = setInterval(tick, 1000);
  }

  #row({ id, address, program, number, seconds_left }, now) {
    const row = document.getElementById("client-row").content.firstElementChild.cloneNode(true);
    row.ends = now + seconds_left * 1000;
    row.querySelector(".name").textContent = nameOf(program);
    row.querySelector(".name").title = program;
    row.querySelector(".address").textContent = address;
    row.querySelector(".code").textContent = number;
    row.querySelector(".confirm").addEventListener("click", () => this.#decide(id, true));
    row.querySelector(".refuse").addEventListener("click", () => this.#decide(id, false));
    return row;
  }

  /** How long the code is good still; a row whose code is over goes. */
  #count(row) {
    const left = Math.ceil((row.ends - performance.now()) / 1000);
    row.querySelector(".left").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (left > 0) return;
    row.remove();
    this.#find(".none").hidden = this.#find(".people").children.length > 0;
  }

  async #decide(id, isLetIn) {
    try {
      await this.#api.decideClient(id, isLetIn);
      this.#dialog.close();
      this.#onDone(isLetIn);
    } catch (error) {
      await this.fill();
      this.#say(`${error.message}.`);
    }
  }

  #say(text) {
    this.#find("[role=alert]").textContent = text;
  }

  #find(selector) {
    return this.#dialog.querySelector(selector);
  }
}

function nameOf(program) {
  const known = PROGRAMS.find(([pattern]) => pattern.test(program));
  return known?.[1] ?? (program.split(/[/ ]/)[0] || "Program");
}
