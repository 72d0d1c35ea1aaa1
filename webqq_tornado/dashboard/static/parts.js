// Small parts: elements that are kept and changed in place, and numbers as text.

export const $ = (id) => document.getElementById(id);

/** An element with a class and text. Text only: all that is shown comes from elsewhere. */
export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

export function setText(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

/**
 * Show items as children. Elements are kept in their places and only change, so that a click which
 * is under way, focus and scrolling outlive an update.
 */
export function showAll(parent, items, make, update) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(make());
  items.forEach((item, at) => update(parent.children[at], item));
  const empty = parent.closest("section, dialog")?.querySelector(":scope > .empty");
  if (empty) empty.hidden = items.length > 0;
}

/** A table row of so many cells; the first holds a button, so that the keyboard reaches it. */
export function row(classes) {
  const made = element("tr");
  classes.forEach((className, at) => {
    const cell = element("td", className);
    if (at === 0) cell.append(element("button"));
    made.append(cell);
  });
  return made;
}

export function setFirst(tr, text) {
  const button = tr.cells[0].firstElementChild;
  button.type = "button";
  setText(button, text);
  button.title = text;
}

export function setCell(tr, at, text) {
  setText(tr.cells[at], text);
  tr.cells[at].title = text;
}

export function setState(node, state) {
  setText(node, state);
  node.dataset.state = state;
}

const whole = new Intl.NumberFormat("en");
export const count = (number) => whole.format(number);

export function rate(number) {
  return number >= 100 ? whole.format(Math.round(number)) : number.toFixed(number < 10 ? 1 : 0);
}

export function bytes(number) {
  const units = ["B", "kB", "MB", "GB"];
  let at = 0;
  for (; number >= 1000 && at < units.length - 1; at++) number /= 1000;
  return `${at && number < 100 ? number.toFixed(1) : Math.round(number)} ${units[at]}`;
}

export function seconds(number) {
  if (number === null || number === undefined) return "–";
  if (number < 0.0995) return `${(number * 1000).toFixed(number < 0.00995 ? 1 : 0)} ms`;
  if (number < 0.9995) return `${Math.round(number * 1000)} ms`;
  if (number < 99.5) return `${number.toFixed(number < 9.95 ? 2 : 1)} s`;
  const minutes = Math.floor(number / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(number % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function ago(number) {
  if (number < 1) return "now";
  return number < 60 ? `${Math.floor(number)} s ago` : `${Math.floor(number / 60)} min ago`;
}
