"use strict";
// Photographs that are chosen, dropped, pasted or taken, to be classified by classify(file, item).

const waiting = [];
let running = 0;

// Takes files from the page's drop area and camera.
// classify: of a file and its item in the list; atOnce: how many run beside one another.
function takePhotographs(classify, atOnce) {
  function pump() {
    while (running < atOnce && waiting.length) {
      running += 1;
      const { file, item } = waiting.shift();
      classify(file, item).finally(() => { running -= 1; pump(); });
    }
  }

  function take(files) {
    const images = [...files].filter((file) => file.size);
    if (!images.length) return;
    for (const file of images) waiting.push({ file, item: addItem(file) });
    say(images.length === 1 ? "One photograph is classified." : images.length + " photographs are classified.");
    pump();
  }

  for (const id of ["files", "capture"])
    $(id).addEventListener("change", () => { take($(id).files); $(id).value = ""; });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  document.addEventListener("dragover", (event) => { event.preventDefault(); $("give").classList.add("over"); });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("give").classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("give").classList.remove("over");
    if (event.dataTransfer) take(event.dataTransfer.files);
  });
  $("camera").addEventListener("click", openCamera);
  $("close").addEventListener("click", closeCamera);
  $("shoot").addEventListener("click", async () => {
    const file = await camera.frame();
    if (file) take([file]);
  });
}

async function openCamera() {
  if (!navigator.mediaDevices) return $("capture").click(); // a telephone's own camera
  $("shooting").hidden = false;
  try {
    await camera.open($("view"));
  } catch (error) {
    $("shooting").hidden = true;
    return say("No camera: " + error.message);
  }
  $("shoot").focus();
}

function closeCamera() {
  camera.close();
  $("shooting").hidden = true;
  $("camera").focus();
}
