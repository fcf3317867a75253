"use strict";
// Sends photographs to /predict of the server that this page came from, and shows what it answers.

const SHOWN = 5; // classes
const AT_ONCE = 2; // requests, so that one page leaves room for others
const $ = (id) => document.getElementById(id);
const percent = (share) => (100 * share).toFixed(1) + "%";
let token = "";
let strange = 99;
const queue = [];
let running = 0;

const headers = () => (token ? { Authorization: "Bearer " + token } : {});
const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
const say = (text) => { $("said").textContent = text; };

async function begin() {
  for (;;) {
    let response;
    try {
      response = await fetch("/model", { headers: headers() });
    } catch {
      $("about").textContent = "The server does not answer.";
      await sleep(2);
      continue;
    }
    if (response.status === 401) return askForToken();
    if (response.status === 503) { await sleep(0.5); continue; }
    return describe(await response.json());
  }
}

function askForToken() {
  $("wrong").textContent = token ? "The server knows another token." : "";
  $("about").textContent = "This server asks for a token.";
  $("access").hidden = false;
  $("give").hidden = true;
  $("token").focus();
}

function describe(model) {
  $("access").hidden = true;
  $("give").hidden = false;
  strange = model.strange_percentile;
  document.title = $("name").textContent = model.name;
  const many = model.classes.length;
  const named = model.classes.slice(0, 8).join(", ") + (many > 8 ? " and " + (many - 8) + " more" : "");
  const own = model.accuracy;
  const worth = own
    ? "Accuracy " + percent(own.value) + " (95% interval " + percent(own.low) + " to " + percent(own.high) +
      ") on " + (own.photographs || own.n).toLocaleString("en") + " photographs (" + own.on + ")."
    : "No accuracy: " + (model.accuracy_reason || "it was not measured") + ".";
  $("about").textContent = "It knows " + named + ". " + worth;
}

function take(files) {
  const images = [...files].filter((file) => file.size);
  if (!images.length) return;
  for (const file of images) {
    const item = $("answer").content.firstElementChild.cloneNode(true);
    const picture = item.querySelector(".photograph");
    const address = URL.createObjectURL(file);
    picture.onload = picture.onerror = () => URL.revokeObjectURL(address);
    picture.src = address;
    picture.alt = "Photograph " + file.name;
    item.querySelector(".name bdi").textContent = file.name;
    item.querySelector(".label").textContent = "Waiting …";
    $("answers").prepend(item);
    queue.push({ file, item });
  }
  say(images.length === 1 ? "One photograph is sent." : images.length + " photographs are sent.");
  pump();
}

function pump() {
  while (running < AT_ONCE && queue.length) {
    running += 1;
    const { file, item } = queue.shift();
    classify(file, item).finally(() => { running -= 1; pump(); });
  }
}

async function classify(file, item) {
  for (;;) {
    const form = new FormData();
    form.append("file", file, file.name);
    let response, body;
    try {
      response = await fetch("/predict?activation_map=true", { method: "POST", body: form, headers: headers() });
      body = await response.json();
    } catch {
      return fail(item, "The server does not answer");
    }
    if (response.status === 503) {
      await sleep(Number(response.headers.get("Retry-After")) || 1);
      continue;
    }
    if (response.status === 401) askForToken();
    if (!response.ok) return fail(item, body.error);
    return show(item, body[0]);
  }
}

function fail(item, reason) {
  item.querySelector(".label").textContent = "No answer";
  note(item, reason);
  say(item.querySelector(".name bdi").textContent + ": no answer, " + reason);
}

function note(item, text) {
  const line = item.querySelector(".note");
  line.textContent = [line.textContent, text].filter(Boolean).join(". ");
  line.hidden = false;
}

function show(item, answer) {
  const title = answer.rejected ? "Not sure" : answer.label;
  item.querySelector(".label").textContent = title;
  if (answer.rejected) note(item, "Rejected: no class is probable enough");
  const far = answer.novelty_percentile;
  if (far !== null && far >= strange) {
    const few = far >= 99.95 ? "none" : "fewer than 1 in 100";
    note(item, "Unlike its training photographs: " + few + " of them lies so far from the others");
  }
  const bars = item.querySelector(".bars");
  for (const [name, share] of Object.entries(answer.probabilities)
    .sort((a, b) => b[1] - a[1]).slice(0, SHOWN)) {
    const row = document.createElement("li");
    const text = document.createElement("div");
    text.className = "text";
    const label = document.createElement("bdi");
    label.textContent = name;
    const number = document.createElement("span");
    number.textContent = percent(share);
    text.append(label, " ", number);
    const track = document.createElement("div");
    track.className = "track";
    track.setAttribute("aria-hidden", "true");
    const fill = document.createElement("i");
    fill.style.width = percent(share);
    track.append(fill);
    row.append(text, track);
    bars.append(row);
  }
  if (answer.activation_map) {
    const figure = item.querySelector(".where");
    figure.querySelector(".saw").src = answer.activation_map.image;
    figure.querySelector(".saw").alt = "What the network saw, and where it looked";
    figure.querySelector(".heat").src = answer.activation_map.heat;
    figure.hidden = false;
  }
  const name = item.querySelector(".name bdi").textContent;
  say(name + ": " + title + (answer.rejected ? "" : ", " + percent(answer.probability)) +
    (item.querySelector(".note").textContent ? ". " + item.querySelector(".note").textContent : ""));
}

function dropped(event) {
  event.preventDefault();
  $("give").classList.remove("over");
  if (event.dataTransfer) take(event.dataTransfer.files);
}

let stream = null;

async function openCamera() {
  if (!navigator.mediaDevices) {
    say("No camera: browsers allow it on this machine's own address and over HTTPS only.");
    return;
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    say("No camera: " + error.message);
    return;
  }
  $("view").srcObject = stream;
  $("shooting").hidden = false;
  $("shoot").focus();
}

function closeCamera() {
  for (const track of stream ? stream.getTracks() : []) track.stop();
  stream = null;
  $("shooting").hidden = true;
  $("camera").focus();
}

function shoot() {
  const view = $("view");
  if (!view.videoWidth) return;
  const canvas = document.createElement("canvas");
  canvas.width = view.videoWidth;
  canvas.height = view.videoHeight;
  canvas.getContext("2d").drawImage(view, 0, 0);
  const name = "camera " + new Date().toTimeString().slice(0, 8) + ".jpg";
  canvas.toBlob((blob) => take([new File([blob], name, { type: "image/jpeg" })]), "image/jpeg", 0.92);
}

$("files").addEventListener("change", () => { take($("files").files); $("files").value = ""; });
$("camera").addEventListener("click", openCamera);
$("close").addEventListener("click", closeCamera);
$("shoot").addEventListener("click", shoot);
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  begin();
});
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", (event) => { event.preventDefault(); $("give").classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("give").classList.remove("over"); });
document.addEventListener("drop", dropped);
begin();
