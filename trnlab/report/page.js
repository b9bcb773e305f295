"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const found = data.summary;
const at = (id) => document.getElementById(id);
const COLOURS = { tensor: "#e8590c", vector: "#1971c2", scalar: "#2f9e44", gpsimd: "#9c36b5", sync: "#868e96",
  dma: "#0c8599", cc: "#c2255c", kernel: "#adb5bd", run: "#ced4da", "critical path": "#f08c00" };
const colourOf = (lane) => {
  const parts = lane.split("/");
  return COLOURS[parts.includes("dma") ? "dma" : parts[parts.length - 1]] || "#868e96";
};
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

function scaled(value, unit) {
  if (!value) return "0 " + unit;
  const steps = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "u"], [1e-9, "n"]];
  const [size, name] = steps.find(([s]) => Math.abs(value) >= 0.9995 * s) || [1e-12, "p"];
  return (value / size).toPrecision(3) + " " + name + unit;
}
const round = (value, unit) => {
  const [number, name] = scaled(value, unit).split(" ");
  return Number(number) + " " + name;
};
const percent = (share) => (share > 0 && share < 0.0995 ? (100 * share).toFixed(1) : (100 * share).toFixed(0)) + "\u00a0%";
const bytes = (n) => (n >= 1024 ? (n / 1024).toPrecision(3) + " KiB" : n.toFixed(0) + " B");
const short = (where) => where.replace(/^.*[\/\\]/, "");

function table(head, rows) {
  const made = document.createElement("table");
  const line = (cells, tag) => {
    const row = made.insertRow();
    cells.forEach((cell, index) => {
      const box = document.createElement(tag);
      const name = (head[index] || [])[1] || "";
      box.className = name;
      if (tag === "td" && name === "bar") {
        const bar = document.createElement("b");
        bar.style.width = Math.min(100, 100 * cell.share) + "%";
        if (cell.colour) bar.style.background = cell.colour;
        box.append(bar);
      } else if (tag === "td" && name === "code") {
        const code = document.createElement("code");
        code.textContent = cell;
        box.append(code);
      } else box.textContent = cell;
      row.append(box);
    });
  };
  if (!head.some(([, kind]) => kind === "bar")) made.className = "fit";
  line(head.map(([text]) => text), "th");
  rows.forEach((cells) => line(cells, "td"));
  return made;
}

/* Text and tables */
const told = found.receipt;
at("title").textContent = data.title;
at("headline").textContent = scaled(found.seconds, "s") + " on " + told.cores + " of " + told.chip_cores
  + " cores (" + found.band + ")";
at("limit").textContent = (found.limit.sentence + ". Path: " + found.why.sentence + ".").replaceAll(" %", "\u00a0%");
at("path").append(table([["part"], ["", "bar"], ["share", "n"], ["time", "n"], ["mostly"]],
  found.why.path.filter((p) => p.share >= 0.005).map((p) => [p.text, { share: p.share, colour: colourOf(p.lane || "run") },
    percent(p.share), scaled(p.seconds, "s"), short(p.where)])));
at("engines").append(table([["engine"], ["", "bar"], ["busy", "n"], ["of the path", "n"], ["waits for"]],
  found.engines.map((e) => [e.lane, { share: e.busy, colour: colourOf(e.lane) }, percent(e.busy), percent(e.path),
    e.wait ? e.wait.text + ", " + percent(e.wait.share) : ""])));
at("lines").append(table([["occupied", "n"], ["", "bar"], ["share", "n"], ["critical", "n"], ["lane"], ["line"], ["source", "code"]],
  found.lines.map((l) => [scaled(l.seconds, "s"), { share: l.share, colour: colourOf(l.lane) }, percent(l.share),
    percent(l.path / found.seconds), l.lane + " x" + l.spans, short(l.where), l.text])));
const joules = found.joules, whole = joules.total || 1;
at("energy").append(table([["part"], ["", "bar"], ["share", "n"], ["joules", "n"]],
  ["compute", "sram", "hbm", "static"].map((n) => [n, { share: joules[n] / whole }, percent(joules[n] / whole), scaled(joules[n], "J")])));
