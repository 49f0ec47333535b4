// Tables that a click on a column's title sorts.

// Columns have `title`, `value(row)` (a number, a text or null) and, for numbers, `text(value)`.
// `onrow` handles clicks on rows; `mark` returns a row's class.
function drawTable(container, columns, rows, { sorted, onrow, mark } = {}) {
  const order = { column: sorted ?? null, up: true };
  const body = element("tbody");
  const heads = columns.map((column, i) => {
    const sort = () => {
      order.up = order.column === i ? !order.up : true;
      order.column = i;
      fill();
    };
    const button = element("button", { type: "button", onclick: sort }, column.title);
    return element("th", { scope: "col", class: column.text ? "figure" : null }, button);
  });
  const fill = () => {
    heads.forEach((head, i) => {
      const direction = order.up ? "ascending" : "descending";
      head.setAttribute("aria-sort", order.column === i ? direction : "none");
    });
    const { column, up } = order;
    const inOrder = column === null ? rows : sortedRows(rows, columns[column].value, up);
    body.replaceChildren(...inOrder.map((row) => drawRow(columns, row, { onrow, mark })));
  };
  fill();
  const head = element("thead", {}, element("tr", {}, ...heads));
  container.replaceChildren(element("table", { class: "sortable" }, head, body));
}

function drawRow(columns, row, { onrow, mark }) {
  const cells = columns.map((column, i) => {
    const value = column.value(row);
    const text = column.text ? column.text(value) : String(value);
    if (i > 0) {
      const kind = [column.text && "figure", column.best?.(row) && "best"].filter(Boolean);
      return element("td", { class: kind.join(" ") || null }, text);
    }
    // A button, so that the keyboard can reach it.
    const inner = onrow ? element("button", { type: "button" }, text) : text;
    return element("th", { scope: "row" }, inner);
  });
  const attributes = { class: mark?.(row), onclick: onrow && (() => onrow(row)) };
  return element("tr", onrow ? attributes : { class: attributes.class }, ...cells);
}

// Rows that were not measured come last in both directions.
function sortedRows(rows, value, up) {
  const missing = (row) => value(row) === null || value(row) === undefined;
  const compare = (a, b) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const [first, second] = up ? [value(a), value(b)] : [value(b), value(a)];
    if (typeof first === "string") return first.localeCompare(second, "en", { numeric: true });
    return first < second ? -1 : first > second ? 1 : 0;
  };
  return [...rows].sort(compare);
}

function startTables() {
  watch(["protocol", "metric", "rate"], renderOverview);
  watch(["picture"], markOverview);
  watch(["picture", "protocol"], renderPoints);
}

// All pictures at one rate, with a column for each codec.
function renderOverview() {
  const metric = currentMetric();
  const { codecs, samples, short_unit: unit } = currentProtocol();
  const rate = state.rate / samples;
  const rows = PICTURE_NAMES.map((picture) => {
    const points = pointsOf(picture);
    const values = codecs.map((codec) =>
      interpolated(points.filter((p) => p.codec === codec), metric, rate),
    );
    return { picture, values, best: Math.max(...values.filter((v) => v !== null)) };
  });
  document.getElementById("overview-title").textContent =
    `All pictures: ${nameOf(metric)} at ${numberText(rate, 3)} ${unit}, protocol ${state.protocol}`;
  document.getElementById("overview-note").textContent =
    "Interpolated between measured points over the logarithm of the rate; – is outside the " +
    "measured range. The highest value of a picture is bold. Click a row to select its picture.";
  const columns = [
    { title: "Picture", value: (row) => row.picture },
    ...codecs.map((codec, i) => ({
      title: displayName(codec),
      value: (row) => row.values[i],
      text: (value) => valueText(value, metric),
      best: (row) => row.values[i] !== null && row.values[i] === row.best,
    })),
  ];
  drawTable(document.getElementById("overview"), columns, rows, {
    onrow: (row) => update({ picture: row.picture }),
    mark: (row) => (row.picture === state.picture ? "chosen" : null),
  });
}

function markOverview() {
  for (const row of document.querySelectorAll("#overview tbody tr")) {
    row.classList.toggle("chosen", row.firstChild.textContent === state.picture);
  }
}

// Every measured point of the selected picture.
function renderPoints() {
  const { codecs, metrics, short_unit: unit } = currentProtocol();
  const fixed = (digits) => (value) => numberText(value, digits);
  const columns = [
    { title: "Codec", value: (p) => displayName(p.codec) },
    { title: "Quality", value: (p) => p.quality, text: String },
    { title: "Bytes", value: (p) => p.bytes, text: integerText },
    { title: unit, value: (p) => rateOf(p), text: fixed(4) },
    ...metrics.flatMap(metricColumns),
    { title: "Encode, s", value: (p) => p.encode_seconds, text: fixed(2) },
    { title: "Decode, s", value: (p) => p.decode_seconds, text: fixed(2) },
  ];
  const points = pointsOf(state.picture).sort(
    (a, b) => codecs.indexOf(a.codec) - codecs.indexOf(b.codec) || a.bpp - b.bpp,
  );
  document.getElementById("points-title").textContent =
    `${state.picture}: all ${points.length} measured points, protocol ${state.protocol}`;
  drawTable(document.getElementById("points"), columns, points);
}

// A metric with two scales has a column for each.
function metricColumns(metric) {
  const text = (value) => valueText(value, metric);
  const column = { title: titleOf(metric), value: (p) => valueOf(p, metric), text };
  if (!metric.decibels) return [column];
  const raw = (value) => numberText(value, 4);
  return [{ title: metric.name, value: (p) => p[metric.field], text: raw }, column];
}
