// Data of the page, and the conversion of its numbers to text.

const DATA = JSON.parse(document.getElementById("data").textContent);
const ORIGINAL = "original";

// JSON has no infinity; the page has it as text.
const number = (value) => (typeof value === "string" ? Number(value) : value);

const POINTS = DATA.points.rows.map((row) => {
  const [codec, picture, ...values] = row;
  const point = { codec, picture };
  values.forEach((value, i) => (point[DATA.points.fields[i + 2]] = number(value)));
  return point;
});

const PICTURES = new Map(DATA.pictures.map((picture) => [picture.name, picture]));
const PICTURE_NAMES = namesOfPictures();
const RECONSTRUCTIONS = DATA.pictures.flatMap((picture) => picture.reconstructions);
const RATES = [...new Set(RECONSTRUCTIONS.map((r) => r.target_bpp))].sort((a, b) => a - b);
// Rates of the overview; the defaults serve a page without compared pictures.
const OVERVIEW_RATES = RATES.length ? RATES : [0.1, 0.25, 0.5, 1];

const msSsimDb = (value) =>
  value === null ? null : value >= 1 ? Infinity : -10 * Math.log10(1 - value);

const currentProtocol = () => DATA.protocols[state.protocol];

// The selected metric, or the protocol's first if it does not have the selected one.
function currentMetric() {
  const { metrics } = currentProtocol();
  return metrics.find((metric) => metric.key === state.metric) ?? metrics[0];
}

function rateOf(point, protocol = currentProtocol()) {
  return point.bpp / protocol.samples;
}

// The value in the metric's unit; null if it was not measured.
function valueOf(point, metric) {
  const value = point[metric.field] ?? point[metric.fallback_field] ?? null;
  return metric.decibels ? msSsimDb(value) : value;
}

// Whether the point has the metric's fallback field only.
function usesFallback(point, metric) {
  return (point[metric.field] ?? null) === null && valueOf(point, metric) !== null;
}

function valueText(value, metric) {
  return numberText(value, metric.unit === "dB" ? 2 : 1);
}

const titleOf = (metric) => (metric.unit ? `${metric.name}, ${metric.unit}` : metric.name);
const nameOf = (metric) => (metric.unit ? `${metric.name} in ${metric.unit}` : metric.name);

function namesOfPictures() {
  const names = new Set([...DATA.pictures.map((p) => p.name), ...POINTS.map((p) => p.picture)]);
  // Numbers in names are compared as numbers; the mean is not a picture and comes last.
  return [...names].sort(
    (a, b) =>
      (a === "mean") - (b === "mean") || a.localeCompare(b, "en", { numeric: true }),
  );
}

function displayName(codec) {
  return codec === ORIGINAL ? "Original" : (DATA.codecs[codec]?.display_name ?? codec);
}

function reconstructionAt(picture, codec, rate) {
  const { reconstructions = [] } = PICTURES.get(picture) ?? {};
  return reconstructions.find((r) => r.codec === codec && r.target_bpp === rate);
}

function pointsOf(picture) {
  const { codecs } = currentProtocol();
  return POINTS.filter((p) => p.picture === picture && codecs.includes(p.codec));
}

// The number as text; "–" if it was not measured.
function numberText(value, digits) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  return value.toFixed(digits).replace("-", "−");
}

function integerText(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en-US");
}

// The metric at a rate, interpolated between measured points; null outside the measured range.
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

// An element with attributes. Children are text or elements, so that no name is parsed as markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