const cost = document.createElement("p");
cost.className = "soft";
cost.textContent = scaled(joules.total, "J") + ", " + scaled(joules.watts, "W") + " on average; "
  + (found.dollars === null ? "no public price" : "$" + (found.dollars * 1e6).toPrecision(3) + " per million runs")
  + "; modelled, not metered";
at("energy").append(cost);
if (data.without) {
  at("why").hidden = false;
  at("gains").append(table([["saves", "n"], ["share", "n"], ["the same program, with"]],
    data.without.map((g) => [scaled(g.seconds, "s"), percent(g.share), g.text])));
  if (data.advice.length) at("gains").append(table([["saves", "n"], ["share", "n"], ["try"], ["mostly"], ["timed with"]],
    data.advice.map((a) => [scaled(a.seconds, "s"), percent(a.share), a.name + ": " + a.text, short(a.where), a.assumed])));
}
at("receipt").append(table([["what"], [""]],
  [...Object.entries(told), ...Object.entries(found.totals).map(([k, v]) => [k, v.toLocaleString("en")])]
    .map(([k, v]) => [k, Array.isArray(v) ? v.join("; ") || "none" : String(v)])));

/* Drawing */
const LEFT = 110, ROW = 20, GAP = 3, RULER = 22;
let view = [0, data.ns || 1];
function prepared(canvas, height) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.height = height + "px";
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  return [pen, width];
}
function ruler(pen, width, height) {
  const span = view[1] - view[0], scale = (width - LEFT) / span;
  const rough = span / 8, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  for (let ns = Math.ceil(view[0] / step) * step; ns <= view[1]; ns += step) {
    const x = LEFT + (ns - view[0]) * scale;
    pen.fillStyle = ink("--line");
    pen.fillRect(x, RULER - 4, 1, height - RULER + 4);
    pen.fillStyle = ink("--soft");
    pen.fillText(round(ns * 1e-9, "s"), Math.min(x + 3, width - 44), 9);
  }
  return scale;
}
const spans = data.spans, used = [...new Set(spans.track)].sort((a, b) => a - b);
const rowOf = new Map(used.map((track, index) => [track, index]));
const byRow = used.map(() => []);
spans.track.forEach((track, index) => byRow[rowOf.get(track)].push(index));
function drawTimeline() {
  const height = RULER + used.length * (ROW + GAP);
  const [pen, width] = prepared(at("timeline"), height);
  const scale = ruler(pen, width, height);
  let before = "";
  used.forEach((track, row) => {
    const y = RULER + row * (ROW + GAP), lane = data.tracks[track];
    pen.fillStyle = colourOf(lane);
    let last = -1;
    for (const i of byRow[row]) {
      const begin = spans.begin[i], end = begin + spans.length[i];
      if (end < view[0]) continue;
      if (begin > view[1]) break;
      const x = Math.max(LEFT, LEFT + (begin - view[0]) * scale);
      const right = Math.min(width, LEFT + (end - view[0]) * scale);
      if (right <= last && right - x < 0.5) continue;
      const wide = Math.max(0.6, right - x - (right - x > 3 ? 0.7 : 0));
      pen.fillStyle = colourOf(lane);
      pen.globalAlpha = spans.path[i] ? 1 : 0.62;
      pen.fillRect(x, y, wide, ROW);
      pen.globalAlpha = 1;
      if (spans.path[i]) {
        pen.fillStyle = ink("--ink");
        pen.fillRect(x, y + ROW - 3, wide, 3);
      }
      if (wide > 46) {
        pen.save();
        pen.beginPath();
        pen.rect(x, y, wide, ROW);
        pen.clip();
        pen.fillStyle = "#fff";
        pen.fillText(data.names[spans.name[i]] + " " + data.tensors[spans.tensor[i]], x + 4, y + ROW / 2 - 1);
        pen.restore();
      }
      last = right;
    }
    pen.fillStyle = ink("--card");
    pen.fillRect(0, y, LEFT - 1, ROW);
    pen.fillStyle = ink("--ink");
    if (lane !== before) pen.fillText(lane, 0, y + ROW / 2);
    before = lane;
  });
}
const PANES = [["sbuf bytes", "sbuf", "#1971c2"], ["psum bytes", "psum", "#e8590c"],
  ["hbm read B/s", null, "#0c8599"], ["hbm write B/s", null, "#9c36b5"]].filter(([name]) => data.counters[name]);
