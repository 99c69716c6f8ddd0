"use strict";
// Draws the charts with plotly and the run table, from the data island; every word is data, never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const INK = "#1f2933", SOFT = "#52606d", FAINT = "#e4e7eb";

// a column is either its values or codes into a list of the distinct ones
const decode = (column) => (column.codes ? column.codes.map((code) => column.values[code]) : column.values);

// plotly reads some HTML in its texts
const plain = (words) => String(words).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\n", "<br>");

const number = (value) => {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(2).replace(/\.?0+e/, "e");
};

// linear between the order statistics, as numpy.quantile
const quantile = (sorted, share) => {
  const at = (sorted.length - 1) * share, low = Math.floor(at);
  const next = sorted[Math.min(low + 1, sorted.length - 1)];
  return sorted[low] + (next - sorted[low]) * (at - low);
};

const element = (tag, words, attributes = {}) => {
  const made = document.createElement(tag);
  if (words !== undefined) made.textContent = words;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

const compare = (a, b) => {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
};

// a row of selects; `chosen` is changed in place, null stands for all
const filters = (place, options, chosen, changed) => {
  for (const [axis, values] of Object.entries(options)) {
    const label = element("label", axis.replaceAll("_", " "));
    const select = element("select", undefined, { "data-axis": axis });
    select.append(element("option", "all", { value: "" }));
    values.forEach((value, index) => select.append(element("option", number(value), { value: String(index) })));
    const first = values.indexOf(chosen[axis]);
    select.value = first < 0 ? "" : String(first);
    if (first < 0) chosen[axis] = null;
    select.addEventListener("change", () => {
      chosen[axis] = select.value === "" ? null : values[Number(select.value)];
      changed();
    });
    label.append(select);
    place.append(label);
  }
};

const distinct = (columns) => [...new Set(columns.flat())].filter((value) => value !== null).sort(compare);

const keep = (series, chosen) => {
  const active = Object.entries(chosen).filter(([axis, value]) => value !== null && series.by[axis]);
  const kept = [];
  for (let i = 0; i < series.x.length; i++) {
    if (active.every(([axis, value]) => series.by[axis][i] === value)) kept.push(i);
  }
  return kept;
};

const axesOf = (series, i) => Object.entries(series.by)
  .filter(([, values]) => values[i] !== null)
  .map(([axis, values]) => `${axis.replaceAll("_", " ")} ${number(values[i])}`).join(" · ");

const quartiles = (series, kept) => {
  const groups = new Map();
  for (const i of kept) {
    if (series.y[i] === null) continue;
    if (!groups.has(series.x[i])) groups.set(series.x[i], []);
    groups.get(series.x[i]).push(series.y[i]);
  }
  return [...groups.entries()].sort((a, b) => a[0] - b[0]).map(([x, values]) => {
    values.sort((a, b) => a - b);
    return { x, low: quantile(values, 0.25), median: quantile(values, 0.5), high: quantile(values, 0.75), n: values.length };
  });
};

const traces = (series, chosen, suffix, legend, log) => {
  const kept = keep(series, chosen);
  const common = {
    name: plain(series.label), legendgroup: series.label, showlegend: legend && series.label !== "",
    xaxis: "x" + suffix, yaxis: "y" + suffix, hovertemplate: "%{text}<extra></extra>",
  };
  const line = { color: series.color, width: 1.6 * series.size, dash: series.dashed ? "5px,3px" : "solid" };
  if (series.mark === "points" || series.mark === "line") {
    const text = kept.map((i) => `${plain(series.label)}<br>${number(series.x[i])} → ${number(series.y[i])}<br>${plain(axesOf(series, i))}`);
    const drawn = series.mark === "points"
      ? { mode: "markers", marker: { color: series.color, size: 5 * series.size, opacity: 0.5 } }
      : { mode: "lines", line, connectgaps: false };
    return [{ type: "scatter", x: kept.map((i) => series.x[i]), y: kept.map((i) => series.y[i]), text, ...drawn, ...common }];
  }
  const groups = quartiles(series, kept);
  const text = groups.map((g) => `${plain(series.label)}<br>median ${number(g.median)} of ${g.n}<br>middle half ${number(g.low)} … ${number(g.high)}`);
  const x = groups.map((g) => g.x), y = groups.map((g) => g.median);
  if (series.mark === "median") {
    return [{
      type: "scatter", mode: "markers", x, y, text, ...common,
      marker: { color: series.color, size: 7 * series.size, line: { color: "#fff", width: 1 } },
      error_y: {
        type: "data", symmetric: false, color: series.color, thickness: 1.6, width: 0,
        array: groups.map((g) => g.high - g.median), arrayminus: groups.map((g) => g.median - g.low),
      },
    }];
  }
  const bottom = log ? groups.filter((g) => g.low > 0) : groups;
  const band = {
    type: "scatter", mode: "lines", fill: "toself", fillcolor: series.color, opacity: 0.15, line: { width: 0 }, hoverinfo: "skip",
    x: [...bottom.map((g) => g.x), ...bottom.map((g) => g.x).reverse()],
    y: [...bottom.map((g) => g.high), ...bottom.map((g) => g.low).reverse()],
    legendgroup: series.label, showlegend: false, xaxis: common.xaxis, yaxis: common.yaxis,
  };
  return [band, { type: "scatter", mode: "lines", x, y, text, line, ...common }];
};

// Powers of ten between two labels of a logarithmic axis: as few labels as are legible where it spans many of them, and
// two and five times each where it spans less than two.
const decades = (drawn, name) => {
  let low = Infinity, high = 0;
  for (const trace of drawn) {
    const bars = name === "y" && trace.error_y;
    trace[name].forEach((middle, i) => {
      for (const value of bars ? [middle - bars.arrayminus[i], middle, middle + bars.array[i]] : [middle]) {
        if (!(value > 0 && value < Infinity)) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    });
  }
  return high / low < 100 ? "D2" : Math.max(1, Math.ceil(Math.log10(high / low) / 14));
};

const axis = (described, drawn, name, extra) => {
  const made = {
    title: { text: plain(described.title), standoff: 8, font: { size: 12.5 } }, // powers of ten are drawn a quarter larger
    tickfont: { size: described.log && !described.ticks.length ? 9.6 : 12 }, type: described.log ? "log" : "linear", color: SOFT,
    gridcolor: FAINT, zeroline: false, linecolor: "#9aa5b1", showline: true, ticks: "outside", ticklen: 4,
    exponentformat: "power", showexponent: "all", automargin: true, ...extra,
  };
  if (described.log) made.dtick = decades(drawn, name);
  if (described.ticks.length) {
    Object.assign(made, { tickmode: "array", tickvals: described.ticks.map((t) => t[0]), ticktext: described.ticks.map((t) => plain(t[1])) });
    delete made.dtick;
  }
  if (described.limits) made.range = described.limits;
  if (described.categories) made.range = [-0.5, described.ticks.length - 0.5];
  return made;
};

const layout = (chart, drawn, width) => {
  const n = chart.panels.length, stacked = width < 300 * n && n > 1;
  const gap = stacked ? 0.38 / n : 0.24 / n;
  const made = {
    height: stacked ? 330 * n + 112 : 452, margin: { l: 64, r: 12, t: 56, b: 92 }, hovermode: "closest",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: "#9aa5b1", activecolor: INK }, // above the panels' titles
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "inherit", size: 12.5, color: INK },
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, xanchor: "left", itemclick: "toggle" },
    hoverlabel: { align: "left", bgcolor: "#fff", bordercolor: "#cbd2d9", font: { color: INK, size: 12 } },
    annotations: [], shapes: [],
  };
  const same = chart.panels.every((panel) => panel.y.title === chart.panels[0].y.title && panel.y.log === chart.panels[0].y.log);
  chart.panels.forEach((panel, i) => {
    const suffix = i ? String(i + 1) : "";
    const own = drawn.filter((trace) => trace.xaxis === "x" + suffix);
    const size = 1 / n, from = (stacked ? n - 1 - i : i) * size;
    const part = [from + (from > 0 ? gap / 2 : 0), from + size - (from + size < 0.999 ? gap / 2 : 0)];
    const domains = stacked ? [[0, 1], part] : [part, [0, 1]];
    const plainY = same && !stacked && i > 0 ? { ...panel.y, title: "" } : panel.y;
    made["xaxis" + suffix] = axis(panel.x, own, "x", { domain: domains[0], anchor: "y" + suffix });
    made["yaxis" + suffix] = axis(plainY, same ? drawn : own, "y", { domain: domains[1], anchor: "x" + suffix, ...(same && i ? { matches: "y" } : {}) });
    made.annotations.push({
      text: plain(panel.title), xref: `x${suffix} domain`, yref: `y${suffix} domain`, x: 0, y: 1, xanchor: "left", yanchor: "bottom",
      showarrow: false, font: { size: 13, color: INK }, yshift: 4,
    });
    for (const [height, words] of panel.guides) {
      made.shapes.push({
        type: "line", xref: `x${suffix} domain`, yref: "y" + suffix, x0: 0, x1: 1, y0: height, y1: height,
        line: { color: INK, width: 1, dash: "4px,3px" },
        label: { text: plain(words), textposition: "end", yanchor: "top", font: { size: 11, color: SOFT } },
      });
    }
  });
  return made;
};

