// Starts all parts of the page.

function startDrillDown() {
  const names = Object.keys(DATA.protocols);
  const protocols = document.getElementById("protocols");
  fillChoice(protocols, "protocol", names.map((name) => [name, name]));
  // A single protocol needs no choice; the titles name it.
  protocols.parentElement.hidden = names.length < 2;
  watch(["protocol"], fillMetrics);
  watch(["protocol", "metric"], checkMetric);
  bindSelect("picture", "picture", PICTURE_NAMES);
  bindSelect("overview-rate", "rate", OVERVIEW_RATES, (rate) => `${rate} bpp`);
  startChart();
  startTables();
}

function fillMetrics() {
  const choices = currentProtocol().metrics.map(({ key, name }) => [key, name]);
  addRadios(document.getElementById("metrics"), "metric", choices);
}

function checkMetric() {
  checkRadio(document.getElementById("metrics"), currentMetric().key);
}

// A <select> for the values of one entry of the state.
function bindSelect(id, name, values, text = String) {
  const select = document.getElementById(id);
  const choices = values.map((value) => ({ value, text: text(value) }));
  fillSelect(select, choices, state[name]);
  select.addEventListener("change", () => {
    update({ [name]: values.find((value) => String(value) === select.value) });
  });
  watch([name], () => (select.value = String(state[name])));
}

function openDetailsInPrint() {
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
}

function start() {
  const found = readHash();
  Object.assign(state, defaults(), found ?? {});
  const comparison = document.getElementById("comparison");
  if (comparison) startComparison();
  if (document.getElementById("drill-down")) startDrillDown();
  for (const { render } of watchers) render();
  window.addEventListener("hashchange", () => update(readHash() ?? {}));
  openDetailsInPrint();
  // A link with a state leads to the part that shows it.
  if (found) (comparison ?? document.getElementById("drill-down"))?.scrollIntoView();
}

start();
