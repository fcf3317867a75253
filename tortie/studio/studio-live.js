"use strict";
// The studio's camera, its test area, and photographs to label. Runs after studio.js.

const EVERY = 0.2; // seconds between two photographs of a burst
const SIDE = 1280; // pixels of a photograph's longer side
const TRIED = 640; // of a picture that is only tried
let living = false;

async function openCamera() {
  if (camera.stream) return true;
  $("camera-panel").hidden = false;
  try {
    await camera.open($("view"));
    return true;
  } catch (error) {
    closeCamera();
    say("No camera: " + error.message);
    return false;
  }
}

function closeCamera() {
  camera.close();
  living = false;
  $("live").setAttribute("aria-pressed", "false");
  $("camera-panel").hidden = true;
}

// A button that takes photographs as long as it is held; all of them are one burst.
function holdForCamera(button, label) {
  let hold = null; // the one under way: a new one may begin before the last has seen its end

  async function begin() {
    if (hold) return;
    const own = (hold = {});
    button.classList.add("held");
    const burst = Date.now().toString(36) + Math.random().toString(36).slice(2, 6);
    const taken = [];
    let sent = Promise.resolve();
    const send = (some) => { sent = sent.then(() => sendPhotographs(label, some, burst)); };
    if (await openCamera()) {
      do {
        const file = await camera.frame(SIDE);
        if (file) taken.push(file);
        if (taken.length >= 4) send(taken.splice(0));
        await sleep(EVERY);
      } while (hold === own);
    }
    if (taken.length) send(taken);
    await sent;
  }

  function end() {
    hold = null;
    button.classList.remove("held");
  }

  button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); begin(); });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) button.addEventListener(kind, end);
  button.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    begin();
  });
  button.addEventListener("keyup", end);
  button.addEventListener("contextmenu", (event) => event.preventDefault());
}

async function tryPhotograph(file) {
  const form = new FormData();
  form.append("file", file, file.name);
  const [answer] = await (await ask("/predict", { method: "POST", body: form })).json();
  $("answer-label").textContent = answer.label || "";
  const notes = answer.reason ? [answer.reason] : remarks(answer, state.strange_percentile);
  $("answer-note").hidden = !notes.length;
  $("answer-note").textContent = notes.join(". ");
  drawBars($("answer-bars"), Object.entries(answer.probabilities || {}));
}

async function live() {
  while (living && camera.stream) {
    const file = state.learnt_from ? await camera.frame(TRIED) : null;
    try {
      if (file) await tryPhotograph(file);
      else $("answer-label").textContent = "Two classes are needed";
    } catch (error) {
      say("Not tried: " + error.message);
      await sleep(1);
    }
    await sleep(0.15);
  }
}

$("live").addEventListener("click", async () => {
  if (living) return closeCamera();
  if (!(await openCamera())) return;
  living = true;
  $("live").setAttribute("aria-pressed", "true");
  live();
});
$("camera-close").addEventListener("click", closeCamera);
$("try").addEventListener("change", async () => {
  for (const file of $("try").files) await tryPhotograph(file).catch((error) => say("Not tried: " + error.message));
  $("try").value = "";
});

// ---- photographs to label, the most worthwhile first

const queue = [];
const later = new Set();
let asking = false;

async function offer() {
  if (asking) return;
  asking = true;
  try {
    while (queue.length && later.has(queue[0])) queue.shift();
    if (!queue.length) {
      const found = await (await ask("/api/unlabelled")).json();
      const fresh = found.keys.filter((key) => !later.has(key));
      if (!fresh.length) later.clear();
      queue.push(...(fresh.length ? fresh : found.keys));
      tellLeft(found.left);
      $("label").hidden = !found.left;
    }
    if (queue.length) $("label-image").src = (await smallImage(queue[0])) || "data:,";
  } catch (error) {
    say("Not offered: " + error.message);
  }
  asking = false;
}

function tellLeft(count) {
  $("label-left").textContent = many(count, "photograph") + " without a label; the most worthwhile first";
}

async function labelAs(name) {
  if (!queue.length || asking) return;
  asking = true; // a key that is pressed meanwhile is not for a photograph that is not shown yet
  const done = await change("/api/label", { keys: [queue[0]], label: name });
  asking = false;
  if (!done) return;
  queue.shift();
  if (queue.length < 6) queue.length = 0; // what was learnt since may ask for others
  offer();
}

function drawLabels() {
  if (!$("label").hidden) tellLeft(state.left);
  const keys = $("label-keys");
  const names = state.classes.map((one) => one.name).slice(0, 9);
  if (keys.dataset.names === names.join("\n")) return;
  keys.dataset.names = names.join("\n");
  keys.replaceChildren(...names.map((name, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    const key = document.createElement("kbd");
    key.textContent = i + 1;
    button.append(key, name);
    button.addEventListener("click", () => labelAs(name));
    return button;
  }));
}

document.addEventListener("keydown", (event) => {
  if ($("label").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=file]), select, textarea")) return;
  const name = state && state.classes[Number(event.key) - 1];
  if (event.key >= "1" && event.key <= "9" && name) labelAs(name.name);
  if (event.key === "0" && queue.length) { later.add(queue.shift()); offer(); }
});

watch();
offer();
