"use strict";
// The studio's page: what is in the folder, what was learnt from it, and changes to it.

const SHOWN_THUMBS = innerWidth < 500 ? 16 : 48; // of a class, until all are asked for
const NOTHING_YET = "Make two classes, and give each some photographs: files, or what the camera sees.";
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

async function sendPhotographs(label, files, burst = "") {
  const some = [...files].filter((file) => file.size);
  for (let begin = 0; begin < some.length; begin += 8) {
    const form = new FormData();
    for (const file of some.slice(begin, begin + 8)) form.append("files", file, file.name);
    const where = new URLSearchParams({ label, ...(burst ? { burst } : {}) });
    try {
      const answer = await (await ask("/api/photographs?" + where, { method: "POST", body: form })).json();
      draw(answer);
      const left = some.length - begin - 8;
      const refused = answer.refused.map((one) => one.path + ": " + one.reason).join("; ");
      say(refused ? "Left out: " + refused : left > 0 ? many(left, "photograph") + " to go" : "");
    } catch (error) {
      say("Not added: " + error.message);
      return;
    }
  }
}

// Shows a state, unless a newer one is shown already.
function draw(found) {
  if (state && found.version < state.version) return;
  state = found;
  $("access").hidden = true;
  $("studio").hidden = false;
  const learning = found.done < found.total ? "; looking at photographs, " + found.done + " of " + found.total : "";
  const learnt = found.learnt_from
    ? ". Learnt from " + many(found.learnt_from, "photograph") + " in " + Math.round(1000 * found.solve_seconds) + " ms"
    : ". Two classes with photographs are needed to learn";
  $("about").textContent = found.error || "Folder " + found.folder + learnt + learning + ".";
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
      .then((one) => one.image, () => { thumbs.delete(key); return ""; }));
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
  if (!figures || figures.classes.length > 12) return;
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
      const busy = state.done < state.total || (state.learnt_from && state.figures_of < state.version);
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
  if (await change("/api/classes", { name: $("new-name").value })) $("new-name").value = "";
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
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