const draw = (chart) => {
  for (const panel of chart.panels) {
    for (const series of panel.series) {
      for (const name of ["x", "y"]) series[name] = decode(series[name]);
      for (const name of Object.keys(series.by)) series.by[name] = decode(series.by[name]);
    }
  }
  const every = chart.panels.flatMap((panel) => panel.series);
  const figure = element("figure", undefined, { id: `figure-${chart.name}` });
  figure.append(element("h3", chart.title));
  const row = element("div", undefined, { class: "filters" });
  const place = element("div", undefined, { class: "plot" });
  figure.append(row, place, element("figcaption", chart.caption));
  if (chart.thinned > 1) figure.append(element("p", `Here one of every ${chart.thinned} points or curves; the PNG has all.`, { class: "note" }));
  document.getElementById("charts").append(figure);

  const options = {}, chosen = { ...chart.filters };
  for (const name of Object.keys(chart.filters)) {
    const values = distinct(every.map((series) => series.by[name] ?? []));
    if (values.length > 1) options[name] = values;
    else delete chosen[name];
  }
  const redraw = () => {
    const seen = new Set();
    const all = chart.panels.flatMap((panel, i) => panel.series.flatMap((series) => {
      const legend = !seen.has(series.label) && keep(series, chosen).length > 0;
      if (legend) seen.add(series.label);
      return traces(series, chosen, i ? String(i + 1) : "", legend, panel.y.log);
    }));
    const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
    return Plotly.react(place, all, layout(chart, all, place.clientWidth), config);
  };
  filters(row, options, chosen, redraw);
  return redraw();
};

