// Keeps the page up to date: the timeline from the stream of calls, the panels by asking for them anew.
"use strict";
const $ = (id) => document.getElementById(id);
const HUES = 8;
const ROWS = 8; // of bars in a lane; what does not fit overlaps in the last
const ROW = 12;
const LANES = 6;
const OVER = ["retired", "rejected", "abandoned"];

// --- Words ---------------------------------------------------------------------------------------------
const duration = (ms) => (ms < 1000 ? `${+ms.toFixed(1)} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`);
const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
const hue = (id) => {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(id)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash % HUES;
};
const failed = (call) => call.ms !== undefined && !(call.status < 400);
const outcome = (call) => (call.ms === undefined ? "runs" : call.status ? `answered ${call.status}` : (call.error || "not answered").replaceAll("_", " "));
const took = (call) => (call.ms === undefined ? now() - call.began : call.ms);
function describe(call, separator) {
  const step = !call.step ? null : call.step === "step" ? "looks for its steps" : `step ${call.step}`;
  return [
    call.function || "a request",
    call.run && `run ${call.run}`,
    step,
    call.attempt === null ? null : `attempt ${call.attempt}`,
    `${duration(took(call))}${call.ms === undefined ? " so far" : ""}, ${outcome(call)}`,
    `generation ${call.generation}${call.isolate === null ? "" : `, isolate ${call.isolate}`}`,
    `began ${clock(call.began)}`,
  ].filter(Boolean).join(separator);
}

// --- What is known -------------------------------------------------------------------------------------
const lanes = new Map(); // generation → lane
let clockAt = null; // the host's clock, and ours when it was told
let span = 120; // seconds shown
let pausedAt = null;
let selected = null;
let hovered = null;
let blockedNow = "";

function lane(generation) {
  let found = lanes.get(generation);
  if (!found) {
    found = { generation, moments: [], calls: [], byId: new Map(), rows: [], counts: new Map(), inFlight: 0, element: null };
    lanes.set(generation, found);
  }
  return found;
}
function now() {
  if (!clockAt) return Date.now();
  // A lost connection stops the clock: nothing is known of what came after.
  return connected ? clockAt.host + performance.now() - clockAt.ours : clockAt.host;
}
function add(call) {
  const of = lane(call.generation);
  const known = of.byId.get(call.call);
  if (known) {
    Object.assign(known, call);
    if (call.ms !== undefined) {
      of.byId.delete(call.call);
      of.rows[known.row] = known.began + known.ms;
    }
    return;
  }
  let row = 0;
  while (row < ROWS - 1 && (of.rows[row] ?? -Infinity) > call.began) row++;
  call.row = row;
  of.rows[row] = Math.max(of.rows[row] ?? 0, call.ms === undefined ? Infinity : call.began + call.ms);
  of.calls.push(call);
  if (call.ms === undefined) of.byId.set(call.call, call);
}
function take(told) {
  if (told.whole) lanes.clear();
  clockAt = { host: told.now, ours: performance.now() };
  for (const moment of told.moments) lane(moment.generation).moments.push(moment);
  const calls = told.ended.concat(told.began).sort((one, other) => one.began - other.began);
  calls.forEach(add);
  for (const [generation, id] of told.gone) {
    const of = lane(generation);
    const call = of.byId.get(id);
    if (call) add({ ...call, ms: told.now - call.began, status: null, error: "ended" });
  }
  for (const [second, generation, count] of told.counts) lane(generation).counts.set(second, count);
  for (const of of lanes.values()) of.inFlight = told.in_flight[of.generation] ?? 0;
  forget(told.now - 305_000);
  lastCalls(told.ended);
  const blocked = JSON.stringify(told.blocked.map((one) => [one.generation, one.isolate]));
  if (told.moments.length || told.whole || told.reloads !== reloads || blocked !== blockedNow) refreshSoon();
  else if (told.ended.length && performance.now() - refreshedAt > 5000) refreshSoon();
  reloads = told.reloads;
  blockedNow = blocked;
}
function forget(before) {
  for (const of of lanes.values()) {
    if (of.calls.length && of.calls[0].began < before) of.calls = of.calls.filter((call) => call.ms === undefined || call.began + call.ms > before);
    for (const second of of.counts.keys()) if (second * 1000 < before) of.counts.delete(second);
    const last = of.moments.at(-1);
    if (last && OVER.includes(last.state) && last.at < before && !of.calls.length) lanes.delete(of.generation);
  }
}
let reloads = 0;

