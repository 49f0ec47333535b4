// The slider: two pictures in the same place, separated by a movable line.

const SIDES = ["left", "right"];
const parts = {}; // elements of the page by id
let flipped = false;

function startComparison() {
  const ids = ["stage", "split", "flip", "thumbnails", "rates", "zooms"];
  const ofSides = SIDES.flatMap((s) => [s, `${s}-layer`, `${s}-tag`, `${s}-caption`]);
  for (const id of [...ids, ...ofSides]) parts[id] = document.getElementById(id);

  for (const side of SIDES) {
    parts[side].addEventListener("change", () => update({ [side]: parts[side].value }));
  }
  fillThumbnails();
  fillChoice(parts.rates, "rate", RATES.map((rate) => [rate, String(rate)]));
  fillChoice(parts.zooms, "zoom", ZOOMS.map((zoom) => [zoom, `${zoom}×`]));
  listenToPointers();
  listenToKeys();
  new ResizeObserver(placePictures).observe(parts.stage);

  watch(["picture"], renderThumbnails);
  watch(["picture", "rate", "left", "right"], renderSides);
  watch(["split"], renderSplit);
  watch(["picture", "zoom", "x", "y"], placePictures);
}

// Radio buttons for the values of one entry of the state.
function fillChoice(group, name, choices) {
  addRadios(group, name, choices);
  watch([name], () => checkRadio(group, state[name]));
}

function addRadios(group, name, choices) {
  group.replaceChildren();
  for (const [value, text] of choices) {
    const input = element("input", {
      type: "radio",
      name,
      value,
      onchange: () => update({ [name]: value }),
    });
    group.append(element("label", {}, input, element("span", {}, text)));
  }
}

function checkRadio(group, value) {
  for (const input of group.querySelectorAll("input")) input.checked = input.value === String(value);
}

function fillThumbnails() {
  for (const picture of DATA.pictures) {
    const image = element("img", { src: picture.thumbnail, alt: "", loading: "lazy" });
    const button = element(
      "button",
      { type: "button", onclick: () => update({ picture: picture.name }) },
      image,
      element("span", {}, picture.name),
    );
    button.dataset.picture = picture.name;
    parts.thumbnails.append(button);
  }
}

function renderThumbnails() {
  for (const button of parts.thumbnails.children) {
    button.setAttribute("aria-pressed", button.dataset.picture === state.picture);
  }
}

function renderSides() {
  for (const side of SIDES) {
    fillSelect(parts[side], codecsToChoose(), state[side]);
    renderCaption(side);
    showPicture(side);
  }
  renderSplit();
}

// Choices of a side; a codec without a file near the rate is disabled.
function codecsToChoose() {
  const named = Object.keys(DATA.codecs).filter((codec) =>
    RECONSTRUCTIONS.some((r) => r.codec === codec),
  );
  return [ORIGINAL, ...named].map((codec) => {
    const available = codec === ORIGINAL || reconstructionAt(state.picture, codec, state.rate);
    return { value: codec, text: displayName(codec), disabled: !available };
  });
}

function fillSelect(select, choices, value) {
  const options = choices.map((choice) =>
    element("option", { value: choice.value, disabled: choice.disabled }, choice.text),
  );
  select.replaceChildren(...options);
  select.value = String(value);
}

function renderCaption(side) {
  const codec = state[side];
  const picture = PICTURES.get(state.picture);
  const reconstruction = reconstructionAt(state.picture, codec, state.rate);
  parts[`${side}-tag`].textContent = displayName(codec);
  const lines = [element("h3", {}, displayName(codec))];
  if (codec === ORIGINAL && picture) {
    lines.push(figureTable([["Pixels", `${picture.width} × ${picture.height}`, ""]]));
  } else if (reconstruction) {
    lines.push(figureTable(captionRows(reconstruction)));
  } else {
    lines.push(element("p", { class: "note" }, missingText(codec, picture)));
  }
  parts[`${side}-caption`].replaceChildren(...lines);
}

function captionRows(reconstruction) {
  const { bpp, bytes, psnr, quality, ssimulacra2, target_bpp: target } = reconstruction;
  const percent = Math.round(100 * (number(bpp) / target - 1));
  const sign = percent < 0 ? "−" : "+";
  const difference = percent ? `${sign}${Math.abs(percent)} % compared with ${target}` : "";
  const msSsim = number(reconstruction.ms_ssim);
  const msSsimText = msSsim === null ? "" : `${numberText(msSsimDb(msSsim), 2)} dB`;
  return [
    ["Bits per pixel", numberText(bpp, 4), difference],
    ["Bytes", integerText(bytes), quality === null ? "" : `quality ${quality}`],
    ["PSNR, dB", numberText(number(psnr), 2), ""],
    ["MS-SSIM", numberText(msSsim, 4), msSsimText],
    ["SSIMULACRA2", numberText(number(ssimulacra2), 1), ""],
  ];
}

function figureTable(rows) {
  const cells = rows.map(([name, value, unit]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      element("td", { class: "figure" }, value),
      element("td", {}, unit),
    ),
  );
  return element("table", {}, element("tbody", {}, ...cells));
}

function missingText(codec, picture) {
  if (picture) return `No file of ${state.picture} near ${state.rate} bpp.`;
  return `${state.picture} is not among the compared pictures; its measured points are below.`;
}

