// State of the page: what the reader has selected. The page's address contains it for links.

const ZOOMS = [1, 2, 4];

const state = {};
const watchers = [];
let hashTimer = 0;

function defaults() {
  const picture = DATA.pictures[0]?.name ?? PICTURE_NAMES[0];
  const codecs = [...new Set(RECONSTRUCTIONS.map((r) => r.codec))];
  return {
    picture,
    rate: OVERVIEW_RATES[0],
    left: ORIGINAL,
    right: codecs[0] ?? ORIGINAL,
    zoom: 1,
    split: 50,
    x: 50,
    y: 50,
    protocol: Object.keys(DATA.protocols)[0],
    metric: "psnr",
  };
}

// Parsers of the values in the address; they return undefined for values that do not exist.
const READERS = {
  picture: (text) => oneOf(PICTURE_NAMES, text),
  rate: (text) => oneOf(OVERVIEW_RATES, Number(text)),
  left: readCodec,
  right: readCodec,
  zoom: (text) => oneOf(ZOOMS, Number(text)),
  split: readPercent,
  x: readPercent,
  y: readPercent,
  protocol: (text) => oneOf(Object.keys(DATA.protocols), text),
  metric: (text) => oneOf(Object.values(DATA.protocols).flatMap(keysOfMetrics), text),
};

function keysOfMetrics({ metrics }) {
  return metrics.map((metric) => metric.key);
}

function oneOf(allowed, value) {
  return allowed.includes(value) ? value : undefined;
}

function readCodec(text) {
  return oneOf([ORIGINAL, ...Object.keys(DATA.codecs)], text);
}

function readPercent(text) {
  const value = text === "" ? NaN : Number(text);
  return value >= 0 && value <= 100 ? value : undefined;
}

// Calls `render` whenever one of the named values has changed.
function watch(names, render) {
  watchers.push({ names, render });
}

function update(changes) {
  const changed = Object.keys(changes).filter((name) => state[name] !== changes[name]);
  if (!changed.length) return;
  Object.assign(state, changes);
  for (const { names, render } of watchers) {
    if (names.some((name) => changed.includes(name))) render();
  }
  // Delayed, because browsers limit how often the address may change.
  clearTimeout(hashTimer);
  hashTimer = setTimeout(() => history.replaceState(null, "", writtenHash()), 120);
}

function writtenHash() {
  const names = ["picture", "rate", "left", "right", "zoom", "split"];
  if (state.zoom > 1) names.push("x", "y");
  names.push("protocol", "metric");
  const values = names.map((name) => [name, rounded(state[name])]);
  return `#${new URLSearchParams(values)}`;
}

function rounded(value) {
  return typeof value === "number" ? Number(value.toFixed(4)) : value;
}

// The state in the address; null if the address has none, or names a section of the page.
function readHash() {
  if (!location.hash.includes("=")) return null;
  const found = {};
  for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
    const value = Object.hasOwn(READERS, name) ? READERS[name](text) : undefined;
    if (value !== undefined) found[name] = value;
  }
  return found;
}
