"use strict";
// Sends photographs to /predict of the server that this page came from, and shows what it answers.

const AT_ONCE = 2; // requests, so that one page leaves room for others
let token = "";
let strange = 99;

const headers = () => (token ? { Authorization: "Bearer " + token } : {});
const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

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
  $("about").textContent = describeModel(model);
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
    return show(item, body[0], strange);
  }
}

$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  begin();
});
takePhotographs(classify, AT_ONCE);
begin();
