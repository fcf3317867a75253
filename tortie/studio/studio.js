"use strict";
// The studio's page: what is in the folder, what was learnt from it, and changes to it.

const SHOWN_THUMBS = innerWidth < 500 ? 16 : 48; // of a class, until all are asked for
const NOTHING_YET = "Make two classes, and give each some photographs: files, or what the camera sees.";
const MOST_FILES = 8; // in a request, so that what is added is soon seen
const MOST_BYTES = Number(document.body.dataset.mostBytes); // in a request
const PART = 512; // bytes of a form around a file, but for its name
const MOST_CONFUSED = 12; // classes whose confusion has room on the page
let token = "";
let state = null;
const chosen = new Set();
const thumbs = new Map(); // by key: a promise of its small image
const opened = new Set(); // classes of which all photographs are shown

const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
const many = (count, word) => count.toLocaleString("en") + " " + word + (count === 1 ? "" : "s");

// What the server answers; throws its reason where it refuses.
async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(token ? { Authorization: "Bearer " + token } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("the server does not answer");
  }
  if (response.status === 401) askForToken();
  if (response.ok) return response;
  throw new Error((await response.json()).error);
}

const post = async (path, asked) => (await ask(path, {
  method: "POST", body: JSON.stringify(asked), headers: { "Content-Type": "application/json" },
})).json();

// Runs a change, shows what it came to, or why it was refused.
async function change(path, asked) {
  try {
    draw(await post(path, asked));
    return true;
  } catch (error) {
    say("Not done: " + error.message);
    return false;
  }
}

function askForToken() {
  $("wrong").textContent = token ? "The server knows another token." : "";
  $("access").hidden = false;
  $("studio").hidden = true;
  $("token").focus();
}

// Files in requests that the server takes: by their number and by their bytes.
function batches(files) {
  const found = [];
  let bytes = Infinity;
  for (const file of files) {
    const own = file.size + PART + 3 * file.name.length;
    if (bytes + own > MOST_BYTES || found.at(-1).length === MOST_FILES) {
      found.push([]);
      bytes = PART;
    }
    found.at(-1).push(file);
    bytes += own;
  }
  return found;
}

// Why a file need not be sent; "" where it can be.
async function whyNot(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    return "cannot be read"; // a folder, or a file that went
  }
  if (!file.size) return "empty";
  const most = (MOST_BYTES / 2 ** 20).toLocaleString("en");
  return file.size + 2 * PART + 3 * file.name.length > MOST_BYTES ? "over the limit of " + most + " MiB" : "";
}

// Adds files to a class, in as many requests as it takes, and says in the end what was left out.
async function sendPhotographs(label, files, burst = "") {
  const leftOut = [];
  const some = [];
  for (const file of [...files]) {
    const reason = await whyNot(file);
    if (reason) leftOut.push(file.name + ": " + reason);
    else some.push(file);
  }
  const where = new URLSearchParams({ label, ...(burst ? { burst } : {}) });
  let added = 0, left = some.length;
  for (const batch of batches(some)) {
    const form = new FormData();
    for (const file of batch) form.append("files", file, file.name);
    left -= batch.length;
    try {
      const answer = await (await ask("/api/photographs?" + where, { method: "POST", body: form })).json();
      draw(answer);
      added += batch.length - answer.refused.length;
      leftOut.push(...answer.refused.map((one) => one.path + ": " + one.reason));
    } catch (error) {
      leftOut.push((batch.length === 1 ? batch[0].name : many(batch.length, "photograph")) + ": " + error.message);
    }
    const words = [left ? many(left, "photograph") + " to go" : burst ? "" : many(added, "photograph") + " added",
      leftOut.length ? "Left out: " + leftOut.join("; ") : ""].filter(Boolean);
    if (words.length) say(words.join(". ") + ".");
  }
  if (!some.length && leftOut.length) say("Left out: " + leftOut.join("; ") + ".");
}

// Shows a state, unless a newer one is shown already.
function draw(found) {
  if (state && found.version < state.version) return;
  state = found;
  $("access").hidden = true;
  $("studio").hidden = false;
  const ready = found.ready || found.error ? "" : " Getting ready: the first photograph may take some seconds.";
  const learning = found.done < found.total ? "; looking at photographs, " + found.done + " of " + found.total : "";
  const learnt = found.learnt_from
    ? ". Learnt from " + many(found.learnt_from, "photograph") + " in " + Math.round(1000 * found.solve_seconds) + " ms"
    : ". Two classes with photographs are needed to learn";
  $("about").textContent = found.error || "Folder " + found.folder + learnt + learning + "." + ready;
  for (const button of document.querySelectorAll("[data-file], #report")) button.disabled = !found.learnt_from;
  drawClasses(found);
  drawFigures(found);
  drawFindings(found);
  drawChosen();
  if (typeof drawLabels === "function") drawLabels();
}

