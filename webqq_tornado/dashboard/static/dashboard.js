// Shows the updates that the server sends, at most two a second, and asks for what is clicked.

import { $, ago, bytes, count, element, rate, row, seconds, setCell, setFirst, setState, setText, showAll } from "./parts.js";

const query = { state: "", host: "", reader: "", text: "", chain: 0 };
let reading = new AbortController();
let isPaused = false;

// -- the token: from the address, where nobody is to find it later ---------------------------------

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname);
}
const headers = { Authorization: `Bearer ${sessionStorage.getItem("token") ?? ""}` };

// -- updates ---------------------------------------------------------------------------------------

async function* updates(signal) {
  const response = await fetch(`events?${new URLSearchParams(query)}`, { headers, signal });
  if (!response.ok) throw response.status;
  const pieces = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await pieces.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) yield JSON.parse(event.slice("data: ".length));
  }
}

async function read(signal) {
  while (!signal.aborted) {
    try {
      for await (const update of updates(signal)) {
        say("live", "live");
        notice("");
        show(update);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error === 401 || error === 403) {
        say("refused", "no access");
        notice("Open the address that the program has printed: its end is the key to this page.");
        return;
      }
      if (error === 503) notice("Too many pages look on: close another one.");
    }
    if (signal.aborted) return;
    say("lost", "not running");
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** Ask anew, for other chains. */
function ask(changes = {}) {
  Object.assign(query, changes);
  reading.abort();
  reading = new AbortController();
  read(reading.signal);
}

function say(state, text) {
  $("link").dataset.state = state;
  setText($("link"), text);
}

function notice(text) {
  setText($("notice"), text);
  $("notice").hidden = !text;
}

async function act(path) {
  try {
    const response = await fetch(path, { method: "POST", headers });
    notice(response.ok ? "" : response.status === 404 ? "That chain has ended." : `Refused: status ${response.status}.`);
  } catch {
    notice("The program does not answer.");
  }
}

// -- what is shown ---------------------------------------------------------------------------------

function show(update) {
  document.querySelector("main").hidden = false;
  document.title = `${update.name} · ${rate(update.rates.responses)}/s`;
  setText($("name"), update.name);
  isPaused = update.paused;
  $("flow-action").disabled = false;
  setText($("flow-action"), isPaused ? "Resume all" : "Pause all");
  showTiles(update);
  showHistory(update.rates.history);
  showShards(update);
  showChains(update);
  showHosts(update);
  showReaders(update);
  showSlowest(update);
  showFailures(update);
  showTimeline(update.timeline, update.at);
  showJournal(update);
}

function showTiles({ stats, rates, latency }) {
  for (const name of ["in_flight", "queued", "delayed", "done", "failed", "retries"]) setText($(name), count(stats[name]));
  $("failed").classList.toggle("bad", stats.failed > 0);
  setText($("rate"), rate(rates.responses + rates.errors));
  setText($("received"), bytes(rates.received));
  ["p50", "p95", "p99"].forEach((name, at) => setText($(name), seconds(latency[at])));
  setText($("elapsed"), seconds(Math.floor(stats.elapsed)).replace(".00", "").replace(".0 ", " "));
}

function showHistory(history) {
  const wide = 600, high = 100, most = 120;
  const peak = Math.max(1, ...history.flat());
  const x = (at) => wide - ((history.length - 1 - at) * wide) / (most - 1);
  const line = (which) => history.map((pair, at) => `${x(at).toFixed(1)},${(high - 2 - (pair[which] / peak) * (high - 6)).toFixed(1)}`);
  const points = line(0);
  $("responses").setAttribute("points", points.length ? [`${x(0)},${high + 4}`, ...points, `${wide},${high + 4}`].join(" ") : "");
  const hasErrors = history.some((pair) => pair[1] > 0);
  $("errors").setAttribute("points", hasErrors ? line(1).join(" ") : "");
  setText($("peak"), history.length ? `peak ${rate(peak)}/s` : "");
}

function showChains({ states, chains, matches }) {
  const known = Object.entries(states);
  if (query.state && !(query.state in states)) known.push([query.state, 0]);
  known.sort(([one], [other]) => one.localeCompare(other));
  showAll($("states"), known, makeState, (button, [state, number]) => {
    button.dataset.state = state;
    button.setAttribute("aria-pressed", query.state === state);
    setText(button.firstChild, state);
    setText(button.lastChild, count(number));
  });
  showAll($("list"), chains, makeChain, (tr, chain) => {
    // One that waits in the journal of shards is in no process: there is no timeline of it.
    if (chain.number) tr.dataset.chain = chain.number;
    else delete tr.dataset.chain;
    setFirst(tr, inShard(chain));
    tr.cells[0].firstElementChild.disabled = !chain.number;
    setState(tr.cells[1].firstElementChild, chain.state);
    setCell(tr, 2, chain.reader);
    setCell(tr, 3, chain.url);
    setCell(tr, 4, count(chain.steps));
  });
  const all = known.reduce((sum, [, number]) => sum + number, 0);
  const shown = chains.length < matches ? `, ${chains.length} shown` : "";
  setText($("matches"), matches === all ? `${count(all)} alive${shown}` : `${count(matches)} of ${count(all)} alive${shown}`);
  const chosen = [query.host, query.reader].filter(Boolean).join(", ");
  $("clear").hidden = !chosen;
  setText($("clear"), `${chosen} ✕`);
}

const inShard = ({ name, shard }) => (shard == null ? name : `${shard} · ${name}`);

function showShards({ shards, at }) {
  $("shards").hidden = !shards;
  const make = () => {
    const tr = row(["", "", "", "number", "number", "number", "number", "number"]);
    tr.cells[1].append(element("span", "state"));
    return tr;
  };
  showAll($("shard-list"), shards ?? [], make, (tr, each) => {
    setText(tr.cells[0], each.shard);
    setState(tr.cells[1].firstElementChild, each.state);
    setCell(tr, 2, each.worker.replace("tcp://", ""));
    setCell(tr, 3, count(each.in_flight));
    setCell(tr, 4, count(each.ready));
    setCell(tr, 5, count(each.delayed));
    setCell(tr, 6, count(each.failed));
    tr.cells[6].classList.toggle("bad", each.failed > 0);
    setCell(tr, 7, each.next_due === null ? "" : seconds(Math.max(0, each.next_due - at)));
  });
}

function makeState() {
  const button = element("button");
  button.type = "button";
  button.append(element("span"), element("b"));
  return button;
}

function makeChain() {
  const tr = row(["", "", "", "", "number"]);
  tr.cells[1].append(element("span", "state"));
  return tr;
}

function showHosts({ hosts }) {
  showAll($("hosts"), hosts, () => row(["", "number", "number", "number", "number", "number"]), (tr, host) => {
    tr.dataset.host = host.host;
    setFirst(tr, host.host);
    setCell(tr, 1, count(host.chains));
    setCell(tr, 2, count(host.requests));
    setCell(tr, 3, count(host.errors));
    tr.cells[3].classList.toggle("bad", host.errors > 0);
    setCell(tr, 4, seconds(host.latency[0]));
    setCell(tr, 5, seconds(host.latency[1]));
  });
}

function showReaders({ readers }) {
  showAll($("readers"), readers, () => row(["", "number"]), (tr, [reader, number]) => {
    tr.dataset.reader = reader;
    setFirst(tr, reader || "none");
    setCell(tr, 1, count(number));
  });
}

function showSlowest({ slowest }) {
  showAll($("slowest"), slowest, () => row(["", "", "number"]), (tr, each) => {
    tr.dataset.chain = each.number;
    setFirst(tr, `${each.number}, step ${each.step}`);
    setCell(tr, 1, `${each.method} ${each.url}`);
    setCell(tr, 2, seconds(each.seconds));
  });
}

function showFailures({ failed, at }) {
  const make = () => {
    const tr = row(["", "", "number"]);
    tr.cells[1].append(element("span", "kind"), element("span"), element("span", "words"));
    return tr;
  };
  showAll($("failures"), failed, make, (tr, each) => {
    const [kind, where, words] = tr.cells[1].children;
    tr.dataset.chain = each.number;
    setFirst(tr, `${each.number}, step ${each.step}`);
    setText(kind, each.kind);
    setText(where, `${each.method} ${each.url}`);
    const end = each.is_final ? "ended the chain" : "";
    setText(words, [end, each.words].filter(Boolean).join(": "));
    tr.cells[1].title = `${each.kind} ${where.textContent}\n${words.textContent}`;
    setCell(tr, 2, ago(at - each.at));
  });
}

function showJournal({ journal, at }) {
  $("journal").hidden = !journal;
  if (!journal) return;
  const { path, done, failed, steps, results, letters } = journal;
  setText($("journal-path"), path);
  const numbers = [`${count(steps)} links`, `${count(done)} chains done`, `${count(failed)} failed`, `${count(results)} results`];
  setText($("journal-numbers"), numbers.join(", "));
  $("retry-all").hidden = failed === 0;
  const make = () => {
    const tr = row(["", "", "number", "number"]);
    const retry = element("button", "", "Retry");
    retry.type = "button";
    tr.cells[3].append(retry);
    return tr;
  };
  showAll($("letters"), letters, make, (tr, each) => {
    setFirst(tr, `${inShard(each)}, step ${each.step}`);
    setText(tr.cells[1], `${each.error} · ${each.url}`);
    tr.cells[1].title = each.trace;
    setCell(tr, 2, ago(at - each.at));
    tr.cells[3].firstElementChild.dataset.letter = each.id;
  });
}

// -- one chain -------------------------------------------------------------------------------------

function showTimeline(timeline, at) {
  if (!timeline || timeline.number !== query.chain) return;
  const { exchanges, failures } = timeline;
  setText($("timeline-name"), timeline.name);
  setState($("timeline-state"), timeline.state);
  const under = timeline.under_way == null ? "" : `, under way for ${seconds(timeline.under_way)}`;
  setText($("timeline-now"), timeline.url ? `Now: ${timeline.url}${under}` : "");
  const isAlive = !["ended", "failed"].includes(timeline.state);
  for (const button of $("timeline").querySelectorAll("[data-action]")) button.disabled = !isAlive;
  const began = Math.min(at, ...exchanges.map((each) => each.at - each.seconds));
  const span = Math.max(0.001, at - began);
  const items = [...exchanges, ...failures].sort((one, other) => other.at - one.at);
  showAll($("steps"), items, makeStep, (li, item) => updateStep(li, item, began, span));
}

function makeStep() {
  const li = element("li");
  li.append(...["at", "status", "what", "took", "bar"].map((name) => element("span", name)));
  li.lastChild.append(element("i"));
  return li;
}

function updateStep(li, item, began, span) {
  const [at, status, what, took, bar] = li.children;
  const isRequest = "seconds" in item;
  const lasted = isRequest ? item.seconds : 0;
  const isBad = !isRequest || item.status === 0 || item.status >= 400;
  li.toggleAttribute("data-bad", isBad);
  status.toggleAttribute("data-bad", isBad);
  setText(at, `+${seconds(Math.max(0, item.at - lasted - began))}`);
  setText(status, isRequest ? item.status || "error" : "ended");
  const how = isRequest ? [`${item.method} ${item.url}`, item.error] : [`${item.kind}: ${item.words}`];
  setText(what, how.filter(Boolean).join(" · "));
  setText(took, isRequest ? seconds(lasted) : "");
  bar.firstChild.style.left = `${Math.min(99.5, ((item.at - lasted - began) / span) * 100)}%`;
  bar.firstChild.style.width = `${(lasted / span) * 100}%`;
}

// -- clicks ----------------------------------------------------------------------------------------

document.querySelector("main").addEventListener("click", (event) => {
  const letter = event.target.closest("[data-letter]")?.dataset.letter;
  if (letter) act(`journal/${letter}/retry`);
  const tr = event.target.closest("tr[data-chain], tr[data-host], tr[data-reader]");
  if (tr?.dataset.chain) {
    $("steps").replaceChildren();
    setText($("timeline-name"), `Chain ${tr.dataset.chain}`);
    setState($("timeline-state"), "…");
    setText($("timeline-now"), "");
    ask({ chain: Number(tr.dataset.chain) });
    $("timeline").showModal();
  } else if (tr && "host" in tr.dataset) ask({ host: tr.dataset.host });
  else if (tr?.dataset.reader) ask({ reader: tr.dataset.reader });
});
$("states").addEventListener("click", (event) => {
  const state = event.target.closest("button")?.dataset.state;
  if (state) ask({ state: query.state === state ? "" : state });
});
$("clear").addEventListener("click", () => ask({ host: "", reader: "" }));
$("filter").addEventListener("submit", (event) => event.preventDefault());
let typed;
$("filter").addEventListener("input", (event) => {
  clearTimeout(typed);
  typed = setTimeout(() => ask({ text: event.target.value }), 250);
});
$("flow-action").addEventListener("click", () => act(`flow/${isPaused ? "resume" : "pause"}`));
$("retry-all").addEventListener("click", () => act("journal/all/retry"));
$("close").addEventListener("click", () => $("timeline").close());
$("timeline").addEventListener("close", () => ask({ chain: 0 }));
$("timeline").addEventListener("click", (event) => {
  const action = event.target.dataset.action;
  if (action) act(`chains/${query.chain}/${action}`);
  else if (event.target === $("timeline")) $("timeline").close();
});

ask();
