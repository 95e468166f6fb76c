(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const place = new Map(data.ids.map((id, at) => [id, at]));
  const metrics = new Map(data.metrics.map((m) => [m.key, m]));
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const byId = (id) => document.getElementById(id);

  // Figures

  function look() {
    const night = dark.matches;
    const ink = night ? "#e4e7eb" : "#1b1f24", line = night ? "#2d333b" : "#e3e7ec", paper = night ? "#1c2127" : "#ffffff";
    const axis = { gridcolor: line, linecolor: line, zeroline: false, automargin: true, ticks: "" };
    const scene = { gridcolor: line, color: ink, backgroundcolor: "rgba(0,0,0,0)" };
    return { layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: axis, yaxis: axis,
      font: { color: ink, size: 13, family: "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif" },
      hoverlabel: { bgcolor: paper, bordercolor: line, font: { color: ink }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink },
      margin: { t: 20, r: 20, b: 50, l: 60 }, scene: { xaxis: scene, yaxis: scene, zaxis: scene },
    } };
  }

  function draw(name) {
    const box = byId("figure-" + name), figure = data.figures[name];
    if (!box || !figure) return;
    const height = figure.layout.height || (name === "front" ? 540 : 380);
    const wide = figure.layout.meta && figure.layout.meta.width;
    const layout = Object.assign({}, figure.layout, { template: look(), height, autosize: true });
    if (wide) box.style.minWidth = wide + "px";
    Plotly.react(box, figure.data, layout, {
      responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      toImageButtonOptions: { filename: "gas-" + name, scale: 2 },
    });
    if (!box.dataset.listens) {
      box.dataset.listens = "yes";
      box.on("plotly_click", (event) => {
        const point = event.points[0];
        if (point.data.ids) open(point.data.ids[point.pointNumber]);
      });
    }
  }

  function webgl() { return Boolean(document.createElement("canvas").getContext("webgl")); }

  function drawAll() {
    for (const name of Object.keys(data.figures)) {
      if (name === "parallel" && !webgl()) byId("no-webgl").hidden = false;
      else draw(name);
    }
  }

  // The front with other metrics on its axes

  function value(trace, id, metric) {
    if (trace.meta === "mark") {
      const mark = data.marks.find((m) => m.key === id);
      return mark ? mark[metric] : null;
    }
    return place.has(id) ? data.columns[metric][place.get(id)] : null;
  }

  function steps(x, y) {
    const wx = metrics.get(x).way, wy = metrics.get(y).way;
    if (!wx || !wy) return { x: [], y: [] };
    const points = [];
    data.ids.forEach((id, at) => {
      const a = data.columns[x][at], b = data.columns[y][at];
      if (data.allowed[at] && a !== null && b !== null) points.push([a, b]);
    });
    // From the best across on: a point stays where none before it was as good upward.
    points.sort((p, q) => (q[0] - p[0]) * wx || (q[1] - p[1]) * wy);
    const kept = [];
    for (const point of points) {
      const last = kept[kept.length - 1];
      if (!last || (point[1] - last[1]) * wy > 0) kept.push(point);
    }
    kept.sort((p, q) => p[0] - q[0]);
    return { x: kept.map((p) => p[0]), y: kept.map((p) => p[1]), shape: wx < 0 ? "hv" : "vh" };
  }

  function bounds(x, y) {
    const shapes = [], annotations = [];
    for (const bound of data.bounds) {
      for (const [metric, way] of [[x, "x"], [y, "y"]]) {
        if (bound.metric !== metric) continue;
        const across = way === "x", v = bound.value;
        const ends = across ? { x0: v, x1: v, y0: 0, y1: 1, yref: "paper" } : { y0: v, y1: v, x0: 0, x1: 1, xref: "paper" };
        shapes.push(Object.assign({ type: "line", name: "bound", line: { dash: "dash", color: "#7a7a7a", width: 1.2 } }, ends));
        const at = across ? { x: v, y: 1, yref: "paper", xanchor: "right", yanchor: "top" }
          : { y: v, x: 1, xref: "paper", xanchor: "right", yanchor: "top" };
        annotations.push(Object.assign({ text: bound.words, showarrow: false, font: { color: "#7a7a7a", size: 11 } }, at));
      }
    }
    return { shapes, annotations };
  }

  const original = data.figures.front ? JSON.parse(JSON.stringify(data.figures.front)) : null;

  function axis(metric) {
    return { title: { text: metrics.get(metric).title }, tickformat: metrics.get(metric).count ? "~s" : "", autorange: true };
  }

  function paint(trace, color) {
    if (trace.meta !== "front" || !color) return;
    const column = trace.ids.map((id) => value(trace, id, color));
    const bar = { title: { text: metrics.get(color).title, side: "right" }, thickness: 14 };
    trace.marker = Object.assign({}, trace.marker, { color: column, colorscale: "Viridis", showscale: true, colorbar: bar });
  }

  function reaxis() {
    const [x, y, c, how] = ["axis-x", "axis-y", "axis-c", "axis-how"].map((id) => byId(id).value);
    const asked = Boolean(c && how === "depth"), deep = asked && webgl();
    byId("no-depth").hidden = deep || !asked;
    const figure = JSON.parse(JSON.stringify(original));
    const traces = [];
    for (const trace of figure.data) {
      if (trace.meta === "steps") {
        const line = steps(x, y);
        Object.assign(trace, { x: line.x, y: line.y });
        trace.line.shape = line.shape || "hv";
        if (deep) continue;
      } else {
        const column = (metric) => trace.ids.map((id) => value(trace, id, metric));
        Object.assign(trace, { x: column(x), y: column(y) });
        if (deep) {
          const symbols = { front: "circle", chosen: "circle-open", unfit: "x", evaluated: "circle" };
          Object.assign(trace, { type: "scatter3d", z: column(c) });
          trace.marker = Object.assign({}, trace.marker, { symbol: symbols[trace.meta] || "diamond", size: trace.marker.size / 2 });
          delete trace.cliponaxis;
        } else paint(trace, c);
      }
      traces.push(trace);
    }
    figure.data = traces;
    if (deep) {
      const side = (m) => Object.assign(axis(m), { title: { text: metrics.get(m).short, font: { size: 11 } } });
      figure.layout = { scene: { xaxis: side(x), yaxis: side(y), zaxis: side(c) }, legend: figure.layout.legend,
        margin: { t: 10, r: 10, b: 10, l: 10 }, height: 640 };
    } else Object.assign(figure.layout, bounds(x, y), { xaxis: axis(x), yaxis: axis(y) });
    data.figures.front = figure;
    draw("front");
  }

  // A design block by block

  function add(parent, tag, text, name) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    parent.appendChild(element);
    return element;
  }

  function blocks(id) {
    const box = byId("panel-blocks"), rows = data.blocks[id];
    box.replaceChildren();
    if (!rows) {
      add(box, "p", "This page holds the blocks of the front and of the first designs only; the command below prints those of this one.", "missing");
      return;
    }
    const table = add(box, "table");
    const head = add(add(table, "thead"), "tr");
    const numbers = new Set(["params", "macs", "share of macs"]);
    const kinds = data.headings.map((h) => (numbers.has(h) ? "number" : ""));
    data.headings.forEach((heading, at) => add(head, "th", heading, kinds[at]));
    const body = add(table, "tbody");
    for (const row of rows) {
      const line = add(body, "tr");
      row.forEach((text, at) => add(line, "td", data.texts[text], kinds[at]));
    }
  }

  function open(id) {
    const at = place.get(id), mark = data.marks.find((m) => m.key === id);
    byId("panel-title").textContent = id;
    const about = [];
    if (mark) about.push(mark.name);
    if (at !== undefined) {
      const [number, status, origin, reason] = data.about[at];
      about.push("candidate " + number, status, origin, reason);
    }
    byId("panel-about").textContent = about.filter(Boolean).join(", ");
    const list = byId("panel-metrics");
    list.replaceChildren();
    for (const metric of data.metrics) {
      const text = at !== undefined ? data.cells[metric.key][at] : mark && mark[metric.key] !== null ? String(mark[metric.key]) : "";
      if (!text) continue;
      const pair = add(list, "div");
      add(pair, "dt", metric.menu);
      add(pair, "dd", text);
    }
    blocks(id);
    byId("panel-command").textContent = at !== undefined ? "gas show " + data.run + " " + id : mark ? "gas show " + mark.name : "";
    document.querySelectorAll("tr.picked").forEach((row) => row.classList.remove("picked"));
    document.querySelectorAll("tr[data-id]").forEach((row) => row.classList.toggle("picked", row.dataset.id === id));
    byId("panel").hidden = false;
    byId("close").focus({ preventScroll: true });
  }

  function close() { byId("panel").hidden = true; }

  // Tables

  function sort(heading) {
    const table = heading.closest("table"), column = heading.cellIndex;
    const up = heading.getAttribute("aria-sort") !== "ascending";
    const number = heading.classList.contains("number");
    const body = table.tBodies[0];
    const keyed = Array.from(body.rows, (row, at) => ({ row, at, key: row.cells[column].dataset.value }));
    keyed.sort((a, b) => {
      // What is not known comes last, whichever way the rest is sorted.
      if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "") || a.at - b.at;
      const order = number ? Number(a.key) - Number(b.key) : a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
      return (up ? order : -order) || a.at - b.at;
    });
    table.querySelectorAll("th").forEach((th) => th.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...keyed.map((entry) => entry.row));
  }

  document.querySelectorAll("table.sortable th").forEach((th) => th.addEventListener("click", () => sort(th)));
  document.querySelectorAll("tr[data-id], button.open").forEach((e) => e.addEventListener("click", () => open(e.dataset.id)));
  byId("close").addEventListener("click", close);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  ["axis-x", "axis-y", "axis-c", "axis-how"].forEach((id) => {
    if (byId(id)) byId(id).addEventListener("change", reaxis);
  });
  dark.addEventListener("change", drawAll);

  // Which section is in view
  const links = new Map(Array.from(document.querySelectorAll("nav a"), (a) => [a.getAttribute("href").slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((a) => a.classList.remove("here"));
      links.get(entry.target.id).classList.add("here");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  document.querySelectorAll("main section").forEach((section) => seen.observe(section));

  drawAll();
  document.body.dataset.drawn = "yes";
})();