// --- The timeline --------------------------------------------------------------------------------------
const canvas = document.querySelector("#chart canvas");
const paint = canvas.getContext("2d");
let colours = null;
let layout = []; // the lanes that are drawn: { lane, top, rows }
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  colours = { hues: Array.from({ length: HUES }, (_, at) => of(`hue-${at}`)) };
  for (const name of ["text", "quiet", "line", "soft", "accent", "bad", "good", "serve", "trial", "drain", "card"]) colours[name] = of(name);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);

function shownLanes(from) {
  const all = [...lanes.values()].sort((one, other) => one.generation - other.generation);
  const lives = all.filter((of) => {
    const last = of.moments.at(-1);
    if (of.inFlight || of.byId.size) return true;
    return !last || !OVER.includes(last.state) || last.at > from;
  });
  const busy = lives.filter((of) => of.inFlight);
  const newest = lives.slice(-LANES);
  return lives.filter((of) => newest.includes(of) || busy.includes(of)).slice(-2 * LANES);
}
function draw() {
  if (document.hidden) return;
  if (!colours) readColours();
  const end = pausedAt ?? now();
  const from = end - span * 1000;
  const width = canvas.clientWidth;
  const x = (at) => ((at - from) / (end - from)) * (width - 6);
  let top = 24;
  layout = shownLanes(from).map((of) => {
    const visible = of.calls.filter((call) => call.began < end && (call.ms === undefined || call.began + call.ms > from));
    const rows = Math.max(2, ...visible.map((call) => call.row + 1));
    const item = { lane: of, top, rows, visible };
    top += 24 + rows * ROW + 18;
    return item;
  });
  const height = Math.max(90, top + 2);
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.height = `${height}px`;
  }
  paint.setTransform(scale, 0, 0, scale, 0, 0);
  paint.clearRect(0, 0, width, height);
  paint.font = "11.5px system-ui, sans-serif";
  axis(from, end, x, width, height);
  for (const item of layout) drawLane(item, from, end, x, width);
  swaps(from, end, x, height, width);
  labels();
  detail();
}
function axis(from, end, x, width, height) {
  const step = [5, 10, 15, 30, 60].find((step) => (step / span) * width > 76) ?? 60;
  paint.strokeStyle = colours.line;
  paint.fillStyle = colours.quiet;
  paint.textAlign = "center";
  for (let at = Math.ceil(from / (step * 1000)) * step * 1000; at < end; at += step * 1000) {
    paint.globalAlpha = 0.6;
    line(x(at), 18, x(at), height);
    paint.globalAlpha = 1;
    if (x(at) > 28 && x(at) < width - 30) paint.fillText(clock(at), x(at), 12);
  }
}
function line(x1, y1, x2, y2) {
  paint.beginPath();
  paint.moveTo(x1, y1);
  paint.lineTo(x2, y2);
  paint.stroke();
}
function drawLane({ lane: of, top, rows, visible }, from, end, x, width) {
  const height = 20 + rows * ROW + 14;
  const clip = (at) => Math.min(end, Math.max(from, at));
  of.moments.forEach((moment, at) => {
    const until = of.moments[at + 1]?.at ?? (OVER.includes(moment.state) ? moment.at : end);
    const fill = { current: colours.serve, canary: colours.trial, draining: colours.drain, loading: colours.soft, ready: colours.soft }[moment.state];
    if (fill && until > from && moment.at < end) {
      paint.fillStyle = fill;
      const left = x(clip(moment.at));
      paint.fillRect(left, top, Math.max(1.5, x(clip(until)) - left), height);
    }
    if (moment.state === "rejected" && moment.at > from && moment.at < end) {
      paint.fillStyle = colours.bad;
      paint.fillRect(x(moment.at) - 1.5, top, 3, height);
    }
  });
  // Counts the calls that ended in each second, also those that have no bar.
  const most = Math.max(10, ...of.counts.values());
  paint.fillStyle = colours.quiet;
  paint.globalAlpha = 0.35;
  const second = x(from + 1000);
  for (const [at, count] of of.counts) {
    const left = x(at * 1000);
    if (left + second < 0 || left > width) continue;
    const tall = Math.max(1, (count / most) * 11);
    paint.fillRect(left, top + height - tall, Math.max(1, second - 0.5), tall);
  }
  paint.globalAlpha = 1;
  for (const call of visible) {
    const left = Math.max(0, x(call.began));
    const right = call.ms === undefined ? x(end) : Math.min(x(end), x(call.began + call.ms));
    const y = top + 21 + call.row * ROW;
    const wide = Math.max(2.5, right - left);
    paint.fillStyle = colours.hues[hue(call.function || "")];
    paint.fillRect(left, y, wide, ROW - 3);
    if (call.ms === undefined) {
      paint.fillStyle = colours.text;
      paint.fillRect(right - 2, y - 1, 2, ROW - 1);
    } else if (failed(call)) {
      // Not by colour alone: what failed has a notch below.
      paint.fillStyle = colours.bad;
      paint.fillRect(left, y + ROW - 4, wide, 2);
      paint.fillRect(Math.max(left, right - 3), y - 1, 3, ROW - 1);
    }
    if (call === selected || call === hovered) {
      paint.strokeStyle = colours.text;
      paint.lineWidth = 2;
      paint.strokeRect(left - 1, y - 2, wide + 2, ROW + 1);
      paint.lineWidth = 1;
    }
  }
}
function swaps(from, end, x, height, width) {
  paint.strokeStyle = colours.accent;
  for (const { lane: of, top } of layout) {
    const swap = of.moments.find((moment) => moment.state === "current");
    if (!swap || swap.at < from || swap.at > end) continue;
    paint.setLineDash([3, 3]);
    line(x(swap.at), 18, x(swap.at), height);
    paint.setLineDash([]);
    paint.lineWidth = 2;
    line(x(swap.at), top, x(swap.at), top + 20);
    paint.lineWidth = 1;
    paint.fillStyle = colours.accent;
    const left = x(swap.at) > width - 110;
    paint.textAlign = left ? "right" : "left";
    paint.fillText(`${of.generation} serves`, x(swap.at) + (left ? -6 : 6), top + 14);
  }
}
function labels() {
  const box = $("lanes");
  while (box.children.length > layout.length) box.lastChild.remove();
  layout.forEach(({ lane: of, top }, at) => {
    const element = box.children[at] ?? box.appendChild(document.createElement("div"));
    const state = of.moments.at(-1)?.state ?? "";
    const key = `${of.generation} ${state} ${of.inFlight} ${top}`;
    if (element.dataset.key === key) return;
    element.dataset.key = key;
    const number = document.createElement("b");
    number.textContent = of.generation;
    const rest = document.createElement("span");
    rest.textContent = ` ${state}${of.inFlight ? ` · ${of.inFlight} in flight` : ""}`;
    element.replaceChildren(number, rest);
    element.style.top = `${top + 1}px`;
  });
}
function rate() {
  const at = Math.floor(now() / 1000) - 1;
  let count = 0;
  for (const of of lanes.values()) for (let back = 0; back < 5; back++) count += of.counts.get(at - back) ?? 0;
  const each = count / 5;
  const running = [...lanes.values()].reduce((sum, of) => sum + of.inFlight, 0);
  const words = `${each >= 10 ? Math.round(each) : each.toFixed(1)} calls a second, ${running} in flight${each > 40 ? "; the longest are drawn" : ""}`;
  if ($("rate").textContent !== words) $("rate").textContent = words;
}

