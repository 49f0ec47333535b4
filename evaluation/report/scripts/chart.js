// The rate-distortion chart of one picture.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 56, right: 16, top: 12, bottom: 46 };
const MARKER_RADIUS = 4.2;
const MAX_POINTER_DISTANCE = 40; // pixels between the pointer and the point of the tooltip

const hidden = new Set(); // codecs that are switched off in the legend

function startChart() {
  const chart = document.getElementById("chart");
  new ResizeObserver(renderChart).observe(chart);
  watch(["picture", "protocol", "metric"], renderChart);
  watch(["protocol"], renderLegend);
}

function renderChart() {
  const chart = document.getElementById("chart");
  const metric = currentMetric();
  document.getElementById("chart-title").textContent =
    `${state.picture}: ${metric.name} by rate, protocol ${state.protocol}`;
  const series = seriesOf(metric);
  const visible = series.filter(({ codec }) => !hidden.has(codec));
  const placed = visible.flatMap((s) => s.points);
  if (!placed.length) {
    const text = `No ${metric.name} was measured for this selection.`;
    chart.replaceChildren(element("p", { class: "note" }, text));
    return;
  }
  const frame = frameOf(chart.clientWidth || 720, placed);
  const tooltip = element("div", { class: "tooltip", hidden: "" });
  const svg = drawChart(frame, metric, visible);
  svg.addEventListener("pointermove", (event) => showTooltip(event, svg, frame, placed, tooltip));
  svg.addEventListener("pointerleave", () => hideTooltip(svg, tooltip));
  chart.replaceChildren(svg, tooltip, ...fallbackNotes(visible, metric));
}

// Notes on codecs whose values come from the metric's fallback field.
function fallbackNotes(series, metric) {
  const concerned = series.filter(({ points }) => points.some((p) => usesFallback(p, metric)));
  if (!concerned.length) return [];
  const names = concerned.map(({ codec }) => displayName(codec)).join(", ");
  return [element("p", { class: "note" }, `${names}: ${metric.fallback_note}.`)];
}

// The points of each codec that can be drawn, by rising rate.
function seriesOf(metric) {
  const points = pointsOf(state.picture);
  return currentProtocol()
    .codecs.map((codec) => ({
      codec,
      points: points
        .filter((p) => p.codec === codec)
        .map((p) => ({ ...p, x: rateOf(p), y: valueOf(p, metric) }))
        .filter((p) => p.x > 0 && Number.isFinite(p.y ?? NaN))
        .sort((a, b) => a.x - b.x),
    }))
    .filter((s) => s.points.length);
}

// Sizes and scales of the chart: logarithmic for the rate, linear for the metric.
function frameOf(width, points) {
  const height = Math.round(Math.min(Math.max(width * 0.56, 280), 460));
  const [left, right] = [MARGIN.left, width - MARGIN.right];
  const [top, bottom] = [MARGIN.top, height - MARGIN.bottom];
  const [lowX, highX] = extent(points.map((p) => Math.log(p.x)), 0.1);
  const [lowY, highY] = extent(points.map((p) => p.y), 0.5);
  return {
    ...{ width, height, left, right, top, bottom, lowX, highX, lowY, highY },
    x: (value) => left + ((Math.log(value) - lowX) / (highX - lowX)) * (right - left),
    y: (value) => bottom - ((value - lowY) / (highY - lowY)) * (bottom - top),
  };
}

function extent(values, leastMargin) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = Math.max((high - low) * 0.04, leastMargin);
  return [low - margin, high + margin];
}

function drawChart(frame, metric, series) {
  const svg = shape("svg", {
    viewBox: `0 0 ${frame.width} ${frame.height}`,
    role: "img",
    "aria-label": `${titleOf(metric)}, over ${currentProtocol().unit}; the table below lists the same points`,
  });
  svg.append(...gridLines(frame), ...axisTitles(frame, metric));
  // This project's codec is drawn on top.
  const inOrder = [...series].sort((a, b) => DATA.codecs[a.codec].own - DATA.codecs[b.codec].own);
  for (const { codec, points } of inOrder) svg.append(drawSeries(frame, codec, points));
  return svg;
}

function gridLines(frame) {
  const { left, right, top, bottom } = frame;
  const lines = [];
  for (const value of rateTicks(Math.exp(frame.lowX), Math.exp(frame.highX))) {
    const x = frame.x(value);
    lines.push(shape("path", { class: "grid", d: `M${x} ${top}V${bottom}` }));
    lines.push(svgText(x, bottom + 16, String(value), "middle"));
  }
  for (const value of evenTicks(frame.lowY, frame.highY)) {
    const y = frame.y(value);
    lines.push(shape("path", { class: "grid", d: `M${left} ${y}H${right}` }));
    lines.push(svgText(left - 6, y + 4, String(value).replace("-", "−"), "end"));
  }
  lines.push(shape("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }));
  return lines;
}

function axisTitles(frame, metric) {
  const { left, right, top, bottom } = frame;
  const across = svgText((left + right) / 2, bottom + 38, currentProtocol().unit, "middle");
  const upwards = svgText(0, 0, titleOf(metric), "middle");
  upwards.setAttribute("transform", `translate(14 ${(top + bottom) / 2}) rotate(-90)`);
  return [across, upwards];
}

// Ticks at 1, 2 and 5 times the powers of ten.
function rateTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const digit of [1, 2, 5]) ticks.push(Number(`${digit}e${power}`));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

function evenTicks(low, high) {
  const rough = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) {
    ticks.push(Number((n * step).toPrecision(6)));
  }
  return ticks;
}

