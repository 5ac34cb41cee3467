"use strict";
// What the page can do beyond being read: switch its language for the browser too, zoom the timeline, narrow the alerts.
// Everything shown comes from the JSON beside it or from elements of the page, and is set as text, never as HTML.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const root = document.documentElement;
  let words = data.words[root.lang];

  // ---- text

  const grouped = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const short = (n) => (n < 1000 ? n : n < 1e6 ? `${Math.round(n / 1000)}k` : "M");
  const size = (bytes) => {
    const units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let unit = 0;
    for (; bytes >= 999.95 && unit < 6; unit++) bytes /= 1000;
    return `${unit ? bytes.toFixed(1) : bytes}\u00a0${units[unit]}`;
  };
  const span = (ms) => {
    const units = [["d", 864e5], ["h", 36e5], ["min", 6e4], ["s", 1e3], ["ms", 1]];
    const [name, length] = units.find(([, length]) => ms >= length * 0.9995) || units[4];
    const n = ms / length;
    return `${n >= 100 ? grouped(n) : Number(n.toPrecision(3))}\u00a0${name}`;
  };
  // Moments far outside what a calendar holds come from odd clocks: they are shown as the last that it holds.
  const date = (ms) => new Date(Math.max(-8.64e15, Math.min(8.64e15, ms))).toISOString();
  const clock = (ms, step) => {
    const iso = date(ms);
    const [day, hour] = [iso.slice(0, -14), iso.slice(-13, -5)];
    if (step >= 864e5) return day;
    return step >= 1000 ? `${day} ${hour}` : `${day} ${iso.slice(-13, -1)}`;
  };
  const tick = (ms, step) => {
    const iso = date(ms);
    if (step >= 864e5) return iso.slice(0, -14);
    if (step >= 6e4) return iso.slice(-13, -8);
    return step >= 1000 ? iso.slice(-13, -5) : iso.slice(-13, -1);
  };

  // ---- the timeline's numbers

  const line = data.timeline;
  const SEVERITIES = ["low", "medium", "high", "critical"];
  const bins = [];
  let number = 0;
  for (const [step, frames, bytes, flows, ...alerts] of line.bins) {
    number += step;
    bins.push({ number, frames, bytes, flows, alerts });
  }
  // The place of a moment, in bins and parts of bins, on the axis; and back.
  const place = (n) => {
    let segment = line.segments[0];
    for (const next of line.segments) if (next[0] <= n) segment = next;
    return segment[2] + Math.min(Math.max(n, segment[0]), segment[1]) - segment[0];
  };
  const moment = (u) => {
    let segment = line.segments[0];
    for (const next of line.segments) if (next[2] <= u) segment = next;
    return segment[0] + Math.min(Math.max(u - segment[2], 0), segment[1] - segment[0]);
  };
  for (const bin of bins) bin.place = place(bin.number);
  const marks = line.marks.map(([n, severity, incident]) => ({ place: place(n), severity, incident }));

  // ---- drawing

  const chart = byId("chart");
  const strip = byId("strip");
  const svg = (name, attributes, parent) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (parent) parent.append(element);
    return element;
  };
  const label = (parent, x, y, text, kind) => {
    svg("text", kind ? { x, y, class: kind } : { x, y }, parent).textContent = text;
  };
  const sums = () => ({ frames: 0, bytes: 0, flows: 0, alerts: [0, 0, 0, 0] });
  const add = (sum, bin) => {
    sum.frames += bin.frames;
    sum.bytes += bin.bytes;
    sum.flows += bin.flows;
    bin.alerts.forEach((n, severity) => { sum.alerts[severity] += n; });
  };
  const all = (alerts) => alerts.reduce((sum, n) => sum + n, 0);

  const PACKETS = 78, FLOWS = 34, LANE = 24, GAP = 14, AXIS = 22, STRIP = 30;
  const GUTTER = 52; // room for the names of lanes
  const view = { from: 0, to: line.length || 1 };
  let wide = 960, chosen = null;

  // Bins of a part of the axis in columns; a bin that is wider than a column fills all that it covers.
  const columns = (from, to, wish) => {
    const width = Math.max(1, Math.ceil((to - from) / wish)); // whole bins, or an even stream would look like a comb
    const found = new Map();
    for (const bin of bins) {
      if (bin.place + 1 <= from || bin.place >= to) continue;
      const at = Math.floor((bin.place - from) / width);
      if (!found.has(at)) found.set(at, { ...sums(), from: from + at * width, width });
      add(found.get(at), bin);
    }
    return [...found.values()];
  };
  const x = (u) => GUTTER + ((u - view.from) / (view.to - view.from)) * (wide - GUTTER);

  const bars = (parent, list, what, top, height, kind, name) => {
    const most = Math.max(1, ...list.map((column) => column[what]));
    for (const column of list) {
      const left = Math.max(GUTTER, x(column.from)), right = Math.min(wide, x(column.from + column.width));
      const tall = column[what] ? Math.max(1, (column[what] / most) * height) : 0;
      if (tall) svg("rect", { class: kind, x: left, y: top + height - tall, width: Math.max(0.8, right - left - 0.6), height: tall }, parent);
    }
    svg("line", { class: "axis", x1: GUTTER, x2: wide, y1: top + height, y2: top + height }, parent);
    const length = list.length ? list[0].width * line.ms : 0;
    label(parent, GUTTER, top - 4, `${name} (${fill(words.most, { n: grouped(most), span: span(length) })})`);
  };

  const lanes = (parent, top) => {
    const list = columns(view.from, view.to, Math.max(20, wide / 18));
    SEVERITIES.forEach((severity, row) => {
      const y = top + (3 - row) * LANE + LANE / 2;
      svg("line", { class: "grid", x1: GUTTER, x2: wide, y1: y, y2: y }, parent);
      for (const column of list.filter((column) => column.alerts[row])) {
        const count = column.alerts[row];
        const near = marks.find((mark) => mark.severity === row && mark.place >= column.from && mark.place < column.from + column.width);
        const link = near ? svg("a", { href: `#i${near.incident}`, tabindex: -1 }, parent) : parent;
        const cx = Math.min(wide - 4, Math.max(GUTTER + 4, x(near && count === 1 ? near.place : column.from + column.width / 2)));
        const r = Math.min(9, 4 + Math.log10(count) * 3.4);
        svg("circle", { class: `mark ${severity}`, cx, cy: y, r }, link);
        if (count > 1 && r > 6) label(link, cx, y + 3, short(count), "count");
      }
      label(parent, GUTTER - 8, y + 4, words[severity], "end");
    });
  };

  const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5, 864e5, 1728e5, 6048e5, 2592e6, 7776e6, 31536e6, 31536e7, 31536e8];
  const times = (parent, top) => {
    const perPixel = ((view.to - view.from) * line.ms) / wide;
    const step = STEPS.find((step) => step >= perPixel * 92) || STEPS[STEPS.length - 1];
    let free = -1;
    for (const [first, end, start] of line.segments) {
      const from = Math.max(view.from, start), to = Math.min(view.to, start + end - first);
      if (to <= from) continue;
      const begin = (first + from - start) * line.ms, stop = (first + to - start) * line.ms;
      const write = (ms, text) => {
        const at = x(start + ms / line.ms - first);
        svg("line", { class: "axis", x1: at, x2: at, y1: top, y2: top + 5 }, parent);
        const half = text.length * 3.2;
        if (at - half < free || at + half > wide) return;
        label(parent, at, top + 17, text, "middle");
        free = at + half + 8;
      };
      if (line.segments.length > 1 && x(from) > free && x(from) + 134 < wide) {
        const text = clock(begin, 1000);
        label(parent, x(from), top + 17, text);
        free = x(from) + text.length * 6.4 + 10;
      }
      for (let ms = Math.ceil(begin / step) * step, n = 0; ms < stop && n < 200; ms += step, n++) write(ms, tick(ms, step));
    }
  };

  const folds = (parent, height, scale, from, to) => {
    line.segments.slice(1).forEach(([first, , start], at) => {
      if (start - line.fold > to || start < from) return;
      const left = scale(start - line.fold), width = Math.max(1, scale(start) - left);
      const fold = svg("rect", { class: "fold", x: left, y: 0, width, height }, parent);
      const gap = (first - line.segments[at][1]) * line.ms;
      svg("title", {}, fold).textContent = fill(words.folded, { span: span(gap) });
    });
  };

  const draw = () => {
    if (!bins.length) return;
    wide = Math.max(240, chart.clientWidth);
    const height = GAP + PACKETS + GAP + 4 + FLOWS + 8 + LANE * 4 + AXIS + 4;
    const picture = svg("svg", { viewBox: `0 0 ${wide} ${height}`, "aria-hidden": "true" });
    const list = columns(view.from, view.to, wide / 3);
    const lanesTop = GAP + PACKETS + GAP + 4 + FLOWS + 8;
    folds(picture, lanesTop + LANE * 4, x, view.from, view.to);
    bars(picture, list, "frames", GAP, PACKETS, "bar", words.packets);
    bars(picture, list, "flows", GAP + PACKETS + GAP + 4, FLOWS, "bar flows", words.flows);
    lanes(picture, lanesTop);
    times(picture, lanesTop + LANE * 4);
    if (chosen) svg("rect", { class: "choice", x: Math.min(...chosen), y: 0, width: Math.abs(chosen[1] - chosen[0]), height }, picture);
    chart.replaceChildren(picture);
    drawStrip();
    say();
  };

  const drawStrip = () => {
    const scale = (u) => GUTTER + (u / line.length) * (wide - GUTTER);
    const picture = svg("svg", { viewBox: `0 0 ${wide} ${STRIP}`, "aria-hidden": "true" });
    folds(picture, STRIP, scale, 0, line.length);
    const list = columns(0, line.length, wide / 3);
    const most = Math.max(1, ...list.map((column) => column.frames));
    for (const column of list) {
      const tall = Math.max(1, (column.frames / most) * (STRIP - 8));
      svg("rect", { class: "bar", x: scale(column.from), y: STRIP - tall, width: Math.max(0.8, scale(column.width) - GUTTER - 0.6), height: tall }, picture);
      const worst = column.alerts.reduce((worst, n, severity) => (n ? severity : worst), -1);
      if (worst >= 0) svg("rect", { class: `mark ${SEVERITIES[worst]}`, x: scale(column.from) - 1, y: 0, width: 4, height: 6 }, picture);
    }
    svg("rect", { class: "frame", x: scale(view.from) + 1, y: 1, width: Math.max(3, scale(view.to) - scale(view.from) - 2), height: STRIP - 2 }, picture);
    strip.replaceChildren(picture);
  };

  // ---- what is in the window, in words

  const whole = () => view.from <= 0 && view.to >= line.length;
  const told = (template, from, to, sum) => fill(template, {
    from: clock(Math.max(line.ends[0], moment(from) * line.ms), to - from < 2e4 / line.ms ? 1 : 1000),
    to: clock(Math.min(line.ends[1], moment(to) * line.ms), to - from < 2e4 / line.ms ? 1 : 1000),
    span: span((to - from) * line.ms),
    packets: grouped(sum.frames), bytes: size(sum.bytes), flows: grouped(sum.flows), alerts: grouped(all(sum.alerts)),
  });
  const say = () => {
    const sum = sums();
    for (const bin of bins) if (bin.place + 1 > view.from && bin.place < view.to) add(sum, bin);
    const text = told(words.window, view.from, view.to, sum);
    if (byId("window").textContent !== text) byId("window").textContent = text;
    for (const id of ["zoom-out", "reset", "move-left", "move-right"]) byId(id).disabled = whole();
    sieve();
  };

  // ---- moving

  let asked = 0;
  const later = () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(draw);
  };
  const look = (from, to) => {
    const least = Math.min(line.length, Math.max(4, line.length / 1e6));
    const length = Math.min(line.length, Math.max(least, to - from));
    const middle = (from + to) / 2;
    view.from = Math.min(Math.max(0, middle - length / 2), line.length - length);
    view.to = view.from + length;
    later();
  };
  const zoom = (factor, around = (view.from + view.to) / 2) => {
    look(around - (around - view.from) * factor, around + (view.to - around) * factor);
  };
  const move = (share) => look(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));
  const reset = () => look(0, line.length);

  const buttons = { "zoom-in": () => zoom(0.5), "zoom-out": () => zoom(2), "move-left": () => move(-0.25), "move-right": () => move(0.25), reset };
  const keys = { ArrowLeft: () => move(-0.25), ArrowRight: () => move(0.25), "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: reset, Home: reset, Escape: reset };

  const under = (event, element) => {
    const box = element.getBoundingClientRect();
    return Math.min(wide, Math.max(0, ((event.clientX - box.left) / box.width) * wide));
  };
  const share = (at) => Math.max(0, (at - GUTTER) / (wide - GUTTER));
  const unit = (at) => view.from + share(at) * (view.to - view.from);
  const pointers = new Map();
  let dragged = null;

  const down = (event) => {
    if (event.button) return;
    pointers.set(event.pointerId, event.clientX);
    const at = under(event, chart);
    dragged = { at, from: view.from, to: view.to, pan: event.shiftKey, far: false, link: event.target.closest("a") };
    if (pointers.size === 2) chosen = null;
  };
  const pinch = (event) => {
    const [a, b] = [...pointers.values()];
    pointers.set(event.pointerId, event.clientX);
    const [c, d] = [...pointers.values()];
    const box = chart.getBoundingClientRect();
    const middle = unit((((a + b) / 2 - box.left) / box.width) * wide);
    zoom(Math.min(4, Math.max(0.25, Math.max(8, Math.abs(a - b)) / Math.max(8, Math.abs(c - d)))), middle);
  };
  const dragging = (event) => {
    if (pointers.size === 2 && pointers.has(event.pointerId)) return pinch(event);
    const at = under(event, chart);
    if (!dragged || !pointers.has(event.pointerId)) return hover(at);
    if (!dragged.far && Math.abs(at - dragged.at) < 5) return;
    if (!dragged.far) chart.setPointerCapture(event.pointerId);
    dragged.far = true;
    if (dragged.pan) {
      const by = ((dragged.at - at) / (wide - GUTTER)) * (dragged.to - dragged.from);
      return look(dragged.from + by, dragged.to + by);
    }
    chosen = [dragged.at, at];
    later();
  };
  const up = (event) => {
    pointers.delete(event.pointerId);
    const choice = chosen;
    chosen = null;
    if (dragged && choice && event.type === "pointerup") look(unit(Math.min(...choice)), unit(Math.max(...choice)));
    else if (choice) later();
    if (dragged && dragged.far) chart.addEventListener("click", (click) => click.preventDefault(), { once: true, capture: true });
    dragged = null;
  };
  const hover = (at) => {
    const u = unit(at), width = Math.max(1, Math.ceil((view.to - view.from) / (wide / 3)));
    const from = view.from + Math.floor((u - view.from) / width) * width;
    const sum = sums();
    for (const bin of bins) if (bin.place + 1 > from && bin.place < from + width) add(sum, bin);
    byId("column").textContent = told(words.column, from, from + width, sum);
  };
  const wheel = (event) => {
    const near = event.ctrlKey || event.metaKey || document.activeElement === chart;
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      if (whole()) return;
      event.preventDefault();
      move(event.deltaX / 800);
    } else if (near) {
      event.preventDefault();
      zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 240))), unit(under(event, chart)));
    }
  };
  const slide = (event) => {
    if (!event.buttons && event.type !== "pointerdown") return;
    if (event.type === "pointerdown") strip.setPointerCapture(event.pointerId);
    const middle = share(under(event, strip)) * line.length, half = (view.to - view.from) / 2;
    look(middle - half, middle + half);
  };

  // ---- the list of alerts

  const articles = [...document.querySelectorAll(".incident")].map((element) => ({
    element,
    severity: element.dataset.severity,
    first: Number(element.dataset.first), last: Number(element.dataset.last),
    text: null,
  }));
  const sieve = () => {
    if (!articles.length) return;
    const severities = new Set([...document.querySelectorAll("#sieve input:checked")].map((box) => box.value));
    const find = byId("find").value.trim().toLowerCase();
    const [from, to] = whole() || !bins.length ? [-Infinity, Infinity] : [moment(view.from) * line.ms - 1, moment(view.to) * line.ms + 1];
    let shown = 0;
    for (const article of articles) {
      if (find && article.text === null) article.text = article.element.textContent.toLowerCase();
      const fits = severities.has(article.severity) && article.last >= from && article.first <= to && (!find || article.text.includes(find));
      article.element.hidden = !fits;
      shown += fits;
    }
    const text = fill(words.shown, { shown: grouped(shown), all: grouped(articles.length) });
    byId("shown").textContent = whole() ? text : `${text} (${words.narrowed})`;
  };
  // A link to an alert that is hidden shows it: whoever follows it wants to see it.
  const reveal = () => {
    const target = /^#i\d+$/.test(location.hash) && byId(location.hash.slice(1));
    if (!target) return;
    if (target.hidden) {
      document.querySelectorAll("#sieve input[type=checkbox]").forEach((box) => { box.checked = true; });
      byId("find").value = "";
      view.from = 0;
      view.to = line.length;
      draw();
    }
    target.scrollIntoView();
    target.focus({ preventScroll: true });
  };

  // ---- switches and print

  const language = (name) => {
    root.lang = name;
    words = data.words[name];
    document.title = data.titles[name];
    draw();
    sieve();
  };
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
  document.querySelectorAll("input[name=lang]").forEach((box) => box.addEventListener("change", () => language(box.value)));

  if (chart && strip) {
    for (const id of ["strip", "column", "chart-tools", "chart-help"]) byId(id).hidden = false;
    chart.className = "live";
    chart.tabIndex = 0;
    for (const [id, act] of Object.entries(buttons)) byId(id).addEventListener("click", act);
    chart.addEventListener("keydown", (event) => {
      const act = event.ctrlKey || event.metaKey || event.altKey ? null : keys[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    chart.addEventListener("pointerdown", down);
    chart.addEventListener("pointermove", dragging);
    for (const end of ["pointerup", "pointercancel"]) addEventListener(end, up);
    chart.addEventListener("pointerleave", () => { byId("column").textContent = ""; });
    chart.addEventListener("wheel", wheel, { passive: false });
    chart.addEventListener("dragstart", (event) => event.preventDefault());
    strip.addEventListener("pointerdown", slide);
    strip.addEventListener("pointermove", slide);
    new ResizeObserver(() => { if (chart.clientWidth !== wide) later(); }).observe(chart);
    draw();
  }
  if (byId("sieve")) {
    byId("sieve").hidden = false;
    byId("sieve").addEventListener("input", sieve);
    sieve();
  }
  addEventListener("hashchange", reveal);
  reveal();
})();
