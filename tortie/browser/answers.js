"use strict";
// The list of photographs and what a classifier says of each: probabilities as bars, and notes.

const SHOWN = 5; // classes
const $ = (id) => document.getElementById(id);
const percent = (share) => (100 * share).toFixed(1) + "%";
// A probability: never 0 or 100%, which no classifier can give.
const probable = (share) => (share >= 0.9995 ? ">99.9%" : share < 0.0005 ? "<0.1%" : percent(share));
const say = (text) => { $("said").textContent = text; };

// Shows a file as waiting for its answer, at the head of the list.
function addItem(file) {
  const item = $("answer").content.firstElementChild.cloneNode(true);
  const picture = item.querySelector(".photograph");
  const address = URL.createObjectURL(file);
  picture.onload = () => URL.revokeObjectURL(address);
  picture.onerror = () => {
    URL.revokeObjectURL(address);
    const none = document.createElement("p"); // this browser cannot show it
    none.className = "unshown soft";
    none.textContent = "No preview";
    picture.replaceWith(none);
  };
  picture.src = address;
  picture.alt = "Photograph " + file.name;
  item.querySelector(".name bdi").textContent = file.name;
  item.querySelector(".label").textContent = "Waiting …";
  $("answers").prepend(item);
  return item;
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

// Fills a <ul class="bars"> with [name, share] pairs, the most probable first.
function drawBars(bars, pairs, shown = SHOWN) {
  bars.textContent = "";
  for (const [name, share] of [...pairs].sort((a, b) => b[1] - a[1]).slice(0, shown)) {
    const row = document.createElement("li");
    const text = document.createElement("div");
    text.className = "text";
    const label = document.createElement("bdi");
    label.textContent = name;
    const number = document.createElement("span");
    number.textContent = probable(share);
    text.append(label, " ", number);
    const track = document.createElement("div");
    track.className = "track";
    track.setAttribute("aria-hidden", "true");
    const fill = document.createElement("i");
    fill.style.width = 100 * share + "%";
    track.append(fill);
    row.append(text, track);
    bars.append(row);
  }
}

// What to say of an answer beside its bars: rejected, or unlike what the classifier learnt from.
function remarks(answer, strange) {
  const found = [];
  if (answer.rejected) found.push("Rejected: no class is probable enough");
  const far = answer.novelty_percentile;
  if (far !== null && strange !== null && far >= strange) {
    const most = far >= 99.95 ? "any" : far >= 99 ? "99 in 100" : "19 in 20";
    found.push("Unlike its training photographs, farther from them than " + most + " of those held out");
  }
  return found;
}

// Shows an answer as /predict gives it.
function show(item, answer, strange) {
  const title = answer.rejected ? "Not sure" : answer.label;
  item.querySelector(".label").textContent = title;
  for (const one of remarks(answer, strange)) note(item, one);
  drawBars(item.querySelector(".bars"), Object.entries(answer.probabilities));
  if (answer.activation_map) {
    const figure = item.querySelector(".where");
    figure.querySelector(".saw").src = answer.activation_map.image;
    figure.querySelector(".saw").alt = "What the network saw, and where it looked";
    figure.querySelector(".heat").src = answer.activation_map.heat;
    figure.hidden = false;
  }
  const name = item.querySelector(".name bdi").textContent;
  say(name + ": " + title + (answer.rejected ? "" : ", " + probable(answer.probability)) +
    (item.querySelector(".note").textContent ? ". " + item.querySelector(".note").textContent : ""));
}

// A sentence on what a classifier knows, and how good it is.
function describeModel(model) {
  const many = model.classes.length;
  const named = model.classes.slice(0, 8).join(", ") + (many > 8 ? " and " + (many - 8) + " more" : "");
  const own = model.accuracy;
  const worth = own
    ? "Accuracy " + percent(own.value) + " (95% interval " + percent(own.low) + " to " + percent(own.high) +
      ") on " + (own.photographs || own.n).toLocaleString("en") + " photographs (" + own.on + ")."
    : "No accuracy: " + (model.accuracy_reason || "it was not measured") + ".";
  return "It knows " + named + ". " + worth;
}
