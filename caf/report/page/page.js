/* The status page. Its data come as scripts, so that it also works from disk; whatever they say is shown as text. */
"use strict";
(() => {
document.documentElement.className = "js";
addEventListener("error", () => { document.documentElement.className = ""; }); /* a fault in here: the plain tables */

const VERSION = 1, ROWS = 20, AT_ONCE = 6;
const GOOD = new Set(["DONE", "ACCEPTED"]), BAD = new Set(["FAILED", "CONFLICT"]), ASK = new Set(["WAITING", "PAUSED"]);
const BUSY = new Set(["SUBMITTING", "PENDING", "RUNNING", "FINISHED", "CANCELLING", "OPEN"]);
const STATES = ["WAITING", "NEW", "STAGING", "PREPARED", "SUBMITTING", "PENDING", "RUNNING", "FINISHED", "CANCELLING",
  "DONE", "FAILED", "REJECTED", "CANCELLED"];
const STATUSES = ["OPEN", "ACCEPTED", "UNCLAIMED", "CONFLICT", "IGNORED"];
const KINDS = { waiting: "Waiting for validation", failed: "Failed, not acknowledged", unknown: "In doubt",
  twin: "There twice", conflict: "Conflict", disputed: "Verdict changed", duty: "Duty", source: "Run database",
  supervisor: "Supervisor", disk: "Disk", quota: "Disk", mail: "Mail", paused: "Paused", configuration: "Configuration",
  stuck: "Will not start", stray: "Stray areas", credentials: "Credentials", backup: "Backup",
  calibration: "No good calibration" };

const now = { status: null, index: null, trends: null, trail: null, indexName: null };
let trouble = "";

/* ---- making elements: all text goes in as text ---- */

const HIDING = /(?![\n\t])\p{C}/gu; /* what would turn text round, or hide some of it */

function el(tag, attributes, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...inside.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== "" && one !== false)
    .map((one) => (typeof one === "string" ? one.replace(HIDING, "\ufffd") : one)));
  return made;
}

function svg(tag, attributes, ...inside) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

function span(seconds) {
  for (const [size, unit] of [[31536000, "y"], [86400, "d"], [3600, "h"], [60, "min"], [1, "s"]])
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return "0 s";
}

function ago(second) {
  const since = Date.now() / 1000 - second;
  return Math.abs(since) < 1 ? "now" : since > 0 ? `${span(since)} ago` : `in ${span(-since)}`;
}

const utc = (second) => new Date(second * 1000).toISOString().slice(0, 16).replace("T", " ") + " UTC";

function time(second) {
  if (second === null || second === undefined) return "–";
  return el("time", { datetime: new Date(second * 1000).toISOString(), title: utc(second), "data-at": second }, ago(second));
}

function size(bytes) {
  for (const [unit, name] of [[1e15, "PB"], [1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]])
    if (bytes >= unit) return `${(bytes / unit).toPrecision(3)} ${name}`;
  return `${bytes} B`;
}

function state(word) {
  const kind = GOOD.has(word) ? "good" : BAD.has(word) ? "bad" : ASK.has(word) ? "ask" : BUSY.has(word) ? "busy" : "";
  return el("span", { class: `state ${kind}` }, word);
}

function command(text) {
  const copy = navigator.clipboard && el("button", { type: "button", "aria-label": `Copy: ${text}`, onclick: async (event) => {
    await navigator.clipboard.writeText(text);
    event.target.textContent = "copied";
    setTimeout(() => { event.target.textContent = "copy"; }, 1500);
  } }, "copy");
  return el("span", { class: "command" }, el("code", {}, text), copy);
}

const runLink = (run) => el("a", { href: `#/run/${run}` }, String(run));

function table(caption, heads, rows, extra) {
  return el("div", { class: "table" }, el("table", { class: "rows", role: "table" },
    el("caption", { class: "unseen" }, caption),
    el("thead", {}, el("tr", { role: "row" }, heads.map((head) => typeof head === "string"
      ? el("th", { scope: "col" }, head) : head))),
    el("tbody", {}, rows.map((cells) => el("tr", { role: "row" }, cells)))), extra);
}

const td = (kind, ...inside) => el("td", { class: kind, role: "cell" }, ...inside);
const th = (...inside) => el("th", { scope: "row", role: "rowheader", class: "name" }, ...inside);
const labelled = (cell, label) => { cell.dataset.label = label; return cell; };

/* ---- data: one script for each file; a file's name says what is in it, so it is fetched once ---- */

const kept = new Map(), expected = new Map();

window.caf = (name, data) => { if (expected.has(name)) expected.get(name)(data); };

function fetched(name, path) {
  return new Promise((resolve, reject) => {
    const script = el("script", { src: path });
    const over = (act, value) => { expected.delete(name); script.remove(); act(value); };
    expected.set(name, (data) => over(resolve, data));
    script.onerror = () => over(reject, new Error(`${path} could not be loaded`));
    script.onload = () => { if (expected.has(name)) over(reject, new Error(`${path} holds no data`)); };
    document.head.append(script);
  });
}

function data(name) {
  if (!kept.has(name)) {
    const coming = fetched(name, `data/${name}.js`).then((found) => {
      if (found.version !== VERSION) throw new Error(`${name} is of version ${found.version}`);
      return found;
    });
    coming.catch(() => kept.delete(name));
    kept.set(name, coming);
  }
  return kept.get(name);
}

async function refresh() {
  try {
    for (let tries = 0; ; tries += 1) {
      const status = await fetched("status", `status.js?${Date.now()}`);
      now.status = status;
      if (status.version !== VERSION) break;
      try {
        if (status.index !== now.indexName) await take(status.index);
        break;
      } catch (error) { if (tries) throw error; } /* a newer one took its place meanwhile: once more */
    }
    trouble = "";
  } catch (error) {
    trouble = error.message;
  }
  show();
}