function drawClasses(found) {
  const holder = $("classes");
  const cards = new Map([...holder.children].map((card) => [card.dataset.name, card]));
  const doubted = new Set(found.findings.flatMap((one) => (one.severity === "note" ? [] : one.keys)));
  for (const { name, photographs } of found.classes) {
    const card = cards.get(name) || makeCard(name);
    cards.delete(name);
    holder.append(card);
    card.querySelector(".count").textContent = many(photographs.length, "photograph");
    const shown = opened.has(name) ? photographs : photographs.slice(0, SHOWN_THUMBS);
    const list = card.querySelector(".thumbs");
    const before = new Map([...list.children].map((item) => [item.dataset.key, item]));
    const items = shown.map(({ key, reason }, i) => {
      const item = before.get(key) || makeThumb(key);
      const button = item.firstElementChild;
      button.setAttribute("aria-label", "Photograph " + (i + 1) + " of " + name + (reason ? ", " + reason : ""));
      button.classList.toggle("doubt", Boolean(reason) || doubted.has(key));
      button.title = reason || "";
      return item;
    });
    list.replaceChildren(...items);
    const more = card.querySelector(".more");
    more.hidden = shown.length === photographs.length;
    more.textContent = "Show all " + photographs.length.toLocaleString("en");
  }
  for (const card of cards.values()) card.remove();
}

function makeCard(name) {
  const card = $("class").content.firstElementChild.cloneNode(true);
  card.dataset.name = name;
  card.setAttribute("aria-label", "Class " + name);
  const field = card.querySelector(".name");
  field.value = name;
  field.addEventListener("change", async () => {
    if (field.value !== name && !(await change("/api/classes/rename", { name, to: field.value })))
      field.value = name;
  });
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") goOn(card); });
  const files = card.querySelector("input[type=file]");
  files.addEventListener("change", async () => {
    await sendPhotographs(name, files.files);
    files.value = "";
  });
  card.querySelector(".remove").addEventListener("click", () => {
    if (confirm("Move " + name + " and its photographs to .removed?"))
      change("/api/classes/remove", { name });
  });
  card.querySelector(".more").addEventListener("click", () => { opened.add(name); draw(state); });
  card.addEventListener("dragover", (event) => { event.preventDefault(); card.classList.add("over"); });
  card.addEventListener("dragleave", () => card.classList.remove("over"));
  card.addEventListener("drop", (event) => {
    event.preventDefault();
    card.classList.remove("over");
    sendPhotographs(name, event.dataTransfer.files);
  });
  holdForCamera(card.querySelector(".hold"), name);
  return card;
}

// Leaves a field whose name is given: keys label photographs, or the next thing is to add some.
function goOn(card) {
  ($("label").hidden ? card.querySelector("input[type=file]") : $("label")).focus();
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    smallImage(target.dataset.key).then((source) => { if (source) target.querySelector("img").src = source; });
  }
}, { rootMargin: "200px" });

function smallImage(key) {
  if (!thumbs.has(key))
    thumbs.set(key, ask("/api/thumbnail/" + key).then((one) => one.json())
      .then((one) => one.image, () => "")
      .then((image) => { if (!image) thumbs.delete(key); return image; }));
  return thumbs.get(key);
}

function makeThumb(key) {
  const item = document.createElement("li");
  item.dataset.key = key;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "thumb";
  button.dataset.key = key;
  button.setAttribute("aria-pressed", String(chosen.has(key)));
  const image = document.createElement("img");
  image.alt = "";
  button.append(image);
  button.addEventListener("click", () => {
    if (!chosen.delete(key)) chosen.add(key);
    drawChosen();
  });
  item.append(button);
  seen.observe(button);
  return item;
}

function drawChosen() {
  const there = new Set(state.classes.flatMap((one) => one.photographs.map((own) => own.key)));
  for (const key of chosen) if (!there.has(key)) chosen.delete(key);
  for (const button of document.querySelectorAll(".thumb"))
    button.setAttribute("aria-pressed", String(chosen.has(button.dataset.key)));
  $("chosen").hidden = !chosen.size;
  $("chosen-count").textContent = many(chosen.size, "photograph") + " chosen";
  fillClasses($("chosen-class"));
}

function fillClasses(select) {
  const names = state.classes.map((one) => one.name);
  if (names.join("\n") === [...select.options].map((one) => one.value).join("\n")) return;
  const before = select.value;
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(before)) select.value = before;
}

function drawFigures(found) {
  const figures = found.figures;
  const own = figures.accuracy;
  const pending = found.figures_of < found.version;
  $("accuracy").textContent = own ? "Accuracy " + percent(own.value) : "Accuracy not known yet";
  $("accuracy-more").textContent = (own
    ? "95% interval " + percent(own.low) + " to " + percent(own.high) + ", " + figures.on + " on " +
      many(own.photographs, "photograph") +
      (own.n < own.photographs - 0.5 ? " that count as " + Math.round(own.n) + " (bursts and copies count once)" : "") +
      "; always saying " + figures.baseline.label + ": " + percent(figures.baseline.value)
    : sentence(figures.reason) || (found.learnt_from ? "" : NOTHING_YET)) + (pending && found.learnt_from ? " (being measured anew …)" : "");
  $("trust").textContent = own ? figures.trust : "";
  $("next-title").hidden = !(figures.next || []).length;
  $("next").replaceChildren(...(figures.next || []).map(lineOf));
  $("notes").hidden = !(figures.notes || []).length;
  $("notes").querySelector("ul").replaceChildren(...(figures.notes || []).map(lineOf));
  drawConfusion(own ? figures : null);
}

