// Small charts below a chart, on its time axis, and moments as lines through all of them.
"use strict";
const PANEL = { main: 300, each: 74, gap: 22, shown: 4, phone: 640 };

// What is added to a layout and its traces; `of` draws a series, `spoken` says a label, `paint` gives a colour.
const panels = (card, layout, traces, { of, spoken, colour, paint }) => {
  const { chart, plot } = card;
  card.panels ??= new Set((chart.panels || []).slice(0, PANEL.shown));
  const drawn = (chart.panels || []).filter((panel) => card.panels.has(panel));
  const main = innerWidth < PANEL.phone ? 240 : PANEL.main;
  const height = main + drawn.length * (PANEL.each + PANEL.gap);
  plot.style.height = chart.panels ? `${height + 60}px` : "";
  layout.annotations = [];
  drawn.forEach((panel, k) => {
    const top = 1 - (main + k * (PANEL.each + PANEL.gap) + PANEL.gap) / height;
    const name = `yaxis${k + 2}`;
    layout[name] = {
      domain: [Math.max(0, top - PANEL.each / height), top], gridcolor: colour("--grid"), zerolinecolor: colour("--grid"),
      nticks: 3, rangemode: "tozero", automargin: true, exponentformat: "none", separatethousands: true, fixedrange: true,
    };
    panel.series.forEach((series) => traces.push({ ...of(series), yaxis: `y${k + 2}` }));
    const named = panel.series.map((series) => `<span style="color:${paint(series)}">━</span> ${spoken(series.name)}`);
    layout.annotations.push({
      text: named.join("  "), xref: "paper", yref: "paper", x: 0, y: top, xanchor: "left", yanchor: "bottom",
      showarrow: false, font: { size: 11 },
    });
  });
  if (drawn.length) {
    layout.yaxis.domain = [1 - main / height, 1];
    layout.xaxis.anchor = `y${drawn.length + 1}`;
  }
  const times = traces.flatMap((one) => one.x).filter((x) => typeof x === "number");
  (chart.moments || []).forEach(({ at, label }, k) => {
    layout.shapes.push({ type: "line", x0: at, x1: at, y0: 0, y1: 1, yref: "paper", line: { color: colour("--invalid"), width: 1, dash: "dot" } });
    const late = at > Math.max(...times) * 0.6;
    layout.annotations.push({
      text: spoken(label), x: at, y: 1 - (8 + 15 * (k % 4)) / height, yref: "paper", xanchor: late ? "right" : "left", yanchor: "top",
      showarrow: false, font: { size: 11, color: colour("--invalid") }, bgcolor: colour("--bg"), opacity: 0.9,
    });
  });
};

// A button for each panel: which are drawn.
const panelChoice = (card, label, spoken, make, draw) => {
  const all = card.chart.panels || [];
  const buttons = all.map((panel) => {
    const button = make("button", "", spoken(panel.title));
    button.type = "button";
    button.setAttribute("aria-pressed", String(card.panels.has(panel)));
    button.addEventListener("click", () => {
      if (!card.panels.delete(panel)) card.panels.add(panel);
      draw(card);
    });
    return button;
  });
  card.below.replaceChildren(...(all.length ? [make("span", "", label), ...buttons] : []));
};