async function take(name) {
  const index = await data(name);
  const others = Object.fromEntries(await Promise.all(
    Object.entries(index.others).map(async ([kind, other]) => [kind, await data(other)])));
  const wanted = new Set([name, ...Object.values(index.others), ...index.jobs.map((one) => one.name),
    ...index.runs.map((one) => one.name)]);
  for (const old of kept.keys()) if (!wanted.has(old) && !/^(details|configurations)-/.test(old)) kept.delete(old);
  Object.assign(now, { index, trends: others.trends, trail: others.trail, indexName: name });
}

const details = (kind, number) => {
  const sum = now.index[kind][number];
  return sum ? data(`${kind}-${number}-${sum}`) : Promise.reject(new Error("it is not among the data of this page"));
};

/* ---- above everything: is this page to be believed? ---- */

function age() { return now.status ? Date.now() / 1000 - Date.parse(now.status.written) / 1000 : null; }

function alarms() {
  const found = [], status = now.status, old = age();
  if (status && status.version !== VERSION) found.push([`The data are of another version than this page`,
    `The data are version ${status.version}, this page shows version ${VERSION}. Reload without the cache `
    + `(Ctrl+Shift+R). If this stays, the folder's own page.js is older or newer than what writes the data.`]);
  else if (status && old > Math.max(300, 3 * status.every)) found.push([`These data are ${span(old)} old`,
    `Nothing was written here since ${utc(Date.parse(status.written) / 1000)}: the supervisor on ${status.host} does not `
    + `run, or cannot write. What follows is how things stood then. On that machine: caf status`]);
  else if (status && old < -300) found.push([`These data come from the future`,
    `They were written ${span(-old)} after what this computer's clock says. One of the two clocks is wrong, so no age `
    + `on this page can be trusted.`]);
  if (trouble) found.push(["Some data could not be loaded", `${trouble}. It is tried again every minute.`]);
  return found;
}

function top() {
  const status = now.status, there = document.getElementById("alarm"), found = alarms();
  const key = JSON.stringify(found);
  if (there.dataset.key !== key) {
    there.dataset.key = key;
    there.replaceChildren(...found.map(([head, text]) => el("div", { class: "alarm" },
      el("div", { class: "inner" }, el("strong", {}, head), text))));
    if (status && status.behind > 0 && !found.length) there.append(el("div", { class: "note" }, el("div", { class: "inner" },
      `The page is being filled: ${plural(status.behind, "file")} of data to be written yet.`)));
  }
  document.getElementById("fresh").textContent = status ? `written ${ago(Date.parse(status.written) / 1000)}` : "";
  for (const one of document.querySelectorAll("time[data-at]")) one.textContent = ago(Number(one.dataset.at));
}

/* ---- sections of the first page ---- */

const ITEMS = ["waiting", "failed", "unknown", "conflict", "disputed"];

function needs(status) {
  if (!status.needs.length) return el("div", { class: "panel calm" }, el("b", { "aria-hidden": "true" }, "✓"),
    "Nothing needs a person.");
  const rank = (need) => (need.critical ? 0 : 1);
  const shown = [], seen = new Set();
  for (const need of [...status.needs].sort((one, other) => rank(one) - rank(other))) {
    const kind = need.what === "twin" ? "unknown" : need.what;
    const items = ITEMS.includes(kind) ? status.asking[kind] : [];
    if (items.length && seen.has(kind)) continue;
    seen.add(kind);
    shown.push(el("div", { class: `need${need.critical ? " critical" : ""}` },
      el("h3", {}, el("span", { class: "kind" }, KINDS[kind] || need.what),
        items.length ? el("span", { class: "quiet small" }, plural(Math.max(need.count, items.length), items[0].job ? "job" : "run")) : "",
        need.critical && el("span", { class: "state bad" }, "critical")),
      items.length ? asked(kind, items, need) : [el("p", {}, need.text), command(need.command)]));
  }
  return el("div", { class: "panel needs" }, shown);
}

/* A result that the reason begins with, or none, need not be told besides. */
const twice = (one) => !one.result || one.reason.startsWith(`${one.result.replaceAll("_", " ")} `);

function asked(kind, items, need) {
  const row = (one) => [td("wide", el("b", {}, runLink(one.run), one.job && [" ", one.job]), " ", one.since && el("span", { class: "quiet small" }, time(one.since)),
    el("div", {}, twice(one) ? "" : [one.result, ": "], one.reason)), td("type", one.commands.map(command))];
  const heads = ["What and why", "Type one of"], few = items.length > 6 ? 4 : items.length;
  const all = need.count > items.length && ["waiting", "failed"].includes(kind)
    ? el("a", { href: `#/?state=${kind === "waiting" ? "WAITING" : "FAILED"}` }, `all ${need.count.toLocaleString("en")} in the list`) : null;
  return [table(KINDS[kind], heads, items.slice(0, few).map(row)),
    few < items.length && el("details", { "data-open": kind }, el("summary", {}, `${items.length - few} more`),
      table(`More: ${KINDS[kind]}`, heads, items.slice(few).map(row))), all];
}

function counts(status) {
  const some = (what, words, kind) => words.filter((word) => what[word]).map((word) =>
    el("a", { class: "count", href: `#/?list=${kind}&state=${word}` }, el("b", {}, what[word].toLocaleString("en")), state(word)));
  return [
    status.pauses.map((one) => el("div", { class: "panel need" }, el("h3", {}, el("span", { class: "kind" }, "Paused")),
      el("p", {}, `${one.job ? `Submitting of ${one.job}` : "All submitting"} is paused by ${one.who}, `, time(one.since),
        `: ${one.reason}`), command(one.command))),
    el("div", { class: "counts", role: "group", "aria-label": "Jobs by state" }, some(status.jobs, STATES, "jobs"))];
}

