// What the page holds, and its figures as text.

const DATA = JSON.parse(document.getElementById("data").textContent);
const ORIGINAL = "original";

// Infinity, which JSON lacks, comes as text.
const number = (value) => (typeof value === "string" ? Number(value) : value);

const POINTS = DATA.points.rows.map((row) => {
  const [codec, picture, ...values] = row;
  const point = { codec, picture };
  values.forEach((value, i) => (point[DATA.points.fields[i + 2]] = number(value)));
  return point;
});

const PICTURES = new Map(DATA.pictures.map((picture) => [picture.name, picture]));
const PICTURE_NAMES = namesOfPictures();
const RATES = [...new Set(DATA.pictures.flatMap((p) => p.shown.map((s) => s.target_bpp)))].sort(
  (a, b) => a - b,
);
// Of the overview, where no pictures are shown at any rate.
const OVERVIEW_RATES = RATES.length ? RATES : [0.1, 0.25, 0.5, 1];

const msSsimDb = (value) =>
  value === null ? null : value >= 1 ? Infinity : -10 * Math.log10(1 - value);

const protocolNow = () => DATA.protocols[state.protocol];

// The metric that is chosen; the protocol's first where it has none of that name.
function metricNow() {
  const { metrics } = protocolNow();
  return metrics.find((metric) => metric.key === state.metric) ?? metrics[0];
}

function rateOf(point, protocol = protocolNow()) {
  return point.bpp / protocol.samples;
}

// In the metric's unit; null where it was not measured.
function valueOf(point, metric) {
  const value = point[metric.field] ?? point[metric.stand_in] ?? null;
  return metric.decibels ? msSsimDb(value) : value;
}

// Whether a point's value is that of another way of counting.
function standsIn(point, metric) {
  return (point[metric.field] ?? null) === null && valueOf(point, metric) !== null;
}

function valueText(value, metric) {
  return figure(value, metric.unit === "dB" ? 2 : 1);
}

const titleOf = (metric) => (metric.unit ? `${metric.label}, ${metric.unit}` : metric.label);
const nameOf = (metric) => (metric.unit ? `${metric.label} in ${metric.unit}` : metric.label);

function namesOfPictures() {
  const names = new Set([...DATA.pictures.map((p) => p.name), ...POINTS.map((p) => p.picture)]);
  // Numbers in names count as numbers; a mean is no picture, and comes last.
  return [...names].sort(
    (a, b) =>
      (a === "mean") - (b === "mean") || a.localeCompare(b, "en", { numeric: true }),
  );
}

function labelOf(codec) {
  return codec === ORIGINAL ? "Original" : (DATA.codecs[codec]?.label ?? codec);
}

function shownAt(picture, codec, rate) {
  return PICTURES.get(picture)?.shown.find((s) => s.codec === codec && s.target_bpp === rate);
}

function pointsOf(picture) {
  const { codecs } = protocolNow();
  return POINTS.filter((p) => p.picture === picture && codecs.includes(p.codec));
}

// "–" for what was not measured.
function figure(value, digits) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  return value.toFixed(digits).replace("-", "−");
}

function whole(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en-US");
}

// A metric at a rate that lies between two measured ones; null beyond them.
function interpolated(points, metric, rate) {
  const known = points
    .map((p) => ({ x: rateOf(p), y: valueOf(p, metric) }))
    .filter((p) => Number.isFinite(p.y ?? NaN))
    .sort((a, b) => a.x - b.x);
  for (let i = 1; i < known.length; i++) {
    const [low, high] = [known[i - 1], known[i]];
    if (low.x <= rate && rate <= high.x) {
      const share = high.x > low.x ? Math.log(rate / low.x) / Math.log(high.x / low.x) : 0;
      return low.y * (1 - share) + high.y * share;
    }
  }
  return null;
}

// An element with attributes; children are text or elements, so that no name becomes markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