function drawMemory() {
  const HIGH = 64, height = RULER + PANES.length * (HIGH + 12);
  const [pen, width] = prepared(at("memory"), height);
  const scale = ruler(pen, width, height);
  PANES.forEach(([name, memory, colour], row) => {
    const [times, values] = data.counters[name], top = RULER + row * (HIGH + 12);
    const usable = memory ? found.memory[memory].usable : 0;
    const most = values.reduce((a, b) => Math.max(a, b), 0) || 1;
    pen.fillStyle = colour;
    times.forEach((from, i) => {
      const until = i + 1 < times.length ? times[i + 1] : data.ns;
      if (until < view[0] || from > view[1] || !values[i]) return;
      const x = Math.max(LEFT, LEFT + (from - view[0]) * scale);
      const right = Math.min(width, LEFT + (until - view[0]) * scale);
      const high = Math.max(1, HIGH * values[i] / most);
      pen.fillRect(Math.floor(x), top + HIGH - high, Math.max(1, Math.ceil(right) - Math.floor(x)), high);
    });
    pen.fillStyle = ink("--line");
    pen.fillRect(LEFT, top + HIGH, width - LEFT, 1);
    pen.fillStyle = ink("--card");
    pen.fillRect(0, top, LEFT - 1, HIGH);
    pen.fillStyle = ink("--ink");
    pen.fillText(memory ? memory.toUpperCase() : name.replace(" B/s", "").replace("hbm", "HBM"), 0, top + 12);
    pen.fillStyle = ink("--soft");
    pen.fillText("up to " + (memory ? bytes(most) : scaled(most, "B/s")), 0, top + 28);
    if (memory) pen.fillText("of " + bytes(usable) + " (" + percent(most / usable) + ")", 0, top + 43);
  });
}
/* Tensors on chip: time to the right, bytes of a partition upwards; tensors of one line share a colour */
const MAPS = data.maps.map((m) => ({ ...m, high: m.memory === "sbuf" ? 200 : 110,
  top: m.byte.reduce((most, b, i) => Math.max(most, b + m.size[i]), 1) }));
const HUES = [210, 24, 140, 285, 190, 345, 48, 255, 95, 320];
const hueOf = new Map([...new Set(MAPS.flatMap((m) => m.where))].map((w, i) => [w, HUES[i % HUES.length]]));
let boxes = [];
function drawMap() {
  if (!MAPS.length) return;
  at("held").hidden = false;
  const height = RULER + MAPS.reduce((sum, m) => sum + m.high + 14, 0);
  const [pen, width] = prepared(at("map"), height);
  const scale = ruler(pen, width, height);
  let y = RULER;
  boxes = [];
  for (const m of MAPS) {
    const usable = found.memory[m.memory].usable, tall = m.high / m.top;
    m.byte.forEach((byte, i) => {
      if (m.until[i] < view[0] || m.since[i] > view[1]) return;
      const x = Math.max(LEFT, LEFT + (m.since[i] - view[0]) * scale);
      const right = Math.min(width, LEFT + (m.until[i] - view[0]) * scale);
      const box = [x, y + m.high - (byte + m.size[i]) * tall, Math.max(1, right - x), Math.max(1, m.size[i] * tall)];
      const roomy = box[2] > 3 && box[3] > 3 ? 0.6 : 0;
      pen.fillStyle = `hsl(${hueOf.get(m.where[i])} 55% 52%)`;
      pen.fillRect(box[0], box[1] + roomy, box[2] - roomy, box[3] - roomy);
      const name = data.holders[m.tensor[i]];
      if (box[2] > 8 + 6 * name.length && box[3] > 11) {
        pen.fillStyle = "#fff";
        pen.fillText(name, box[0] + 4, box[1] + box[3] / 2);
      }
      boxes.push([...box, m, i]);
    });
    pen.fillStyle = ink("--line");
    pen.fillRect(LEFT, y + m.high, width - LEFT, 1);
    pen.fillStyle = ink("--card");
    pen.fillRect(0, y, LEFT - 1, m.high);
    pen.fillStyle = ink("--ink");
    pen.fillText((told.cores > 1 ? "nc" + m.core + " " : "") + m.memory.toUpperCase(), 0, y + 12);
    pen.fillStyle = ink("--soft");
    pen.fillText(bytes(usable) + " usable", 0, y + 28);
    pen.fillText("drawn: " + bytes(m.top), 0, y + 43);
    y += m.high + 14;
  }
}
function tellTensor(event) {
  const tip = at("maptip"), x = event.offsetX, y = event.offsetY;
  const hit = boxes.findLast(([left, top, wide, high]) => x >= left && x <= left + wide && y >= top && y <= top + high);
  tip.hidden = !hit;
  if (!hit) return;
  const [m, i] = hit.slice(4);
  tip.textContent = data.holders[m.tensor[i]] + "  " + bytes(m.size[i]) + " a partition\n"
    + short(data.wheres[m.where[i]]) + "\n" + scaled(m.since[i] * 1e-9, "s") + " to " + scaled(m.until[i] * 1e-9, "s")
    + "\n" + (m.placed[i] ? "at byte " + m.byte[i].toLocaleString("en") + ", where the kernel put it" : "drawn in the first gap that holds it");
  tip.style.left = Math.min(x + 14, at("map").clientWidth - tip.offsetWidth - 4) + "px";
  tip.style.top = y + 14 + "px";
}
at("map").addEventListener("mousemove", tellTensor);
at("map").addEventListener("mouseleave", () => { at("maptip").hidden = true; });
const leftOut = MAPS.reduce((sum, m) => sum + m.more, 0);
if (leftOut) at("mapsaid").textContent = leftOut.toLocaleString("en") + " smaller or shorter tensors are not drawn";
function draw() {
  drawTimeline();
  drawMemory();
  drawMap();
}

