"use strict";
(async () => {
  // plotly.js is packed into the page: a fifth of its size, and still nothing to fetch
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const library = document.createElement("script");
  library.textContent = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(library);

  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);
  const state = { lang: data.lang, chosen: 0, kept: new Set(data.names.keys()), show: "all" };
  const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31", "#8a8f98"];
  const SYMBOLS = { FAIL: "x", INVALID: "circle-open", INCONCLUSIVE: "diamond-open", PREDICTED: "triangle-up-open" };
  const MOST = 400; // lines of a chart's own table

  // ---------------------------------------------------------------- words
  const words = (key, values = {}) =>
    data.texts[state.lang][key].replace(/\{(\w+)\}/g, (_, name) => (name in values ? values[name] : ""));
  const spoken = (label) => (typeof label === "number" ? data.words[label][state.lang] : label || "");
  const clipped = (text) => (text.length > 60 ? text.slice(0, 40) + "…" + text.slice(-18) : text);
  const escaped = (text) => clipped(String(text)).replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  Plotly.register({
    moduleType: "locale",
    name: "zh",
    dictionary: {
      "Double-click to zoom back out": data.texts.zh.zoom_out,
      "Double-click on legend to isolate one trace": data.texts.zh.isolate,
    },
    format: {
      days: ["星期日", "星期一", "星期二", "星期三", "星期四", "星期五", "星期六"],
      shortDays: ["周日", "周一", "周二", "周三", "周四", "周五", "周六"],
      months: ["1月", "2月", "3月", "4月", "5月", "6月", "7月", "8月", "9月", "10月", "11月", "12月"],
      shortMonths: ["1月", "2月", "3月", "4月", "5月", "6月", "7月", "8月", "9月", "10月", "11月", "12月"],
      date: "%Y-%m-%d",
    },
  });

  // ---------------------------------------------------------------- a Chart, drawn by plotly
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  const selected = (series) => {
    const of = series.of;
    const keep = of ? [...of.keys()].filter((i) => of[i] < 0 || state.kept.has(of[i])) : [...series.x.keys()];
    const pick = (values) => (values ? keep.map((i) => values[i]) : undefined);
    return { x: pick(series.x), y: pick(series.y), of: pick(of), width: pick(series.width) };
  };

  const trace = (series) => {
    const name = escaped(spoken(series.name));
    const paint = PALETTE[series.colour % PALETTE.length];
    if (series.kind === "heat") {
      const most = Math.max(...series.z.flat());
      const places = most >= 1000 ? 0 : most >= 10 ? 1 : 2; // the same in every cell
      const said = (v) => v.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
      return {
        type: "heatmap", x: series.x, y: series.y.map(escaped), z: series.z, colorscale: "Viridis", hoverongaps: false,
        text: series.z.map((line) => line.map((v) => (v === null ? "" : said(v)))), texttemplate: series.y.length > 30 ? "" : "%{text}",
        colorbar: { thickness: 12, exponentformat: "none", separatethousands: true },
        hovertemplate: "%{y} · %{x}: %{text}<extra></extra>",
      };
    }
    const { x, y, of, width } = selected(series);
    const points = { name, x, y: y.map((v) => (typeof v === "string" ? escaped(v) : v)), customdata: of };
    if (series.kind === "spans")
      return {
        ...points, type: "bar", orientation: "h", base: x, x: width, width: 0.9, marker: { color: paint },
        hovertemplate: "%{base:.4~g} s + %{x:.4~g} s<extra>" + name + "</extra>",
      };
    if (series.kind === "bars") return { ...points, x: x.map(escaped), type: "bar", marker: { color: paint }, width: Math.min(0.7, 0.12 * x.length) };
    const titles = of && of.map((i) => escaped(data.names[i] ?? ""));
    return {
      ...points,
      type: "scatter", opacity: series.faint ? 0.4 : 1,
      mode: series.kind === "points" ? "markers" : of ? "lines+markers" : "lines",
      line: { color: paint, dash: series.dashed ? "dot" : "solid", shape: series.kind === "steps" ? "hv" : "linear", width: 2 },
      marker: { color: paint, size: 8, symbol: of ? of.map((i) => SYMBOLS[data.verdicts[i]] || "circle") : "circle" },
      text: titles,
      hovertemplate: (titles ? "%{text}<br>" : "") + "%{x:.4~g}: %{y:.4~g}<extra>" + name + "</extra>",
    };
  };

  const shapes = (chart) =>
    (chart.limits || []).flatMap((limit, k) => {
      const across = limit.axis === "x";
      const near = limit.value < Math.max(...chart.series.flatMap((series) => series.x)) / 2;
      const at = across ? { x0: limit.value, x1: limit.value, y0: 0, y1: 1, yref: "paper" } : { y0: limit.value, y1: limit.value, x0: 0, x1: 1, xref: "paper" };
      const line = {
        type: "line", ...at, line: { color: colour("--fail"), width: 1.5, dash: "dash" },
        label: { text: "&nbsp;" + "<br>".repeat(across ? k : 0) + escaped(spoken(limit.label)) + "&nbsp;", font: { size: 11, color: colour("--fail") }, textposition: across ? "end" : ["end", "middle", "start"][k % 3], ...(across ? { textangle: 0, xanchor: near ? "left" : "right", yanchor: "top" } : {}) },
      };
      if (!limit.region) return [line];
      const inside = { type: "rect", x0: 0, x1: limit.value, y0: 0, y1: 1, yref: "paper", fillcolor: colour("--pass"), opacity: 0.1, line: { width: 0 }, layer: "below" };
      return [inside, line];
    });

  const axis = (spec, log) => ({
    title: { text: escaped(spoken(spec.label)), standoff: 8 },
    type: spec.categories ? "category" : log ? "log" : undefined,
    gridcolor: colour("--grid"), zerolinecolor: colour("--grid"), automargin: true, rangemode: log ? "normal" : "tozero",
    exponentformat: "none", separatethousands: true,
  });

  // A log axis says whole numbers: the values themselves if they are few, else 1, 2, 5, 10, …
  const ticks = (chart, name) => {
    const values = chart.series.flatMap((series) => selected(series)[name]).filter((v) => typeof v === "number" && v > 0);
    const few = [...new Set(values)].sort((a, b) => a - b);
    if (!few.length) return {};
    if (name === "x" && few.length <= 12 && chart.series[0].of) return { tickmode: "array", tickvals: few };
    const [low, high] = [Math.floor(Math.log10(few[0])), Math.ceil(Math.log10(few.at(-1)))];
    const steps = high - low > 4 ? [1] : high - low > 2 ? [1, 3] : few.at(-1) < 3 * few[0] ? [1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9] : [1, 2, 5];
    const all = Array.from({ length: high - low + 2 }, (_, k) => steps.map((step) => step * 10 ** (low + k))).flat();
    return { tickmode: "array", tickvals: all, ticktext: all.map((v) => Number(v.toPrecision(3)).toLocaleString("en")) };
  };

  // What is drawn up to: the values, and limits that are not far beyond them.
  const range = (chart, name, log) => {
    const values = chart.series.flatMap((series) => selected(series)[name]).filter((v) => typeof v === "number" && (!log || v > 0));
    const limits = (chart.limits || []).filter((limit) => limit.axis === name).map((limit) => limit.value);
    if (!values.length || !limits.length) return {};
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const top = Math.max(high, ...limits.filter((limit) => limit <= (log ? 30 : 3) * high));
    return { autorange: false, range: log ? [Math.log10(low / 1.4), Math.log10(top * 1.4)] : [0, top * 1.12] };
  };

  const draw = (card) => {
    const { chart, plot } = card;
    const dates = chart.group === "trend";
    const layout = {
      margin: { l: 12, r: 12, t: 12, b: 12 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--fg"), family: getComputedStyle(document.body).fontFamily, size: 12 },
      xaxis: { ...axis(chart.x, card.logX()), ...(card.logX() ? ticks(chart, "x") : {}), ...range(chart, "x", card.logX()), ...(dates ? { type: "date", rangemode: "normal" } : {}) },
      yaxis: { ...axis(chart.y, card.logY()), ...(card.logY() ? ticks(chart, "y") : {}), ...range(chart, "y", card.logY()), ...(["timeline", "heat"].includes(chart.group || chart.id) ? { autorange: "reversed" } : {}) },
      shapes: shapes(chart), barmode: chart.id === "timeline" ? "overlay" : "stack",
      showlegend: false,
      hovermode: "closest", hoverlabel: { namelength: -1 },
    };
    const config = { displayModeBar: false, responsive: true, locale: state.lang === "zh" ? "zh" : "en" };
    const traces = chart.series.map(trace);
    if (dates) traces.forEach((one) => (one.hovertemplate = "%{text}<br>%{x|%Y-%m-%d %H:%M}: %{y:.4~g}<extra></extra>"));
    traces.forEach((one, k) => (one.visible = !card.hidden.has(k)));
    const paint = (series) => PALETTE[series.colour % PALETTE.length];
    panels(card, layout, traces, { of: trace, spoken: (label) => escaped(spoken(label)), colour, paint });
    Plotly.react(plot, traces, layout, config);
    legend(card);
    panelChoice(card, words("panels"), spoken, make, draw);
    plot.setAttribute("aria-label", words("chart_label", { title: spoken(chart.title) }));
    if (!card.clickable) {
      card.clickable = true;
      plot.on("plotly_click", (event) => {
        const i = event.points[0].customdata;
        if (Number.isInteger(i) && i >= 0) choose(i, true);
      });
    }
  };

  // Which line is which, below the plot, where it wraps and takes nothing of it.  A click hides a line; a second one, of
  // one that stands alone, brings all back.
  const legend = (card) => {
    const { series } = card.chart;
    const several = series.length > 1 && !series.some((one) => one.kind === "heat");
    card.legend.replaceChildren(
      ...(several ? series : []).map((one, k) => {
        const button = make("button");
        button.type = "button";
        button.setAttribute("aria-pressed", String(!card.hidden.has(k)));
        const line = make("i", one.dashed ? "dashed" : "");
        line.style.color = PALETTE[one.colour % PALETTE.length];
        line.style.opacity = one.faint ? 0.4 : 1;
        button.append(line, clipped(String(spoken(one.name))));
        button.addEventListener("click", () => {
          if (!card.hidden.delete(k)) card.hidden.add(k);
          if (card.hidden.size === series.length) card.hidden.clear();
          draw(card);
        });
        return button;
      }),
    );
  };

  // ---------------------------------------------------------------- cards: a place for one chart, or one of a group
  const cards = [];
  const watcher = new IntersectionObserver(
    (entries) => entries.forEach((entry) => entry.isIntersecting && show(cards.find((card) => card.plot === entry.target))),
    { rootMargin: "300px" },
  );

  const show = (card) => {
    if (!card || !card.chart) return;
    card.drawn = true;
    draw(card);
  };

  const figures = (card) => {
    card.figures.replaceChildren();
    if (!card.open.open) return;
    const table = make("table");
    const head = table.createTHead().insertRow();
    [words("series"), spoken(card.chart.x.label), spoken(card.chart.y.label)].forEach((text) => {
      const cell = make("th", "", text);
      cell.scope = "col";
      head.append(cell);
    });
    const body = table.createTBody();
    const lines = [card.chart, ...(card.chart.panels || [])].flatMap((chart) => chart.series).flatMap((series) => {
      if (series.kind === "heat")
        return series.y.flatMap((y, j) => series.x.map((x, i) => [y, x, series.z[j][i]]).filter((line) => line[2] !== null));
      const { x, y } = selected(series);
      return x.map((value, i) => [spoken(series.name), value, y[i]]);
    });
    lines.slice(0, MOST).forEach((line) => {
      const row = body.insertRow();
      line.forEach((value) => (row.insertCell().textContent = value ?? "—"));
    });
    card.figures.append(table);
    if (lines.length > MOST) card.figures.append(make("p", "hint", words("more_points", { n: lines.length - MOST })));
  };

  const label = (card) => {
    const { chart } = card;
    card.choice.replaceChildren(
      ...card.charts.map((one) => {
        const option = make("option", "", spoken(one.title));
        option.selected = one === chart;
        return option;
      }),
    );
    card.choice.hidden = card.charts.length < 2;
    card.heading.hidden = card.charts.length > 1;
    card.heading.textContent = spoken(chart.title);
    card.choice.setAttribute("aria-label", spoken(chart.title));
    card.note.textContent = spoken(chart.note);
    card.boxes.forEach(({ box, text }) => {
      text.textContent = " " + words("log_" + box.dataset.axis);
      box.parentElement.hidden = chart[box.dataset.axis].categories || chart.id === "timeline" || (chart.group === "trend" && box.dataset.axis === "x");
    });
    card.save.textContent = "SVG";
    card.save.title = words("download");
    card.save.setAttribute("aria-label", words("download"));
    card.summary.textContent = words("data");
    figures(card);
  };

  const card = (parent, charts) => {
    const figure = make("figure");
    const bar = make("div", "bar");
    const one = { charts, chart: charts.find((chart) => chart.limits) || charts[0], figure, plot: make("div", "plot"), heading: make("h3"), choice: make("select"), note: make("figcaption"), legend: make("div", "legend"), below: make("div", "below"), hidden: new Set(), boxes: [], drawn: false };
    const box = (name) => {
      const outer = make("label");
      const input = make("input");
      input.type = "checkbox";
      input.dataset.axis = name;
      input.checked = one.chart[name].log;
      input.addEventListener("change", () => draw(one));
      const text = make("span");
      outer.append(input, text);
      one.boxes.push({ box: input, text });
      return outer;
    };
    one.logX = () => one.boxes[0].box.checked && !one.chart.x.categories;
    one.logY = () => one.boxes[1].box.checked && !one.chart.y.categories;
    one.choice.addEventListener("change", () => {
      one.chart = charts[one.choice.selectedIndex];
      one.hidden.clear();
      one.boxes.forEach(({ box }) => (box.checked = one.chart[box.dataset.axis].log));
      label(one);
      draw(one);
    });
    one.save = make("button");
    one.save.type = "button";
    one.save.addEventListener("click", () =>
      Plotly.downloadImage(one.plot, { format: "svg", filename: one.chart.id, width: 960, height: Math.max(540, one.plot.clientHeight) }),
    );
    bar.append(one.heading, one.choice, box("x"), box("y"), one.save);
    one.plot.setAttribute("role", "img");
    one.open = make("details");
    one.summary = make("summary");
    one.figures = make("div", "scroll");
    one.open.append(one.summary, one.figures);
    one.open.addEventListener("toggle", () => figures(one));
    figure.append(bar, one.plot, one.legend, one.below, one.note, one.open);
    parent.append(figure);
    label(one);
    cards.push(one);
    watcher.observe(one.plot);
    return one;
  };

  const groups = (charts) => {
    const found = new Map();
    charts.forEach((chart) => {
      const key = chart.group || chart.id;
      found.set(key, [...(found.get(key) || []), chart]);
    });
    return [...found.values()];
  };

  // ---------------------------------------------------------------- one scenario
  const rows = [...find("table").tBodies[0].rows];

  const choose = (i, scroll) => {
    state.chosen = i;
    rows.forEach((row) => row.setAttribute("aria-selected", String(Number(row.dataset.i) === i)));
    find("scenario").value = String(i);
    own();
    if (scroll) find("detail").scrollIntoView();
  };

  const own = () => {
    const place = find("own");
    cards.filter((one) => place.contains(one.figure)).forEach((one) => {
      watcher.unobserve(one.plot);
      Plotly.purge(one.plot);
      cards.splice(cards.indexOf(one), 1);
    });
    const charts = data.details[state.chosen];
    place.replaceChildren(...(charts && charts.length ? [] : [make("p", "hint", words(charts ? "no_records" : "no_room"))]));
    groups(charts || []).forEach((group) => card(place, group));
  };

  // ---------------------------------------------------------------- filter, order
  const filter = () => {
    const wanted = find("filter").value.trim().toLowerCase().split(/\s+/);
    const kinds = (row) => (state.show === "all" ? row.dataset.kind !== "probe" : row.dataset.kind === state.show);
    const named = new Set(rows.filter((row) => wanted.every((part) => (data.names[Number(row.dataset.i)] + " " + row.cells[1].innerText).toLowerCase().includes(part))));
    rows.forEach((row) => (row.hidden = !named.has(row) || !kinds(row)));
    state.kept = new Set(rows.filter((row) => named.has(row) && (state.show === "all" || kinds(row))).map((row) => Number(row.dataset.i)));
    find("shown").textContent = words("shown", { n: rows.filter((row) => !row.hidden).length, all: rows.length });
    cards.filter((one) => one.drawn && one.chart.series.some((series) => series.of)).forEach((one) => { draw(one); figures(one); });
  };

  const value = (row, column) => {
    const text = (column === 1 ? row.cells[1].innerText : row.cells[column].firstChild.textContent).trim();
    const number = Number(text.replaceAll(",", ""));
    return text === "—" ? -Infinity : Number.isNaN(number) ? text : number;
  };

  const sort = (head) => {
    const heads = [...find("table").tHead.querySelectorAll("[data-c]")];
    const column = Number(head.dataset.c);
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = rows.map((row) => [value(row, column), row]);
    keyed.sort(([a], [b]) => {
      const order = typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
      return down ? -order : order;
    });
    find("table").tBodies[0].append(...keyed.map(([, row]) => row));
  };

  // ---------------------------------------------------------------- language, theme
  const speak = (lang) => {
    state.lang = lang;
    root.lang = lang;
    document.querySelectorAll("[data-lang]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.lang === lang)));
    for (const name of ["aria-label", "title", "placeholder"])
      document.querySelectorAll(`[data-${name}-${lang}]`).forEach((node) => node.setAttribute(name, node.getAttribute(`data-${name}-${lang}`)));
    document.title = document.querySelector(`h1 [lang="${lang}"]`).textContent;
    cards.forEach(label);
    filter();
    redraw();
    if (!(data.details[state.chosen] || []).length) own();
  };

  const redraw = () => cards.filter((one) => one.drawn).forEach(draw);

  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

  // ---------------------------------------------------------------- begin
  groups(data.charts.filter((chart) => chart.group !== "trend")).forEach((group) => card(find("overview"), group));
  find("charts").hidden = data.names.length < 2;
  document.querySelectorAll('nav [href="#charts"]').forEach((node) => (node.hidden = data.names.length < 2));
  const trends = data.charts.filter((chart) => chart.group === "trend");
  find("trend").hidden = !trends.length;
  document.querySelectorAll(".when-trend").forEach((node) => (node.hidden = !trends.length));
  trends.forEach((chart) => card(find("trends"), [chart]));
  find("scenario").append(
    ...data.names.map((name, i) => {
      const option = make("option", "", name);
      option.value = String(i);
      return option;
    }),
  );
  find("scenario").addEventListener("change", (event) => choose(Number(event.target.value)));
  find("filter").addEventListener("input", filter);
  const chips = [...document.querySelectorAll("[data-show]")];
  chips.forEach((chip) =>
    chip.addEventListener("click", () => {
      state.show = chip.dataset.show;
      chips.forEach((one) => one.setAttribute("aria-pressed", String(one === chip)));
      filter();
    }),
  );
  find("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  find("print").addEventListener("click", () => window.print());
  window.addEventListener("beforeprint", () => cards.forEach(show));
  document.querySelectorAll("[data-lang]").forEach((button) => button.addEventListener("click", () => speak(button.dataset.lang)));
  find("table").tHead.addEventListener("click", (event) => {
    const head = event.target.closest("th[data-c]");
    if (head) sort(head);
  });
  find("table").tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) choose(Number(row.dataset.i), true);
  });
  if (data.names.length) choose(0);
  speak(data.lang);
})();
