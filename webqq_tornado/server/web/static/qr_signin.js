/**
 * The dialog of sign-ins by QR code: a program shows a code, and a user who is signed in here
 * confirms it.
 */

/** Patterns of a User-Agent and the program's name; the first match counts. */
const PROGRAMS = [
  [/webqq_tornado/i, "webqq_tornado"],
  [/Mojolicious/i, "Perl program"],
  [/Jetty|Java/i, "Java program"],
  [/Edg/, "Edge"],
  [/Firefox/, "Firefox"],
  [/Chrome/, "Chrome"],
  [/Safari/, "Safari"],
];

export class QrSignInDialog {
  /** The QR code of the page's address; the dialog shows it after the sign-in. */
  scanned = null;
  #dialog;
  #opener;
  #api;
  #onDone;
  #timer = null;

  /** `opener` is the button of the dialog; `onDone(isConfirmed)` receives the decision. */
  constructor(dialog, opener, api, { onDone }) {
    this.#dialog = dialog;
    this.#opener = opener;
    this.#api = api;
    this.#onDone = onDone;
    dialog.addEventListener("close", () => clearInterval(this.#timer));
  }

  /** Mark the button, or refresh the open dialog: a program shows a new QR code. */
  announce() {
    if (this.#dialog.open) return void this.fill();
    this.#opener.classList.add("has-waiting");
  }

  /** List the waiting programs: the scanned one, or all. */
  async fill() {
    const id = this.scanned;
    this.scanned = null;
    this.#opener.classList.remove("has-waiting");
    clearInterval(this.#timer);
    this.#showStatus("");
    try {
      const { waiting } = await this.#api.waitingClients(id);
      this.#show(waiting);
    } catch (error) {
      this.#show([]);
      this.#find(".none").hidden = true;
      this.#showStatus(`${error.message}.`);
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

  /** Show the remaining time of a code; the row of an expired one is removed. */
  #count(row) {
    const left = Math.ceil((row.ends - performance.now()) / 1000);
    row.querySelector(".left").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (left > 0) return;
    row.remove();
    this.#find(".none").hidden = this.#find(".people").children.length > 0;
  }

  async #decide(id, isConfirmed) {
    try {
      await this.#api.decideClient(id, isConfirmed);
      this.#dialog.close();
      this.#onDone(isConfirmed);
    } catch (error) {
      await this.fill();
      this.#showStatus(`${error.message}.`);
    }
  }

  #showStatus(text) {
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