/* Roofline: one point under two roofs, both axes logarithmic */
function drawRoofline() {
  const roof = found.roofline, box = at("roofline");
  if (!roof.flops || roof.intensity === null) {
    const said = document.createElement("p");
    box.append(table([["limit"], ["", "bar"], ["share", "n"]], [roof.flops
      ? ["array", { share: roof.share }, percent(roof.share)]
      : ["HBM", { share: roof.memory_share, colour: COLOURS.dma }, percent(roof.memory_share)]]));
    said.textContent = roof.flops ? "no HBM traffic: " + percent(roof.share) + " of the array's peak"
      : "no matrix multiplications; HBM " + scaled(roof.memory_attained, "B/s") + ", " + percent(roof.memory_share)
        + " of " + scaled(roof.memory_rate, "B/s");
    box.append(said);
    return;
  }
  const W = 560, H = 300, L = 64, B = 34, ridge = roof.peak / roof.memory_rate;
  const xs = [Math.min(ridge, roof.intensity) / 30, Math.max(ridge, roof.intensity) * 30];
  const ys = [Math.min(roof.attained, roof.peak) / 20, roof.peak * 4];
  const log = (v, [a, b]) => (Math.log(v) - Math.log(a)) / (Math.log(b) - Math.log(a));
  const X = (v) => L + log(v, xs) * (W - L - 12), Y = (v) => H - B - log(v, ys) * (H - B - 12);
  const name = "http://www.w3.org/2000/svg", svg = document.createElementNS(name, "svg");
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  const add = (kind, sizes, text) => {
    const made = document.createElementNS(name, kind);
    Object.entries(sizes).forEach(([k, v]) => made.setAttribute(k, v));
    if (text) made.textContent = text;
    svg.append(made);
  };
  for (let p = Math.ceil(Math.log10(xs[0])); 10 ** p <= xs[1]; p++) {
    add("line", { x1: X(10 ** p), x2: X(10 ** p), y1: 12, y2: H - B, stroke: "var(--line)" });
    add("text", { x: X(10 ** p), y: H - B + 14, "text-anchor": "middle" }, String(10 ** p));
  }
  for (let p = Math.ceil(Math.log10(ys[0])); 10 ** p <= ys[1]; p++) {
    add("line", { x1: L, x2: W - 12, y1: Y(10 ** p), y2: Y(10 ** p), stroke: "var(--line)" });
    add("text", { x: L - 6, y: Y(10 ** p) + 4, "text-anchor": "end" }, round(10 ** p, ""));
  }
  add("text", { x: W - 12, y: H - 4, "text-anchor": "end" }, "FLOP per byte of HBM");
  add("text", { x: 4, y: 10 }, "FLOP/s");
  const low = Math.max(xs[0], ys[0] / roof.memory_rate);
  const roofs = `${X(low)},${Y(low * roof.memory_rate)} ${X(ridge)},${Y(roof.peak)} ${X(xs[1])},${Y(roof.peak)}`;
  add("polyline", { points: roofs, fill: "none", stroke: "var(--mark)", "stroke-width": 2 });
  add("text", { x: X(xs[1]), y: Y(roof.peak) - 6, "text-anchor": "end" }, "array " + scaled(roof.peak, "FLOP/s"));
  add("text", { x: X(low) + 26, y: Y(low * roof.memory_rate) - 2 }, "HBM " + scaled(roof.memory_rate, "B/s"));
  add("line", { x1: X(roof.intensity), x2: X(roof.intensity), y1: Y(roof.ceiling), y2: Y(roof.attained),
    stroke: "#e8590c", "stroke-dasharray": "3 3" });
  add("circle", { cx: X(roof.intensity), cy: Y(roof.attained), r: 6, fill: "#e8590c" });
  add("text", { x: Math.min(X(roof.intensity) + 8, W - 250), y: Y(roof.attained) + 20 },
    scaled(roof.attained, "FLOP/s") + ", " + percent(roof.share) + " of the " + roof.bound + " roof");
  box.append(svg);
}

