"use strict";
// Classifies photographs in this page: the runtime and the model are inside it, nothing is asked.

const AT_ONCE = 1; // photographs
const model = JSON.parse($("metadata").textContent);

// The bytes of a part of this page, which is taken out of it: gzip in base64.
async function unpack(id) {
  const packed = atob($(id).textContent);
  $(id).remove();
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function makeSession() {
  if (typeof DecompressionStream === "undefined" || typeof WebAssembly === "undefined")
    throw new Error("this browser is too old: Chrome 80, Firefox 113 or Safari 16.4 can");
  const script = new Blob([await unpack("runtime-script")], { type: "text/javascript" });
  const runtime = await import(URL.createObjectURL(script));
  runtime.env.logLevel = "error";
  runtime.env.wasm.numThreads = 1; // more need headers that a file does not have
  runtime.env.wasm.wasmBinary = await unpack("runtime-wasm");
  const session = await runtime.InferenceSession.create(await unpack("model"));
  return { runtime, session };
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext("2d", { willReadFrequently: true });
}

// Some browsers return other pixels than were drawn, against tracking.
function readsPixels() {
  const context = canvasOf(16, 16);
  const drawn = context.createImageData(16, 16);
  for (let i = 0; i < drawn.data.length; i++) drawn.data[i] = i % 4 === 3 ? 255 : (i * 7) % 256;
  context.putImageData(drawn, 0, 0);
  return context.getImageData(0, 0, 16, 16).data.every((level, i) => level === drawn.data[i]);
}

// A file as an upright RGB image of 8 bits, over white where it is transparent.
async function decode(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const context = canvasOf(width, height);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(3 * width * height);
  for (let i = 0, j = 0; i < rgba.length; i += 4) {
    rgb[j++] = rgba[i];
    rgb[j++] = rgba[i + 1];
    rgb[j++] = rgba[i + 2];
  }
  return { rgb, width, height };
}

// What the model says of a file, as /predict of a server would.
async function predict(file) {
  const { runtime, session } = await ready;
  const { rgb, width, height } = await decode(file).catch(() => {
    throw new Error("this browser cannot read the file as an image");
  });
  const image = new runtime.Tensor("uint8", rgb, [height, width, 3]);
  const found = await session.run({ image }).catch((error) => {
    throw new Error(/bad_alloc|memory|RangeError/i.test(String(error))
      ? `this browser has too little memory for ${width}×${height} pixels` : error.message);
  });
  const shares = found.probabilities.data;
  let best = 0;
  for (let i = 1; i < shares.length; i++) if (shares[i] > shares[best]) best = i;
  const rejected = shares[best] < model.reject_below;
  return {
    label: rejected ? null : model.classes[best],
    probability: shares[best],
    rejected,
    novelty_percentile: found.novelty_percentile ? found.novelty_percentile.data[0] : null,
    probabilities: Object.fromEntries(model.classes.map((name, i) => [name, shares[i]])),
  };
}

async function classify(file, item) {
  await new Promise((done) => setTimeout(done)); // let the page show that it waits
  try {
    show(item, await predict(file), model.unlike_training_from);
  } catch (error) {
    fail(item, error.message);
  }
}

$("about").textContent = describeModel(model);
const ready = readsPixels()
  ? makeSession()
  : Promise.reject(new Error("this browser hides the pixels of images from pages: allow this page to read them"));
ready.then(
  () => { $("state").hidden = true; },
  (error) => { $("state").textContent = "This page cannot classify here: " + error.message + "."; });
takePhotographs(classify, AT_ONCE);
