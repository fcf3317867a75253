"use strict";
// The camera of this device: one stream, shown in one video, out of which photographs are taken.

const WARMING = 400; // milliseconds

const camera = {
  stream: null,
  view: null,

  // Opens it in a <video>; throws where there is none, or none is allowed.
  async open(view) {
    if (!navigator.mediaDevices)
      throw new Error("browsers allow it on this machine's own address and over HTTPS only");
    this.close();
    this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    this.view = view;
    view.srcObject = this.stream;
    await new Promise((done) => (view.videoWidth ? done() : (view.onloadeddata = done)));
    await new Promise((done) => setTimeout(done, WARMING)); // the first pictures are dark
  },

  close() {
    for (const track of this.stream ? this.stream.getTracks() : []) track.stop();
    if (this.view) this.view.srcObject = null;
    this.stream = this.view = null;
  },

  // What it sees now, as a file; null where it sees nothing yet. No side is longer than `most`.
  frame(most = Infinity) {
    const view = this.view;
    if (!view || !view.videoWidth) return Promise.resolve(null);
    const scale = Math.min(1, most / Math.max(view.videoWidth, view.videoHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(scale * view.videoWidth);
    canvas.height = Math.round(scale * view.videoHeight);
    canvas.getContext("2d").drawImage(view, 0, 0, canvas.width, canvas.height);
    const name = "camera " + new Date().toTimeString().slice(0, 8) + ".jpg";
    return new Promise((done) => canvas.toBlob(
      (blob) => done(blob && new File([blob], name, { type: "image/jpeg" })), "image/jpeg", 0.92));
  },
};