function sentence(text) {
  return text && text[0].toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
}

function lineOf(text) {
  const line = document.createElement("li");
  line.textContent = text;
  return line;
}

function drawConfusion(figures) {
  $("confusion").textContent = "";
  if (!figures) return;
  if (figures.classes.length > MOST_CONFUSED) {
    const text = "Confusion: shown here for up to " + MOST_CONFUSED + " classes; Open report shows that of all " +
      figures.classes.length + ".";
    return $("confusion").append(Object.assign(document.createElement("p"), { className: "soft", textContent: text }));
  }
  const table = document.createElement("table");
  const add = (row, kind, text) => { row.append(Object.assign(document.createElement(kind), { textContent: text })); };
  const caption = document.createElement("p"); // as wide as the panel: a table's own is as wide as the table
  caption.id = "confusion-caption";
  caption.className = "soft";
  caption.textContent = "Confusion: a row is what it is, a column what it is taken for";
  table.setAttribute("aria-labelledby", caption.id);
  const head = table.insertRow();
  for (const name of ["", ...figures.classes]) add(head, "th", name);
  figures.confusion.forEach((counts, i) => {
    const row = table.insertRow();
    add(row, "th", figures.classes[i]);
    counts.forEach((count, j) => {
      add(row, "td", Math.abs(count - Math.round(count)) < 0.05 ? Math.round(count) : count.toFixed(1));
      row.lastChild.className = i === j ? "right" : count > 0.05 ? "wrong" : "";
    });
  });
  $("confusion").append(caption, table);
}

function drawFindings(found) {
  const text = JSON.stringify(found.findings);
  if ($("findings").dataset.shown === text) return;
  $("findings").dataset.shown = text;
  $("found").hidden = !found.findings.length;
  $("findings").replaceChildren(...found.findings.map((one) => {
    const item = document.createElement("li");
    item.className = "card";
    const title = document.createElement("h3");
    title.textContent = one.title;
    const detail = document.createElement("p");
    detail.textContent = one.detail;
    const list = document.createElement("ul");
    list.className = "thumbs";
    list.append(...one.keys.slice(0, 12).map(makeThumb));
    for (const [i, button] of [...list.querySelectorAll(".thumb")].entries())
      button.setAttribute("aria-label", one.title + ", photograph " + (i + 1));
    item.append(title, detail, list);
    if (one.keys.length) item.append(actionsOn(one.keys));
    return item;
  }));
}

// Buttons that choose a finding's photographs, of which some can then be moved or removed.
function actionsOn(keys) {
  const line = document.createElement("p");
  line.className = "line";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain";
  button.textContent = keys.length === 1 ? "Choose it" : keys.length === 2 ? "Choose both" : "Choose all " + keys.length;
  button.addEventListener("click", () => { for (const key of keys) chosen.add(key); drawChosen(); });
  line.append(button);
  return line;
}

async function download(address) {
  say("The file is being made …");
  try {
    const response = await ask(address);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = response.headers.get("Content-Disposition").split('"')[1];
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say(link.download + " is in your downloads.");
  } catch (error) {
    say("Not made: " + error.message);
  }
}

// Asks for the state while something is being computed, and now and then.
async function watch() {
  let quick = 0;
  for (;;) {
    try {
      const before = state && state.figures_of;
      draw(await (await ask("/api/state")).json());
      const busy = !(state.ready || state.error) || state.done < state.total || (state.learnt_from && state.figures_of < state.version);
      if (busy || state.figures_of !== before) quick = 10; // findings follow figures
    } catch (error) {
      if (!$("access").hidden) return;
      $("about").textContent = "Not known: " + error.message + ".";
    }
    await sleep(quick-- > 0 ? 0.5 : 4);
  }
}

$("new").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("new-name").value;
  if (!(await change("/api/classes", { name }))) return;
  $("new-name").value = "";
  goOn([...$("classes").children].find((card) => card.dataset.name === name.trim().normalize()) || $("classes").lastElementChild);
});
$("chosen").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await change("/api/move", { keys: [...chosen], label: $("chosen-class").value })) $("chosen-none").click();
});
$("chosen-remove").addEventListener("click", async () => {
  if (await change("/api/remove", { keys: [...chosen] })) say("They are in the folder's .removed.");
});
$("chosen-none").addEventListener("click", () => { chosen.clear(); drawChosen(); });
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  watch();
});
for (const button of document.querySelectorAll("[data-file]"))
  button.addEventListener("click", () => download(button.dataset.file));
$("report").addEventListener("click", () => {
  if (token) download("/api/report"); // a tab of its own would come without the token
  else window.open("/api/report", "_blank", "noopener");
});
window.addEventListener("focus", () => { if (state) change("/api/look", {}); });
$("said-close").addEventListener("click", () => say(""));
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
