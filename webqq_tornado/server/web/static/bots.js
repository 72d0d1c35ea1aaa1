/**
 * The dialog with the OneBot 11 settings of the user's account.
 */

/** Fields of the form that hold an address on each line. */
const LISTS = ["reverse", "post"];

export class BotsDialog {
  #api;
  #form;

  constructor(form, api) {
    this.#form = form;
    this.#api = api;
    form.querySelector(".make-token").addEventListener("click", () => {
      form.elements.token.value = makeToken();
    });
    form.elements.is_on.addEventListener("change", ({ target }) => {
      const { token } = form.elements;
      if (target.checked && !token.value) token.value = makeToken();
    });
  }

  async open() {
    const settings = await this.#api.onebot();
    const { elements } = this.#form;
    for (const name of ["is_on", "reports_own"]) elements[name].checked = settings[name];
    for (const name of ["token", "format", "secret"]) elements[name].value = settings[name];
    for (const name of LISTS) elements[name].value = settings[name].join("\n");
    elements.heartbeat.value = settings.heartbeat / 1000;
    this.#form.querySelector(".address").textContent = settings.url;
    const { connections } = settings;
    this.#form.querySelector(".connections").textContent = settings.is_on
      ? `${connections} ${connections === 1 ? "program is" : "programs are"} connected.`
      : "";
  }

  async save() {
    const { elements } = this.#form;
    const lines = (name) => elements[name].value.split("\n").map((line) => line.trim()).filter(Boolean);
    await this.#api.changeOneBot({
      is_on: elements.is_on.checked,
      reports_own: elements.reports_own.checked,
      token: elements.token.value.trim(),
      format: elements.format.value,
      secret: elements.secret.value.trim(),
      heartbeat: Math.round(Number(elements.heartbeat.value) * 1000),
      ...Object.fromEntries(LISTS.map((name) => [name, lines(name)])),
    });
  }
}

/** 32 random hex digits. */
function makeToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