function drawSeries(frame, codec, points) {
  const group = seriesGroup(codec);
  const line = points.map((p) => `${frame.x(p.x).toFixed(1)},${frame.y(p.y).toFixed(1)}`);
  group.append(shape("polyline", { points: line.join(" ") }));
  for (const p of points) group.append(marker(codec, frame.x(p.x), frame.y(p.y)));
  return group;
}

// Styles are those of the plots; this project's codec has a wide line.
function seriesGroup(codec) {
  const { colour, dashes, own } = DATA.codecs[codec];
  const group = shape("g", { class: own ? "series own" : "series" });
  group.dataset.codec = codec;
  group.style.setProperty("--colour", colour);
  group.style.setProperty("--dashes", dashes.map((length) => 1.5 * length).join(" ") || "none");
  return group;
}

// Polygons by Matplotlib's names of markers: number of corners, and angle of the first one in
// degrees from the top.
const POLYGONS = {
  "^": [3, 0],
  ">": [3, 90],
  v: [3, 180],
  "<": [3, 270],
  D: [4, 0],
  d: [4, 0],
  s: [4, 45],
  p: [5, 0],
  h: [6, 0],
  8: [8, 22.5],
};

function marker(codec, x, y) {
  const at = `translate(${x.toFixed(1)} ${y.toFixed(1)})`;
  return shape("path", { class: "point", d: outline(DATA.codecs[codec].marker), transform: at });
}

function outline(name) {
  const r = MARKER_RADIUS;
  if (name === "*") return polygon(10, 0, (i) => (i % 2 ? 0.55 * r : 1.5 * r));
  if (name === "P") return polygon(12, 15, crossRadius);
  if (name === "X") return polygon(12, 60, crossRadius);
  if (name in POLYGONS) return polygon(...POLYGONS[name], () => 1.15 * r);
  return polygon(24, 0, () => 0.9 * r);
}

// Radius of a corner of a thick cross with twelve corners, every third of which is an inner one.
function crossRadius(i) {
  return MARKER_RADIUS * (i % 3 === 1 ? 0.5 : 1.2);
}

function polygon(count, degrees, radius) {
  const points = Array.from({ length: count }, (_, i) => {
    const angle = ((360 * i) / count + degrees) * (Math.PI / 180);
    const [x, y] = [radius(i) * Math.sin(angle), -radius(i) * Math.cos(angle)];
    return `${x.toFixed(2)} ${y.toFixed(2)}`;
  });
  return `M${points.join("L")}z`;
}

function svgText(x, y, text, anchor) {
  const made = shape("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function renderLegend() {
  const legend = document.getElementById("legend");
  const entries = currentProtocol().codecs.map((codec) => {
    const sample = shape("svg", { viewBox: "-16 -6 32 12", "aria-hidden": "true" });
    const group = seriesGroup(codec);
    group.append(shape("polyline", { points: "-16,0 16,0" }), marker(codec, 0, 0));
    sample.append(group);
    const toggle = (event) => {
      if (!hidden.delete(codec)) hidden.add(codec);
      event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(codec)));
      renderChart();
    };
    const pressed = String(!hidden.has(codec));
    const attributes = { type: "button", "aria-pressed": pressed, onclick: toggle };
    return element("button", attributes, sample, displayName(codec));
  });
  legend.replaceChildren(...entries);
}

// Shows the tooltip of the nearest point if it is near the pointer.
function showTooltip(event, svg, frame, points, tooltip) {
  const box = svg.getBoundingClientRect();
  const scale = frame.width / box.width;
  const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  const away = (p) => Math.hypot(frame.x(p.x) - x, frame.y(p.y) - y);
  const nearest = points.reduce((a, b) => (away(b) < away(a) ? b : a));
  if (away(nearest) > MAX_POINTER_DISTANCE) {
    hideTooltip(svg, tooltip);
    return;
  }
  tooltip.replaceChildren(
    element("strong", {}, displayName(nearest.codec)),
    element("span", {}, `quality ${nearest.quality}, ${integerText(nearest.bytes)} bytes`),
    element("span", {}, `${numberText(rateOf(nearest), 4)} ${currentProtocol().short_unit}`),
    ...currentProtocol().metrics.map((metric) => element("span", {}, metricText(nearest, metric))),
  );
  tooltip.hidden = false;
  const [left, top] = [frame.x(nearest.x) / scale, frame.y(nearest.y) / scale];
  const onRight = left < box.width / 2;
  tooltip.style.left = `${onRight ? left + 12 : left - 12 - tooltip.offsetWidth}px`;
  tooltip.style.top = `${Math.max(0, Math.min(top - 20, box.height - tooltip.offsetHeight))}px`;
  for (const group of svg.querySelectorAll(".series")) {
    group.classList.toggle("faded", group.dataset.codec !== nearest.codec);
  }
}

function hideTooltip(svg, tooltip) {
  tooltip.hidden = true;
  for (const group of svg.querySelectorAll(".series")) group.classList.remove("faded");
}

function metricText(point, metric) {
  const value = `${valueText(valueOf(point, metric), metric)} ${metric.unit}`.trim();
  // A value with a second scale is given in both.
  const raw = metric.decibels ? `${numberText(point[metric.field], 4)}, ` : "";
  return `${metric.name} ${raw}${value}`;
}