const runs = (table) => {
  const names = table.names, columns = table.columns.map(decode), count = columns.length ? columns[0].length : 0;
  const rows = [...Array(count).keys()];
  const numeric = columns.map((values) => values.some((value) => typeof value === "number"));
  const options = {};
  names.forEach((name, j) => {
    const values = distinct([columns[j]]);
    if (table.axes.includes(name) && values.length > 1 && values.length <= 60) options[name] = values;
  });
  const chosen = {}, SIZE = 20;
  let order = null, page = 0;
  const get = (id) => document.getElementById(`runs-${id}`);
  get("note").textContent = table.note;
  const show = () => {
    const active = Object.entries(chosen).filter(([, value]) => value !== null).map(([name, value]) => [names.indexOf(name), value]);
    const kept = rows.filter((i) => active.every(([j, value]) => columns[j][i] === value));
    if (order) kept.sort((a, b) => order.sign * compare(columns[order.column][a], columns[order.column][b]));
    page = Math.max(0, Math.min(page, Math.ceil(kept.length / SIZE) - 1));
    const of = names.indexOf(table.statistic);
    const found = of < 0 ? [] : kept.map((i) => columns[of][i]).filter((value) => value !== null).sort((a, b) => a - b);
    get("statistic").textContent = `${kept.length} of ${count} rows` + (found.length
      ? `; ${table.statistic}: median ${number(quantile(found, 0.5))}, smallest ${number(found[0])}, largest ${number(found[found.length - 1])}` : "");
    const head = element("tr");
    names.forEach((name, j) => {
      const mark = order && order.column === j ? (order.sign > 0 ? " ↑" : " ↓") : "";
      const cell = element("th", name.replaceAll("_", " ") + mark, { scope: "col", ...(numeric[j] ? { class: "number" } : {}) });
      cell.addEventListener("click", () => {
        order = { column: j, sign: order && order.column === j ? -order.sign : 1 };
        show();
      });
      head.append(cell);
    });
    const body = element("tbody");
    for (const i of kept.slice(page * SIZE, (page + 1) * SIZE)) {
      const row = element("tr");
      names.forEach((name, j) => {
        const attributes = numeric[j] ? { class: "number", title: String(columns[j][i] ?? "") } : name === "reason" ? { class: "words" } : {};
        row.append(element("td", number(columns[j][i]), attributes));
      });
      body.append(row);
    }
    const top = element("thead");
    top.append(head);
    get("table").replaceChildren(top, body);
    get("page").textContent = `page ${kept.length ? page + 1 : 0} of ${Math.ceil(kept.length / SIZE)}`;
    get("back").disabled = page === 0;
    get("on").disabled = (page + 1) * SIZE >= kept.length;
  };
  filters(get("filters"), options, chosen, () => { page = 0; show(); });
  get("back").addEventListener("click", () => { page -= 1; show(); });
  get("on").addEventListener("click", () => { page += 1; show(); });
  show();
};

if (data.runs) runs(data.runs);
else document.getElementById("runs").remove();
if (!data.charts.length) document.getElementById("figures").remove();
Promise.all(data.charts.map(draw)).then(() => { document.body.dataset.ready = "1"; });