/* Moving about */
const canvas = at("timeline"), tip = at("tip");
const nsAt = (x) => view[0] + (x - LEFT) / (canvas.clientWidth - LEFT) * (view[1] - view[0]);
function show(from, until) {
  const span = Math.min(Math.max(until - from, 20), data.ns || 20);
  const first = Math.min(Math.max(from, 0), Math.max(0, (data.ns || 20) - span));
  view = [first, first + span];
  requestAnimationFrame(draw);
}
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const here = nsAt(event.offsetX), by = event.deltaY > 0 ? 1.25 : 0.8;
  show(here - (here - view[0]) * by, here + (view[1] - here) * by);
}, { passive: false });
let held = null;
canvas.addEventListener("mousedown", (event) => { held = nsAt(event.offsetX); });
window.addEventListener("mouseup", () => { held = null; });
canvas.addEventListener("dblclick", () => show(0, data.ns));
canvas.addEventListener("mouseleave", () => { tip.hidden = true; });
canvas.addEventListener("mousemove", (event) => {
  if (held !== null) {
    const by = held - nsAt(event.offsetX);
    show(view[0] + by, view[1] + by);
    return;
  }
  const row = byRow[Math.floor((event.offsetY - RULER) / (ROW + GAP))], ns = nsAt(event.offsetX);
  const near = (view[1] - view[0]) / canvas.clientWidth;
  let low = 0, high = row ? row.length - 1 : -1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (spans.begin[row[middle]] <= ns + near) low = middle; else high = middle - 1;
  }
  const i = high >= 0 ? row[low] : -1;
  tip.hidden = i < 0 || ns < spans.begin[i] - near || ns > spans.begin[i] + spans.length[i] + near;
  if (tip.hidden) return;
  const tensor = data.tensors[spans.tensor[i]];
  tip.textContent = data.names[spans.name[i]] + (tensor ? " of " + tensor : "") + "\n" + data.wheres[spans.where[i]]
    + "\n" + scaled(spans.begin[i] * 1e-9, "s") + " + " + scaled(spans.length[i] * 1e-9, "s")
    + "\nwaited for: " + data.causes[spans.cause[i]] + (spans.path[i] ? "\non the critical path" : "");
  tip.style.left = Math.min(event.offsetX + 14, canvas.clientWidth - tip.offsetWidth - 4) + "px";
  tip.style.top = event.offsetY + 14 + "px";
});
const kinds = [...new Set(used.map((t) => data.tracks[t].split("/")).map((p) => p.includes("dma") ? "dma" : p[p.length - 1]))];
kinds.forEach((kind) => {
  const box = document.createElement("i");
  box.style.background = COLOURS[kind] || "#868e96";
  at("legend").append(box, kind);
});
if (data.merged) at("legend").append(" · " + data.merged.toLocaleString("en") + " spans are drawn together with a neighbour");
window.addEventListener("resize", draw);
draw();
drawRoofline();
