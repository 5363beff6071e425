// Wheel and drags on a picture, by mouse, pen or finger.

const NOTCH = 50;

export class Pointer {
  // `viewer` knows the tool in hand and does what a drag means.
  constructor(viewer, pane) {
    this.viewer = viewer;
    this.pane = pane;
    this.held = null;
    this.rolled = 0;
    const on = pane.canvas;
    on.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    on.addEventListener("pointerdown", (event) => this.down(event));
    on.addEventListener("pointermove", (event) => this.move(event));
    on.addEventListener("pointerup", (event) => this.up(event));
    on.addEventListener("pointercancel", (event) => this.up(event));
    on.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  wheel(event) {
    event.preventDefault();
    this.viewer.activate(this.pane);
    if (event.ctrlKey) return this.viewer.zoom(this.pane, event.deltaY < 0 ? 1.15 : 1 / 1.15, event);
    if (Math.abs(event.deltaY) >= NOTCH) {
      this.rolled = 0;
      return this.viewer.step(this.pane, Math.sign(event.deltaY) * Math.max(1, Math.round(Math.abs(event.deltaY) / 100)));
    }
    this.rolled += event.deltaMode ? event.deltaY * NOTCH : event.deltaY; // by lines, or the pixels of a touch pad
    const steps = Math.trunc(this.rolled / 20);
    this.rolled -= steps * 20;
    if (steps) this.viewer.step(this.pane, steps);
  }

  down(event) {
    this.viewer.activate(this.pane);
    const tool = { 1: "pan", 2: "window" }[event.button] || this.viewer.tool;
    if (event.button === 1) event.preventDefault();
    this.pane.canvas.setPointerCapture(event.pointerId);
    this.held = { tool, x: event.clientX, y: event.clientY, left: 0 };
    if (tool === "measure") {
      this.pane.measures.cursor = null;
      this.pane.measures.begin(this.pane.key(), this.pane.pointAt(event));
    }
    if (tool === "window") this.viewer.startWindow(this.pane);
  }

  move(event) {
    if (!this.held) return;
    const [across, down] = [event.clientX - this.held.x, event.clientY - this.held.y];
    [this.held.x, this.held.y] = [event.clientX, event.clientY];
    this[this.held.tool](across, down, event);
  }

  up(event) {
    const held = this.held;
    this.held = null;
    if (!held) return;
    if (held.tool === "measure" && event.type === "pointerup") this.viewer.measured(this.pane);
    if (held.tool === "window") this.viewer.endWindow(this.pane);
  }

  scroll(across, down) {
    const long = Math.max(3, Math.min(24, this.pane.body.clientHeight / this.pane.stack.length));
    this.held.left += down;
    const steps = Math.trunc(this.held.left / long);
    this.held.left -= steps * long;
    if (steps) this.viewer.step(this.pane, steps);
  }

  window(across, down) {
    this.viewer.shiftWindow(this.pane, across, down);
  }

  pan(across, down) {
    const ratio = window.devicePixelRatio || 1;
    this.pane.pan.x += across * ratio;
    this.pane.pan.y += down * ratio;
    this.viewer.changed();
  }

  zoom(across, down, event) {
    this.viewer.zoom(this.pane, Math.exp(-down / 150), event);
  }

  measure(across, down, event) {
    this.pane.measures.move(this.pane.pointAt(event));
    this.viewer.changed();
  }
}