// Decodes a picture before showing it, which avoids flicker; only selected pictures are decoded.
async function showPicture(side) {
  const layer = parts[`${side}-layer`];
  const picture = PICTURES.get(state.picture);
  const codec = state[side];
  const isOriginal = codec === ORIGINAL;
  const source = isOriginal ? picture?.original : reconstructionAt(picture?.name, codec, state.rate);
  const uri = source?.uri ?? "";
  if (layer.requestedUri === uri) return;
  layer.requestedUri = uri;
  parts.stage.setAttribute("aria-busy", "true");
  const made = uri ? await decoded(uri, describe(side)) : message("No picture to show.");
  if (layer.requestedUri !== uri) return; // The selection changed meanwhile.
  layer.replaceChildren(made);
  placePictures();
  const shows = (s) => parts[`${s}-layer`].firstChild?.uri === parts[`${s}-layer`].requestedUri;
  layer.firstChild.uri = uri;
  parts.stage.setAttribute("aria-busy", String(!SIDES.every(shows)));
}

async function decoded(uri, alt) {
  const image = element("img", { alt, draggable: "false" });
  image.src = uri;
  try {
    await image.decode();
    return image;
  } catch {
    return message("This browser cannot show AVIF pictures.");
  }
}

function describe(side) {
  const rate = state[side] === ORIGINAL ? "" : ` at ${state.rate} bits per pixel`;
  return `${state.picture}, ${displayName(state[side])}${rate}`;
}

function message(text) {
  return element("p", { class: "missing" }, text);
}

function renderSplit() {
  const { split } = state;
  const [first, second] = flipped ? ["right", "left"] : SIDES;
  parts[`${first}-layer`].style.clipPath = `inset(0 ${100 - split}% 0 0)`;
  parts[`${second}-layer`].style.clipPath = `inset(0 0 0 ${split}%)`;
  parts["left-tag"].textContent = displayName(state[first]);
  parts["right-tag"].textContent = displayName(state[second]);
  parts.split.style.left = `${split}%`;
  parts.split.setAttribute("aria-valuenow", Math.round(split));
  const [left, right] = SIDES.map((side) => displayName(state[side]));
  parts.split.setAttribute(
    "aria-valuetext",
    `${Math.round(split)} % ${left}, ${Math.round(100 - split)} % ${right}`,
  );
}

// Sets the size of the stage and, if zoomed, the position of its pictures.
function placePictures() {
  const picture = PICTURES.get(state.picture);
  if (!picture) return;
  const { stage } = parts;
  stage.style.setProperty("--width", picture.width);
  stage.style.setProperty("--height", picture.height);
  stage.classList.toggle("zoomed", state.zoom > 1);
  const scale = (state.zoom * stage.clientWidth) / picture.width;
  for (const image of stage.querySelectorAll(".layer img")) {
    image.style.width = image.style.height = `${100 * state.zoom}%`;
    image.style.left = `${50 - clamped(state.x) * state.zoom}%`;
    image.style.top = `${50 - clamped(state.y) * state.zoom}%`;
    // Without smoothing, reduced pictures would show aliasing.
    image.style.imageRendering = scale >= 0.999 ? "pixelated" : "auto";
  }
}

// Limits the centre of the zoomed part (percent) so that the picture covers the stage.
function clamped(centre) {
  const margin = 50 / state.zoom;
  return Math.min(Math.max(centre, margin), 100 - margin);
}

function moveSplit(split) {
  update({ split: Math.min(Math.max(Math.round(split * 10) / 10, 0), 100) });
}

function pan(dx, dy) {
  update({ x: clamped(clamped(state.x) + dx), y: clamped(clamped(state.y) + dy) });
}

function listenToPointers() {
  const { stage } = parts;
  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    drag = state.zoom > 1 && event.target !== parts.split ? panWith(event) : splitWith;
    stage.setPointerCapture(event.pointerId);
    if (drag === splitWith) drag(event);
    parts.split.focus({ preventScroll: true, focusVisible: false });
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => drag?.(event));
  for (const name of ["pointerup", "pointercancel"]) {
    stage.addEventListener(name, () => (drag = null));
  }
}

function splitWith(event) {
  const box = parts.stage.getBoundingClientRect();
  moveSplit((100 * (event.clientX - box.left)) / box.width);
}

// Returns a function that pans by the pointer's movement since the last event.
function panWith(start) {
  let [lastX, lastY] = [start.clientX, start.clientY];
  return (event) => {
    const { width, height } = parts.stage.getBoundingClientRect();
    const percent = 100 / state.zoom;
    pan((percent * (lastX - event.clientX)) / width, (percent * (lastY - event.clientY)) / height);
    [lastX, lastY] = [event.clientX, event.clientY];
  };
}

const ARROWS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

function listenToKeys() {
  parts.split.addEventListener("keydown", (event) => {
    if (moveByKey(event)) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("select, textarea");
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key.toLowerCase() === "f" && plain && !typing) setFlipped(true);
  });
  document.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "f") setFlipped(false);
  });
  // Releasing a key or pointer outside the window sends no event here.
  window.addEventListener("blur", () => setFlipped(false));
  parts.flip.addEventListener("pointerdown", () => setFlipped(true));
  for (const name of ["pointerup", "pointerleave", "pointercancel"]) {
    parts.flip.addEventListener(name, () => setFlipped(false));
  }
}

function moveByKey(event) {
  const arrow = ARROWS[event.key];
  if (event.shiftKey && arrow) {
    pan((8 * arrow[0]) / state.zoom, (8 * arrow[1]) / state.zoom);
    return true;
  }
  const { split } = state;
  // The up arrow increases the value, as is usual for sliders.
  if (arrow) moveSplit(split + arrow[0] - arrow[1]);
  else if (event.key === "PageUp") moveSplit(split + 10);
  else if (event.key === "PageDown") moveSplit(split - 10);
  else if (event.key === "Home") moveSplit(0);
  else if (event.key === "End") moveSplit(100);
  else return false;
  return true;
}

function setFlipped(value) {
  if (flipped === value) return;
  flipped = value;
  parts.stage.classList.toggle("flipped", flipped);
  renderSplit();
}