function duties(status) {
  return el("div", { class: "panel" }, table("Duties", ["Duty", "Succeeded", "Failed", "Next round", "Last change"],
    status.duties.map((one) => [th(one.name), labelled(td("when", time(one.succeeded)), "succeeded"),
      labelled(td("when", one.failed === null ? "" : time(one.failed)), "failed"), labelled(td("when", one.next !== null && one.next < Date.now() / 1000 ? "due " : "", time(one.next)), "next"),
      td("wide", one.error ? [state("FAILED"), " ", one.failures > 1 ? `${one.failures} times running: ` : "", one.error]
        : one.progress ? `under way: ${one.progress}` : one.summary || "")])),
  status.backup || status.credentials ? el("p", { class: "small quiet inset" },
    status.backup ? ["Newest backup: ", time(status.backup.at), `, ${size(status.backup.size)}. `] : "",
    status.credentials ? ["Credentials: ", status.credentials.expires ? ["good until ", utc(status.credentials.expires), ", ", time(status.credentials.expires)] : "no end is known", "."] : "") : "");
}

function listeners(status) {
  const rows = status.listeners.map((one) => [th(one.name), labelled(td("", one.run === null ? "none yet" : runLink(one.run)), "run"),
    labelled(td("when", time(one.start)), "began"), labelled(td("", one.expect_every === null ? "–" : span(one.expect_every)), "expected every"),
    td("", one.late ? el("span", { class: "state bad" }, "overdue") : one.expect_every === null || one.run === null ? ""
      : el("span", { class: "state good" }, "in time"))]);
  return el("div", { class: "panel" }, table("Listeners", ["Listener", "Last good run", "Began", "Expected every", ""], rows));
}

function trail() {
  const rows = now.trail ? now.trail.rows : [];
  if (!rows.length) return el("p", { class: "quiet" }, "Nothing was changed yet.");
  const line = ([at, who, run, job, , was, became, why]) => [td("when", time(at)), td("name", who),
    td("name", run === null ? "" : runLink(run), job && [" ", job]), td("name", was && was !== became ? [state(was), " → "] : "",
      became ? state(became) : ""), td("wide", why)];
  const heads = ["When", "Who", "What", "Change", "Why"];
  return el("div", { class: "panel" }, table("The newest changes", heads, rows.slice(0, 15).map(line)),
    rows.length > 15 && el("details", { class: "verdict", "data-open": "trail" }, el("summary", {}, `${rows.length - 15} more`),
      table("More changes", heads, rows.slice(15).map(line))));
}

/* ---- figures ---- */

const HEIGHT = 190, LEFT = 52, RIGHT = 10, TOP = 8, FOOT = 22;

function frame(width, label) {
  return svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label });
}

function ticks(drawn, width, y, marks) {
  for (const [value, text] of marks) {
    drawn.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, text));
  }
}