// Pointer and keyboard.
function callAt(event) {
  const box = canvas.getBoundingClientRect();
  const [px, py] = [event.clientX - box.left, event.clientY - box.top];
  const end = pausedAt ?? now();
  const from = end - span * 1000;
  const at = from + (px / (canvas.clientWidth - 6)) * (end - from);
  const slack = (4 / canvas.clientWidth) * span * 1000;
  const item = layout.find((item) => py >= item.top + 18 && py < item.top + 22 + item.rows * ROW);
  if (!item) return null;
  const row = Math.floor((py - item.top - 20) / ROW);
  return item.visible.findLast((call) => call.row === row && call.began - slack <= at && call.began + took(call) + slack >= at) ?? null;
}
canvas.addEventListener("pointermove", (event) => {
  hovered = callAt(event);
  const tip = $("tip");
  tip.hidden = !hovered;
  if (!hovered) return;
  tip.textContent = describe(hovered, "\n");
  const box = $("chart").getBoundingClientRect();
  const left = Math.min(event.clientX - box.left + 12, box.width - tip.offsetWidth - 4);
  const above = event.clientY - box.top - tip.offsetHeight - 10;
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${above >= 0 ? above : Math.min(event.clientY - box.top + 14, box.height - tip.offsetHeight)}px`;
});
canvas.addEventListener("pointerleave", () => { hovered = null; $("tip").hidden = true; });
canvas.addEventListener("click", (event) => select(callAt(event)));
function select(call) {
  selected = call;
  detail();
}
let told = "";
function detail() {
  const at = selected && selected.ms === undefined ? Math.floor(took(selected) / 5000) : 0;
  const key = selected ? `${selected.generation}-${selected.call}-${selected.ms}-${at}` : "";
  if (key === told) return; // A running call is told anew every five seconds, not ten times a second.
  told = key;
  $("detail").textContent = selected ? describe(selected, " · ") : "";
}
$("chart").addEventListener("keydown", (event) => {
  const items = layout.filter((item) => item.visible.length);
  if (event.key === "Escape") return select(null);
  if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key) || !items.length) return;
  event.preventDefault();
  const ordered = (item) => item.visible.toSorted((one, other) => one.began - other.began);
  let at = items.findIndex((item) => item.visible.includes(selected));
  if (at < 0) return select(ordered(items.at(-1)).at(-1));
  const calls = ordered(items[at]);
  const here = calls.indexOf(selected);
  if (event.key === "ArrowLeft") return select(calls[Math.max(0, here - 1)]);
  if (event.key === "ArrowRight") return select(calls[Math.min(calls.length - 1, here + 1)]);
  if (event.key === "Home") return select(calls[0]);
  if (event.key === "End") return select(calls.at(-1));
  at = Math.min(items.length - 1, Math.max(0, at + (event.key === "ArrowUp" ? -1 : 1)));
  const near = (call) => Math.abs(call.began - selected.began);
  select(items[at].visible.reduce((best, call) => (near(call) < near(best) ? call : best)));
});
for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    span = +button.dataset.span;
    for (const other of document.querySelectorAll("[data-span]")) other.setAttribute("aria-pressed", other === button);
    draw();
  });
}
$("pause").addEventListener("click", () => {
  pausedAt = pausedAt === null ? now() : null;
  $("pause").setAttribute("aria-pressed", pausedAt !== null);
});

// --- The stream ----------------------------------------------------------------------------------------
let connected = false;
let heard = 0;
let source = null;
function connection(state, words) {
  const pill = $("connection");
  pill.dataset.state = state;
  document.body.dataset.connection = state;
  if (pill.textContent !== words) pill.textContent = words;
}
function lost() {
  if (document.body.dataset.connection === "lost") return;
  if (connected) clockAt = { host: now(), ours: 0 };
  connected = false;
  connection("lost", `connection lost at ${clock(Date.now())}, trying again`);
}
function follow() {
  source?.close();
  source = new EventSource("/-/events?calls=1");
  source.addEventListener("calls", (event) => {
    heard = performance.now();
    take(JSON.parse(event.data));
    connected = true;
    connection("live", "live");
  });
  source.onerror = lost;
}
setInterval(() => {
  const silent = performance.now() - heard > 6000;
  if (silent && heard) lost();
  // The browser gives up on some errors, and a silent connection is none.
  if (source.readyState === EventSource.CLOSED || (silent && heard)) follow();
}, 2000);

// --- The panels ----------------------------------------------------------------------------------------
const rendered = new Map();
let refreshing = null;
function refreshSoon() {
  refreshing ??= setTimeout(() => refresh().finally(() => { refreshing = null; }), 120);
}
let refreshedAt = 0;
async function refresh() {
  refreshedAt = performance.now();
  const answer = await fetch("/-/panels").catch(() => null);
  if (answer?.status === 401) return location.reload();
  if (!answer?.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const fresh of page.querySelectorAll("[data-panel]")) {
    const html = fresh.outerHTML;
    if (rendered.get(fresh.id) === html) continue;
    rendered.set(fresh.id, html);
    const old = $(fresh.id);
    const focus = old.contains(document.activeElement) ? document.activeElement.id : null;
    const scrolled = old.querySelector(".scroll")?.scrollLeft;
    localTimes(fresh);
    old.replaceWith(fresh);
    if (scrolled) fresh.querySelector(".scroll").scrollLeft = scrolled;
    if (focus) $(focus)?.focus({ preventScroll: true });
  }
}
function localTimes(within) {
  for (const element of within.querySelectorAll("time")) {
    const at = new Date(element.dataset.ago ? +element.dataset.ago : element.dateTime);
    element.textContent = clock(at);
    element.title = at.toLocaleString();
  }
}
let lastAt = 0;
function lastCalls(ended) {
  if (!ended.length || performance.now() - lastAt < 500) return;
  lastAt = performance.now();
  const newest = new Map(ended.map((call) => [call.function, call]));
  for (const cell of document.querySelectorAll("[data-last]")) {
    const call = newest.get(cell.dataset.last);
    if (!call) continue;
    const words = document.createElement("span");
    words.className = failed(call) ? "bad" : "ok";
    words.textContent = call.status ?? outcome(call);
    cell.replaceChildren(`${clock(call.began + call.ms)} · ${duration(call.ms)} · `, words);
  }
}
setInterval(() => { if (connected && !document.hidden) refreshSoon(); }, 10_000);

// --- Actions -------------------------------------------------------------------------------------------
function say(words, kind) {
  $("said").dataset.kind = kind;
  $("said").textContent = words;
}
function sentence(report) {
  const { status, generation, error, functions } = report;
  const still = generation ? `Generation ${generation} still serves` : "Nothing serves yet";
  const place = error?.file ? ` (${error.file}${error.line ? `:${error.line}` : ""})` : "";
  const changed = functions && ["added", "changed", "removed"].map((kind) => functions[kind].length && `${functions[kind].length} ${kind}`).filter(Boolean).join(", ");
  switch (status) {
    case "activated": return `Generation ${generation} serves: ${changed || "no function changed"}, in ${duration(report.took_ms)}.`;
    case "unchanged": return `Nothing changed. ${still}.`;
    case "checked": return `It could be served: ${changed || "no function changed"}. ${still}.`;
    case "rejected": return `Rejected: ${error.message}${place}. ${still}.`;
    default: return error ? `${error.message}. ${error.help ?? ""}` : "Not done: this host is ending. Load the page again in a few seconds.";
  }
}
async function act(button, method, path, body) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    const answer = await fetch(path, { method, body: body && JSON.stringify(body) });
    const report = await answer.json();
    say(sentence(report), answer.ok ? "good" : "bad");
  } catch {
    say("The host does not answer. Look for it with `baton status`, or start it again.", "bad");
  }
  button.removeAttribute("aria-disabled");
  refreshSoon();
}
$("reload").addEventListener("click", (event) => act(event.target, "PUT", "/-/reload"));
$("dry-run").addEventListener("click", (event) => act(event.target, "PUT", "/-/reload?dry_run=1"));
$("roll-back").addEventListener("click", (event) => act(event.target, "POST", "/-/rollback"));
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button");
  if (button?.dataset.rollBack) act(button, "POST", "/-/rollback", { generation: +button.dataset.rollBack });
  if (button?.dataset.invoke) {
    $("invoke-function").value = button.dataset.invoke;
    $("invoke-data").focus();
    $("invoke").scrollIntoView({ block: "nearest" });
  }
});

// --- Invoke --------------------------------------------------------------------------------------------
let invoking = null;
function step(state, words, value) {
  const item = document.createElement("li");
  const mark = document.createElement("span");
  mark.className = `state ${state}`;
  mark.textContent = state;
  item.append(mark, ` ${words}`);
  if (value !== undefined && value !== null) {
    const code = document.createElement("code");
    code.textContent = typeof value === "string" ? value : JSON.stringify(value);
    item.append(code);
  }
  $("invoke-steps").append(item);
}
const message = (error) => (error && typeof error === "object" ? `${error.name ?? "Error"}: ${error.message ?? JSON.stringify(error)}` : error);
function report(of) {
  const on = of.generation ? `, generation ${of.generation}` : "";
  switch (of.type) {
    case "run": return of.depth && step("run", of.function);
    case "step": return step(of.status, `${of.step} ${duration(of.ms)}${on}`, of.error ? message(of.error) : of.output);
    case "retry": return step("retrying", `attempt ${of.attempt + 1} of ${of.max_attempts}${on}`, message(of.error));
    case "waiting": return step("waits", `${of.step} (${of.kind})${of.for ? ` for ${of.for}` : ""}`);
    case "waited": return step("waited", `${of.step} ${duration(of.ms)}`, of.error ? message(of.error) : of.output);
    case "event": return step("event", of.event.name);
    case "note": return step("note", of.message);
    case "result": return step(of.status, `${of.function} ${duration(of.ms)}`, of.status === "failed" ? message(of.error) : of.output ?? of.reason);
  }
}
$("invoke-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  invoking?.abort();
  $("invoke-steps").replaceChildren();
  let data;
  try {
    data = JSON.parse($("invoke-data").value || "{}");
  } catch (error) {
    return step("failed", `The data is not valid JSON: ${error.message}`, 'Write an object such as {"name":"Ada"}.');
  }
  const mine = (invoking = new AbortController());
  $("invoke-stop").hidden = false;
  try {
    const body = JSON.stringify({ function: $("invoke-function").value.trim(), data, skip_sleep: $("invoke-skip").checked });
    const answer = await fetch("/-/invoke", { method: "POST", headers: { "content-type": "application/json" }, body, signal: mine.signal });
    if (!answer.ok) {
      const { error } = await answer.json();
      step("failed", error.message, error.help);
    } else {
      let rest = "";
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const lines = (rest + part.value).split("\n");
        rest = lines.pop();
        for (const line of lines) report(JSON.parse(line));
      }
    }
  } catch (error) {
    if (mine.signal.aborted) step("cancelled", "a step that has begun goes on to its end");
    else step("failed", "The connection to the host was lost", "Invoke it again once this page says that it is live.");
  }
  if (invoking === mine) $("invoke-stop").hidden = true;
});
$("invoke-stop").addEventListener("click", () => invoking?.abort());

for (const panel of document.querySelectorAll("[data-panel]")) rendered.set(panel.id, panel.outerHTML);
localTimes(document);
follow();
const slowly = matchMedia("(prefers-reduced-motion: reduce)").matches;
setInterval(draw, slowly ? 1000 : 100);
setInterval(rate, 1000);
addEventListener("resize", draw);
draw();