function dates(drawn, width, x, days) {
  const step = Math.ceil(days.length / Math.max(2, Math.floor((width - LEFT) / 75)));
  for (let place = days.length - 1; place >= 0; place -= step) drawn.append(
    svg("text", { x: x(place), y: HEIGHT - 6, "text-anchor": place === days.length - 1 ? "end" : "middle" }, days[place].day.slice(5)));
  drawn.append(svg("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: HEIGHT - FOOT, y2: HEIGHT - FOOT }));
}

function nice(largest) {
  const step = [1, 2, 5, 10].map((one) => one * 10 ** Math.max(0, Math.floor(Math.log10(Math.max(largest, 1) / 4)))).find((one) => one * 5 >= largest) || 1;
  return [step, Math.max(step, Math.ceil(largest / step) * step)];
}

function throughput(days, width) {
  const [step, most] = nice(Math.max(...days.map((one) => one.done + one.failed)));
  const drawn = frame(width, `Jobs ended each day, the last ${days.length} days`);
  const y = (value) => HEIGHT - FOOT - (value / most) * (HEIGHT - FOOT - TOP);
  const room = (width - LEFT - RIGHT) / days.length, x = (place) => LEFT + (place + .5) * room;
  ticks(drawn, width, y, Array.from({ length: most / step + 1 }, (_, place) => [place * step, String(place * step)]));
  days.forEach((one, place) => {
    const bar = (kind, from, to) => to > from && drawn.append(svg("rect", { class: kind, x: x(place) - room * .38, width: room * .76,
      y: y(to), height: y(from) - y(to) }, svg("title", {}, `${one.day}: ${one.done} done, ${one.failed} failed`)));
    bar("b-good", 0, one.done);
    bar("b-bad", one.done, one.done + one.failed);
  });
  dates(drawn, width, (place) => (place === days.length - 1 ? width - RIGHT : x(place)), days);
  return drawn;
}

const SCALE = [[60, "1 min"], [600, "10 min"], [3600, "1 h"], [21600, "6 h"], [86400, "1 d"], [604800, "1 w"], [2592000, "30 d"]];

function latency(days, measure, width) {
  const values = days.flatMap((one) => [one[measure].median, one[measure].most]).filter((one) => one !== null);
  const drawn = frame(width, `Time from a run's end, the last ${days.length} days`);
  if (!values.length) {
    drawn.append(svg("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "none yet"));
    return drawn;
  }
  const least = Math.min(...values), most = Math.max(...values);
  const first = Math.max(0, SCALE.findLastIndex(([value]) => value <= least));
  const after = SCALE.findIndex(([value]) => value >= most), marks = SCALE.slice(first, Math.max(after < 0 ? SCALE.length : after + 1, first + 2));
  const low = Math.log(Math.min(marks[0][0], least)), high = Math.log(Math.max(marks.at(-1)[0], most));
  const y = (value) => HEIGHT - FOOT - ((Math.log(value) - low) / (high - low)) * (HEIGHT - FOOT - TOP);
  const room = (width - LEFT - RIGHT) / days.length, x = (place) => LEFT + (place + .5) * room;
  ticks(drawn, width, y, marks);
  for (const [share, line, dot] of [["most", "l-two", "p-two"], ["median", "l-one", "p-one"]]) {
    const points = days.map((one, place) => [x(place), one[measure][share], one]).filter(([, value]) => value !== null);
    drawn.append(svg("polyline", { class: line, points: points.map(([across, value]) => `${across},${y(Math.max(value, 1))}`).join(" ") }));
    for (const [across, value, one] of points) drawn.append(svg("circle", { class: dot, cx: across, cy: y(Math.max(value, 1)), r: 2.2 },
      svg("title", {}, `${one.day}: half within ${span(one[measure].median)}, nine of ten within ${span(one[measure].most)}; ${plural(one[measure].count, "job")}`)));
  }
  dates(drawn, width, (place) => (place === days.length - 1 ? width - RIGHT : x(place)), days);
  return drawn;
}

function disk(one, width) {
  const past = one.history || [], full = one.size, drawn = frame(width, `${one.title}: ${amount(one, one.used)} of ${amount(one, full)} in use${one.told ? `; ${one.told}` : ""}`);
  const at = Date.parse(now.status.written) / 1000, points = [...past, [at, one.used]];
  const ahead = one.forecast ? one.forecast.at(-1)[0] : at, since = Math.min(points[0][0], ahead - 86400);
  const x = (moment) => LEFT + ((moment - since) / Math.max(ahead - since, 1)) * (width - LEFT - RIGHT);
  const y = (value) => HEIGHT - FOOT - Math.min(value / full, 1.02) * (HEIGHT - FOOT - TOP);
  ticks(drawn, width, y, [0, .25, .5, .75, 1].map((share) => [share * full, `${share * 100} %`]));
  for (const [share, kind] of [[one.high, "l-mark"], [one.low, "l-low"]]) if (share) drawn.append(
    svg("line", { class: kind, x1: LEFT, x2: width - RIGHT, y1: y(share / 100 * full), y2: y(share / 100 * full) }));
  const way = points.map(([moment, used]) => `${x(moment)},${y(used)}`).join(" ");
  drawn.append(svg("polygon", { class: "b-used", points: `${x(points[0][0])},${y(0)} ${way} ${x(at)},${y(0)}` }),
    svg("polyline", { class: "l-one", points: way }), svg("circle", { class: "p-one", cx: x(at), cy: y(one.used), r: 3 }));
  if (one.forecast) drawn.append(svg("polyline", { class: "l-two", points: one.forecast.map(([moment, used]) => `${x(moment)},${y(used)}`).join(" ") }));
  const days = (moment) => utc(moment).slice(5, 10);
  drawn.append(svg("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: HEIGHT - FOOT, y2: HEIGHT - FOOT }),
    svg("text", { x: LEFT, y: HEIGHT - 6 }, days(since)), svg("text", { x: width - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, days(ahead)));
  return drawn;
}

function meter(one, width) {
  const made = svg("svg", { viewBox: `0 0 ${width} 16`, role: "img", "aria-label": `${Math.round(one.used / one.size * 100)} % in use` });
  made.append(svg("rect", { class: "b-all", width, height: 16, rx: 3 }),
    svg("rect", { class: "b-full", width: Math.max(3, width * Math.min(1, one.used / one.size)), height: 16, rx: 3 }));
  return made;
}

function figure(title, told, keys, draw, numbers) {
  const place = el("div", {}), made = el("figure", { class: "figure panel" }, el("figcaption", {}, el("h3", {}, title),
    told && el("p", { class: "small quiet" }, told)), place,
    keys && el("div", { class: "key" }, keys.map(([kind, text]) => el("span", { class: kind }, text))), numbers);
  made.draw = () => place.replaceChildren(draw(Math.max(280, Math.round(place.clientWidth || 560))));
  return made;
}

const LATENCY_KEYS = [["k-one", "half of the jobs within"], ["k-two", "nine of ten within"]];

function trends() {
  if (!now.trends) return el("p", { class: "quiet" }, "Nothing yet.");
  const days = now.trends.days, shown = days.slice(-60);
  const worth = days.filter((one) => one.done || one.failed || one.to_submission.count || one.to_done.count).reverse();
  const spans = (one) => (one.count ? `${span(one.median)} / ${span(one.most)}` : "–");
  const numbers = el("details", { "data-open": "trends" }, el("summary", {}, "The same as a table"), table("Each day",
    ["Day", "Done", "Failed", "Made", "To submission", "To DONE"], worth.map((one) => [th(one.day),
      labelled(td("", String(one.done)), "done"), labelled(td("", String(one.failed)), "failed"), labelled(td("", String(one.made)), "made"),
      labelled(td("", spans(one.to_submission)), "to submission"), labelled(td("", spans(one.to_done)), "to DONE")])));
  return [el("div", { class: "pair" },
    figure("Jobs ended each day", null, [["k-good", "done"], ["k-bad", "failed"]], (width) => throughput(shown, width)),
    figure("From a run's end to submission", "Fresh runs only.", LATENCY_KEYS, (width) => latency(shown, "to_submission", width)),
    figure("From a run's end to DONE", "Fresh runs only.", LATENCY_KEYS, (width) => latency(shown, "to_done", width))), numbers];
}

const amount = (one, number) => (one.counts === "files" ? plural(number, "file") : size(number));

function disks(status) {
  return el("div", { class: "pair" }, status.disks.map((one) => figure(one.title || one.path,
    `${amount(one, one.used)} of ${amount(one, one.size)} in use (${Math.round(one.used / one.size * 100)} %)${one.told ? `; ${one.told}` : ""}`,
    one.high ? [["k-one", "in use"], ...(one.forecast ? [["k-two", "as things go"]] : []), ["k-bad", `cleaning from ${one.high} %`], ["k-good", `down to ${one.low} %`]] : null,
    (width) => (one.forecast || (one.history && one.history.length > 1) ? disk(one, width) : meter(one, width)))));
}

/* ---- lists: only the files that can hold what is asked for are loaded ---- */

const LISTS = {
  jobs: { heads: [["run", "Run"], ["job", "Job"], ["state", "State"], ["updated", "Changed"], ["reason", "Why it is there"], ["listener", "Listener"], ["run_type", "Type"]],
    search: ["run", "job", "listener", "state", "result", "reason", "run_type", "partition"],
    cells: (one) => [th(runLink(one.run)), td("name", one.job), td("", state(one.state), one.mark && [" ", el("span", { class: `state ${one.mark}` }, one.mark)]),
      td("when", time(one.updated)), td("wide", twice(one) || one.result === "ok" ? "" : [el("b", {}, one.result), ": "],
        one.unknown_since ? ["in doubt since ", time(one.unknown_since), ": "] : "", one.reason, one.acknowledged ? el("span", { class: "quiet" }, " (acknowledged)") : ""),
      td("name spare quiet", one.listener), td("any spare quiet", one.run_type || "")] },
  runs: { heads: [["run", "Run"], ["status", "Status"], ["listener", "Listener"], ["start", "Began"], ["events", "Events"], ["run_type", "Type"], ["partition", "Partition"], ["jobs", "Jobs"]],
    search: ["run", "status", "listener", "run_type", "partition"],
    cells: (one) => [th(runLink(one.run)), td("", state(one.status), one.needs_validation && [" ", el("span", { class: "state ask" }, "few events")]),
      td("name", one.listener || ""), td("when", one.start === null ? "–" : time(one.start)), labelled(td("number", one.events === null ? "–" : one.events.toLocaleString("en")), "events"),
      td("any", one.run_type || ""), td("any spare quiet", one.partition || ""),
      td("", one.jobs.map(([job, where]) => el("div", { class: "whole" }, state(where), " ", job)))] } };

let view = 0;

function asObjects(document) {
  document.objects ||= document.rows.map((row) => Object.fromEntries(row.map((value, place) => [document.columns[place], value])));
  return document.objects;
}

function may(kind, entry, wanted) {
  if (wanted.listener && !entry.listeners.includes(wanted.listener)) return false;
  if (exactRun(wanted.q) && (Number(wanted.q) < entry.first || Number(wanted.q) > entry.last)) return false;
  if (kind === "runs") return !wanted.state || wanted.state in entry.status;
  const of = wanted.job ? [entry.jobs[wanted.job] || {}] : Object.values(entry.jobs);
  return of.some((states) => (wanted.state ? wanted.state in states : Object.keys(states).length));
}

const exactRun = (text) => /^\d{5,}$/.test(text || "");

function fits(kind, wanted) {
  const text = (wanted.q || "").toLowerCase(), field = kind === "jobs" ? "state" : "status";
  return (one) => (!wanted.state || one[field] === wanted.state) && (!wanted.job || (kind === "jobs" ? one.job === wanted.job : true))
    && (!wanted.listener || one.listener === wanted.listener)
    && (!text || (exactRun(text) ? String(one.run) === text : LISTS[kind].search.some((name) => one[name] !== null && String(one[name]).toLowerCase().includes(text))));
}

function counted(kind, entries, wanted) {
  if (wanted.q || wanted.listener) return null;
  let sum = 0;
  for (const entry of entries) for (const [job, states] of kind === "runs" ? [["", entry.status]] : Object.entries(entry.jobs))
    if (kind === "runs" || !wanted.job || wanted.job === job) for (const [word, count] of Object.entries(states))
      if (!wanted.state || wanted.state === word) sum += count;
  return sum;
}

function ordered(rows, sort) {
  const up = sort.startsWith("-") ? -1 : 1, name = sort.replace("-", "");
  const of = (one) => (Array.isArray(one[name]) ? one[name].map(String).join() : one[name]);
  return rows.sort((one, other) => {
    const a = of(one), b = of(other);
    if (a === b) return other.run - one.run;
    if (a === null) return 1;
    if (b === null) return -1;
    return (a < b ? -1 : 1) * up;
  });
}

/* Give the rows of one page of a list, how many there are in all where that is known, and whether there are more. */
async function asked_for(kind, wanted, progress) {
  const mine = ++view, entries = now.index[kind].filter((entry) => may(kind, entry, wanted)), wants = fits(kind, wanted);
  const known = counted(kind, entries, wanted), upTo = (wanted.page + 1) * ROWS + 1;
  const found = [];
  for (let place = 0; place < entries.length; place += AT_ONCE) {
    if (!wanted.sort && found.length >= upTo) break;
    const documents = await Promise.all(entries.slice(place, place + AT_ONCE).map((entry) => data(entry.name)));
    if (mine !== view) return null;
    for (const document of documents) for (const one of asObjects(document)) if (wants(one)) found.push(one);
    progress(Math.min(place + AT_ONCE, entries.length), entries.length);
  }
  const complete = wanted.sort || found.length < upTo;
  if (wanted.sort) ordered(found, wanted.sort);
  const first = wanted.page * ROWS;
  return { rows: found.slice(first, first + ROWS), first, total: complete ? found.length : known, more: found.length > first + ROWS };
}

function choice(label, name, words, wanted) {
  return el("label", {}, label, el("select", { name, onchange: (event) => go({ [name]: event.target.value }) },
    el("option", { value: "" }, "any"), words.map((word) => el("option", { value: word, selected: wanted[name] === word }, word))));
}

function list() {
  const wanted = asks(), kind = wanted.list, spec = LISTS[kind], body = el("div", {}), told = el("span", { class: "told", role: "status" });
  const names = [...new Set(now.index.jobs.flatMap((entry) => Object.keys(entry.jobs)))].sort();
  const takers = [...new Set([...now.index.jobs, ...now.index.runs].flatMap((entry) => entry.listeners))].sort();
  let typing;
  const search = el("input", { type: "search", id: "search", value: wanted.q, placeholder: "run, name, reason …", oninput: (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => go({ q: event.target.value.trim() }), 250);
  } });
  const page = (text, number, ready) => el("button", { type: "button", disabled: !ready, onclick: () => go({ page: number }) }, text);
  const tab = (name, text) => el("button", { type: "button", "aria-pressed": String(kind === name), onclick: () => go({ list: name, state: "", sort: "", job: "" }) }, text);
  const pages = el("div", { class: "pages" }, told);
  const heads = spec.heads.map(([name, text]) => {
    const direction = wanted.sort === name ? "ascending" : wanted.sort === `-${name}` ? "descending" : null;
    return el("th", { scope: "col", "aria-sort": direction }, el("button", { type: "button", onclick: () => go({ sort: direction === "descending" ? name : `-${name}` }) }, text));
  });
  asked_for(kind, wanted, (done, all) => { if (done < all) told.textContent = `Looking: ${done} of ${all} files …`; }).then((found) => {
    if (!found) return;
    body.replaceChildren(found.rows.length ? table(kind === "jobs" ? "Jobs" : "Runs", heads, found.rows.map(spec.cells))
      : el("p", { class: "empty" }, kind === "jobs" && !now.index.jobs.length ? "There are no jobs yet." : "None fits."));
    const last = found.first + found.rows.length, noun = kind === "jobs" ? "job" : "run";
    told.textContent = !found.rows.length ? "" : `${(found.first + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${found.total === null ? "more" : plural(found.total, noun)}${wanted.sort ? "" : ", the newest first"}`;
    pages.replaceChildren(told, page("Newer", wanted.page - 1, wanted.page > 0), page("Older", wanted.page + 1, found.more));
    if (wanted.sort) pages.append(el("button", { type: "button", onclick: () => go({ sort: "" }) }, "Newest first again"));
  }).catch((error) => { told.textContent = `${error.message}: it is tried again.`; });
  return el("div", { class: "panel" }, el("div", { class: "bar", role: "search" },
    el("div", { class: "tabs", role: "group", "aria-label": "What is listed" }, tab("jobs", "Jobs"), tab("runs", "Runs")),
    el("label", { class: "search" }, "Search", search),
    choice(kind === "jobs" ? "State" : "Status", "state", kind === "jobs" ? STATES : STATUSES, wanted),
    kind === "jobs" && choice("Job", "job", names, wanted), choice("Listener", "listener", takers, wanted)), body, pages);
}

/* ---- a run's own page ---- */

const MARKS = { h: ["✓", "good", "holds"], f: ["✗", "bad", "fails"], u: ["?", "ask", "not known yet"] };

function value(one) {
  if (one === null || one === undefined) return el("span", { class: "quiet" }, "not known");
  if (one === true || one === false) return one ? "yes" : "no";
  return one === "" ? "“”" : typeof one === "string" && /^\d{4}-\d\d-\d\dT/.test(one) ? one.slice(0, 19).replace("T", " ") + " UTC" : String(one);
}

function remarks(run, name) {
  const found = [];
  if (name in run.corrected) found.push(`corrected: ${run.corrected[name]}`);
  else if (name in run.inherited) found.push(`inherited from run ${run.inherited[name]}`);
  if (run.provisional.includes(name)) found.push("may still change");
  return found.length ? el("span", { class: "quiet small" }, ` (${found.join("; ")})`) : "";
}

function verdicts(run, configuration) {
  if (!configuration || !configuration.listeners) return el("p", { class: "quiet" }, `It was reached under configuration ${run.configuration}, which this version cannot show. `,
    command(`caf listeners explain ${run.run}`));
  const groups = run.answers.split(" ");
  const parts = configuration.listeners.map((listener, place) => {
    const letters = [...(groups[place] || "")], conditions = letters.slice(0, listener.conditions.length);
    return { listener, conditions, enough: letters[listener.conditions.length], failing: conditions.filter((one) => one === "f").length,
      open: conditions.filter((one) => one === "u").length };
  }).sort((one, other) => one.failing - other.failing || one.open - other.open);
  return el("div", { class: "panel" }, parts.map(({ listener, conditions, enough, failing, open }, place) => {
    const word = failing ? `does not take it: ${plural(failing, "condition")} ${failing === 1 ? "fails" : "fail"}` : open || enough === "u" ? "may take it: something is not known yet" : "takes it";
    const line = (letter, text, name, few) => {
      const [sign, kind, said] = few && letter === "f" ? ["!", "ask", "too few: a person must validate"] : MARKS[letter];
      return [td("", el("span", { class: `mark ${kind}` }, `${sign} `, el("span", { class: "small" }, said))), td("wide", text),
        labelled(td("wide", value(run.attributes[name] ?? (name === "run" ? run.run : null)), remarks(run, name)), "seen:")];
    };
    const rows = listener.conditions.map((one, number) => line(conditions[number], one.text, one.attribute));
    if (listener.min_events !== null && enough) rows.push(line(enough, `events is at least ${listener.min_events}`, "events", true));
    return el("details", { class: "verdict", open: place === 0 || !failing }, el("summary", {}, el("b", {}, listener.name),
      el("span", { class: failing ? "quiet" : open ? "mark ask" : "mark good" }, word)),
      rows.length ? table(`Conditions of ${listener.name}`, ["Answer", "Condition", "Seen"], rows) : el("p", {}, "It has no condition: every run fits."));
  }));
}

function shown(attempt, name) {
  const files = attempt.files || [], plots = files.filter((one) => one.kind === "plot");
  const missing = (one, why) => el("li", { class: "quiet" }, `${one.name}: ${why}`);
  const others = el("ul", { class: "files" });
  for (const one of files.filter((file) => file.kind !== "plot")) {
    if (one.kind === "none") { others.append(missing(one, one.note)); continue; }
    others.append(el("li", {}, el("a", { href: one.file, rel: "noopener" }, one.name), el("span", { class: "quiet small" }, ` ${size(one.size)}${one.note ? `, ${one.note}` : ""}`),
      one.head ? el("pre", { tabindex: "0", "aria-label": `Beginning of ${one.name}` }, one.head) : null));
  }
  const pictures = el("div", { class: "plots" }, plots.map((one) => el("figure", {}, el("a", { href: one.file, rel: "noopener" },
    el("img", { src: one.file, alt: `${one.name} of ${name}, attempt ${attempt.attempt}`, loading: "lazy", onerror: (event) => {
      const place = event.target.closest("figure");
      others.append(missing(one, "could not be loaded"));
      place.remove();
    } })), el("figcaption", {}, `${one.name}, ${size(one.size)}`))));
  if (attempt.files_error) others.append(el("li", { class: "quiet" }, `Nothing was copied yet: ${attempt.files_error}`));
  if (attempt.files_removed) others.append(el("li", { class: "quiet" }, "The copies were removed for their age, ", time(attempt.files_removed), "."));
  return [plots.length ? pictures : "", others.childElementCount ? others : ""];
}

function job(one, run) {
  const attempts = [...one.attempts].reverse();
  const newest = attempts.find((attempt) => attempt.files || attempt.files_error || attempt.files_removed);
  return el("article", { class: "job panel", id: `job-${one.job}` }, el("div", { class: "lead" }, el("h3", {}, one.job), state(one.state), one.result && one.result !== "ok" ? el("b", {}, one.result) : "",
    one.mark ? el("span", { class: `state ${one.mark}` }, `marked ${one.mark}`) : "", el("span", { class: "quiet small" }, "changed ", time(one.updated))),
    el("p", {}, one.unknown_since ? ["In doubt since ", time(one.unknown_since), ": "] : "", one.reason), one.marked ? el("p", { class: "quiet" }, `Marked by ${one.marked}`) : "",
    el("p", {}, one.commands.map(command)),
    attempts.length ? table(`Attempts of ${one.job}`, ["Attempt", "Result", "Exit code", "Node", "Submitted", "Ran", "Reason"], attempts.map((attempt) => [
      th(String(attempt.attempt)), labelled(td("", attempt.result || "–"), "result"), labelled(td("", attempt.exit_code === null ? "–" : String(attempt.exit_code)), "exit code"),
      td("name", attempt.node || "–"), labelled(td("when", time(attempt.asked)), "submitted"),
      labelled(td("when", attempt.started && attempt.ended ? span(attempt.ended - attempt.started) : attempt.started ? ["since ", time(attempt.started)] : "–"), "ran"),
      td("wide", attempt.reason || "", el("div", { class: "quiet small" }, attempt.area, attempt.area_removed ? [" (removed ", time(attempt.area_removed), `: ${attempt.area_why})`] : ""), attempt.archive ? el("div", { class: "quiet small" }, `archived: ${attempt.archive}`) : "",
        attempt.archive_error ? el("div", { class: "small" }, `not archived: ${attempt.archive_error}`) : "")])) : el("p", { class: "quiet" }, "Nothing was submitted yet."),
    one.afterwards.map((script) => el("p", { class: "small" }, `After-script ${script.step} of attempt ${script.attempt}: ${script.state}${script.error ? `: ${script.error}` : ""}`)),
    newest ? shown(newest, one.job) : "",
    attempts.filter((attempt) => attempt !== newest && attempt.files).map((attempt) => el("details", { "data-open": `files-${run.run}-${one.job}-${attempt.attempt}` },
      el("summary", {}, `Files of attempt ${attempt.attempt}`), shown(attempt, one.job))));
}

async function runPage(number) {
  const found = (await details("details", Math.floor(number / now.index.block))).runs.find((one) => one.run === number);
  if (!found) throw new Error("it is not among the data of this page");
  const configuration = await details("configurations", found.configuration).catch(() => null);
  const facts = Object.entries(found.attributes).filter(([, one]) => one !== null)
    .map(([name, one]) => el("div", { class: String(one).length > 30 ? "long" : null }, el("dt", {}, name), el("dd", {}, value(one), remarks(found, name))));
  const lacking = Object.keys(found.attributes).filter((name) => found.attributes[name] === null).join(", ");
  const history = found.history.map(([at, who, name, attempt, was, became, why]) => [td("when", time(at)), td("name", who), td("name", name || "run", name && attempt ? ` ${attempt}` : ""),
    td("name", was && was !== became ? [state(was), " → "] : "", became ? state(became) : ""), td("wide", why)]).reverse();
  const verdict = section("run-verdict", "Verdict", verdicts(found, configuration));
  return [el("p", { class: "crumb" }, el("a", { href: "#/" }, "← All runs and jobs")),
    el("h1", { tabindex: "-1" }, `Run ${number}`),
    el("div", { class: "lead" }, state(found.status), found.listener ? el("span", {}, `by ${found.listener}`) : "", found.needs_validation ? el("span", { class: "state ask" }, "few events: its jobs wait") : "",
      found.settled ? "" : el("span", { class: "quiet" }, "not settled yet"), el("span", { class: "quiet small" }, "judged ", time(found.judged))),
    found.decided_by ? el("p", {}, `Decided by ${found.decided_by}${found.reason ? `: ${found.reason}` : ""}`) : "",
    found.disputed ? el("p", { class: "mark bad" }, "Its jobs no longer agree with its verdict; they are left as they are.") : "",
    found.former.map((one) => el("p", { class: "quiet" }, `Until ${utc(one.replaced)} it was ${one.status}${one.listener ? ` by ${one.listener}` : ""}: ${one.why}.`)),
    found.jobs.length ? [section("run-jobs", "Jobs", found.jobs.map((one) => job(one, found))), verdict]
      : [verdict, section("run-jobs", "Jobs", el("p", { class: "quiet" }, "It has none."))],
    section("run-facts", "Attributes", el("dl", { class: "facts panel" }, facts), lacking ? el("p", { class: "quiet small" }, `Not known: ${lacking}.`) : ""),
    section("run-history", "History", history.length ? el("div", { class: "panel" }, table("History", ["When", "Who", "What", "Change", "Why"], history)) : el("p", { class: "quiet" }, "Nothing was changed since its first verdict."))];
}

/* ---- which page is shown ---- */

const section = (id, title, ...inside) => el("section", { id, "aria-labelledby": `${id}-head` }, el("h2", { id: `${id}-head` }, title), ...inside);

function asks() {
  const given = new URLSearchParams(location.hash.split("?")[1] || "");
  return { list: given.get("list") === "runs" ? "runs" : "jobs", q: given.get("q") || "", state: given.get("state") || "", job: given.get("job") || "",
    listener: given.get("listener") || "", sort: given.get("sort") || "", page: Math.max(0, Number(given.get("page")) || 0) };
}

function go(changed) {
  const wanted = { ...asks(), page: 0, ...changed };
  const words = Object.entries(wanted).filter(([name, one]) => one && !(name === "list" && one === "jobs"));
  history.replaceState(null, "", `#/${words.length ? `?${new URLSearchParams(words)}` : ""}`);
  show();
}

const SECTIONS = [
  ["needs", "Needs a person", "Needs", () => needs(now.status), () => [now.status.needs, now.status.asking]],
  ["jobs", "Jobs and runs", "Jobs", () => [counts(now.status), list()], () => [now.indexName, now.status.jobs, now.status.pauses, asks()]],
  ["duties", "Duties", "Duties", () => duties(now.status), () => now.status.duties],
  ["disk", "Disk", "Disk", () => disks(now.status), () => now.status.disks],
  ["trends", "Throughput and latency", "Trends", trends, () => now.trends],
  ["listeners", "Last good calibrations", "Calibrations", () => listeners(now.status), () => now.status.listeners],
  ["changes", "Newest changes", "Changes", trail, () => now.trail]];

const drawn = { where: null, keys: {} };

function draw(root = document) { for (const one of root.querySelectorAll("figure.figure")) one.draw(); }

function overview(main) {
  if (drawn.where !== "overview") {
    drawn.where = "overview";
    drawn.keys = {};
    main.replaceChildren(el("h1", { class: "unseen", tabindex: "-1" }, "caf: status"), ...SECTIONS.map(([id]) => el("section", { id, "aria-labelledby": `${id}-head` })));
  }
  for (const [id, title, , make, key] of SECTIONS) {
    const text = JSON.stringify(key());
    if (drawn.keys[id] === text) continue;
    drawn.keys[id] = text;
    const place = document.getElementById(id), open = new Set([...place.querySelectorAll("details[open][data-open]")].map((one) => one.dataset.open));
    const held = place.contains(document.activeElement) ? document.activeElement : null;
    const caret = held && held.id === "search" ? held.selectionStart : null, name = held && held.name, label = held && held.textContent;
    place.replaceChildren(el("h2", { id: `${id}-head` }, title), ...[make()].flat(Infinity).filter(Boolean));
    for (const one of place.querySelectorAll("details[data-open]")) one.open = open.has(one.dataset.open);
    if (caret !== null) { const again = document.getElementById("search"); again.focus(); again.setSelectionRange(caret, caret); }
    else if (held) ([...place.querySelectorAll(held.tagName)].find((one) => (name ? one.name === name : one.textContent === label)) || place.querySelector("button, a") || place).focus();
    draw(place);
  }
}

async function oneRun(main, number) {
  const key = `run ${number} ${now.indexName}`;
  if (drawn.where === key) return;
  const fresh = !String(drawn.where).startsWith(`run ${number} `);
  drawn.where = key;
  let made;
  try { made = await runPage(number); } catch (error) {
    made = [el("p", { class: "crumb" }, el("a", { href: "#/" }, "← All runs and jobs")), el("h1", { tabindex: "-1" }, `Run ${number}`),
      el("p", {}, `It cannot be shown: ${error.message}. `, command(`caf runs show ${number}`))];
  }
  if (drawn.where !== key) return;
  main.replaceChildren(...made.flat(Infinity).filter(Boolean));
  if (fresh) { scrollTo(0, 0); main.querySelector("h1").focus({ preventScroll: true }); }
}

function show() {
  const status = now.status, main = document.getElementById("main");
  top();
  if (!status || status.version !== VERSION || !now.index) {
    if (!now.index) document.documentElement.className = ""; /* the plain tables */
    return;
  }
  document.documentElement.className = "js";
  document.getElementById("where").textContent = `${status.host}:${status.folder}`;
  document.getElementById("foot").textContent = `caf ${status.caf}, database ${status.database}, written ${status.written.slice(0, 19).replace("T", " ")} UTC. Commands are typed on ${status.host} in ${status.folder}.`;
  const asking = status.needs.reduce((sum, one) => sum + one.count, 0), run = location.hash.match(/^#\/run\/(\d+)$/);
  document.title = run ? `Run ${run[1]} · caf` : asking ? `(${asking}) caf` : "caf";
  document.getElementById("said").textContent = asking ? `${plural(status.needs.length, "thing")} ${status.needs.length === 1 ? "needs" : "need"} a person.` : "Nothing needs a person.";
  if (run) oneRun(main, Number(run[1])); else overview(main);
}

function begin() {
  const jump = (id) => (event) => {
    event.preventDefault();
    if (/^#\/run\//.test(location.hash)) { location.hash = "#/"; show(); }
    const place = document.getElementById(id);
    if (place) { place.scrollIntoView(); place.querySelector("h2").tabIndex = -1; place.querySelector("h2").focus({ preventScroll: true }); }
  };
  document.getElementById("nav").append(...SECTIONS.map(([id, , short]) => el("a", { href: "#/", onclick: jump(id) }, short)));
  addEventListener("hashchange", show);
  let resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(draw, 150); });
  addEventListener("keydown", (event) => {
    const search = document.getElementById("search");
    if (event.key === "/" && search && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) { event.preventDefault(); search.focus(); }
  });
  setInterval(top, 10000);
  setInterval(refresh, 60000);
  addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  refresh();
}

if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin); else begin();
})();
