// One picture of a stack on a canvas: which frame, how it lies, how it is lit, and the words in its corners.

import { opposite, towards } from "./geometry.js";
import { Measures } from "./measure.js";
import { inPlace, made } from "./place.js";
import { written } from "./stack.js";

const AHEAD = 24;
const BEHIND = 6;
const PREVIEW = { side: 512, quality: 70 };

export class Pane {
  constructor(number, pictures) {
    this.pictures = pictures;
    this.canvas = made("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.body = made("div", { className: "body" }, this.canvas);
    this.corners = {};
    this.element = made("div", { className: "pane", tabIndex: 0 }, this.body);
    this.element.setAttribute("role", "application");
    this.element.setAttribute("aria-label", `Picture ${number}`);
    for (const where of ["top-left", "top-right", "bottom-left", "bottom-right", "left", "right", "top", "bottom"]) {
      this.corners[where] = made("p", { className: `corner ${where}` });
      this.corners[where].setAttribute("aria-hidden", "true");
      this.element.append(this.corners[where]);
    }
    this.context = this.canvas.getContext("2d");
    this.stack = null;
    this.position = 0;
    this.direction = 1;
    this.window = null;
    this.drawn = null;
    this.preview = false;
    this.measures = new Measures();
    this.reset();
    new ResizeObserver(() => this.resize()).observe(this.body);
  }

  reset() {
    Object.assign(this, { zoom: 0, pan: { x: 0, y: 0 }, quarters: 0, flipped: false, inverted: false, window: null });
  }

  open(stack, position, window = null) {
    this.stack = stack;
    this.position = stack.bounded(position);
    this.direction = 1;
    this.reset();
    this.window = window;
    this.drawn = null;
    this.measures.clear();
  }

  get here() {
    return this.stack.at(this.position);
  }

  get pictured() {
    return ["frames", "state"].includes(this.here.instance.kind);
  }

  go(position) {
    const bounded = this.stack.bounded(position);
    if (bounded === this.position) return false;
    this.direction = bounded > this.position ? 1 : -1;
    this.position = bounded;
    return true;
  }

  // Width and height of the frame in pixels that are as high as wide.
  get size() {
    const { instance } = this.drawn ? this.stack.at(this.drawn.position) : this.here;
    const bitmap = this.drawn && this.drawn.bitmap;
    const columns = instance.columns || (bitmap ? bitmap.width : 1);
    const rows = instance.rows || (bitmap ? bitmap.height : 1);
    return { columns, rows, width: columns, height: rows * (instance.aspect || 1) };
  }

  get fit() {
    const { width, height } = this.size;
    const turned = this.quarters % 2 ? [height, width] : [width, height];
    return Math.min(this.canvas.width / turned[0], this.canvas.height / turned[1]) || 1;
  }

  // Canvas pixels for a pixel of the frame; `zoom` 0 is what fits.
  get scale() {
    return this.zoom || this.fit;
  }

  get matrix() {
    const { columns, rows, width, height } = this.size;
    return new DOMMatrix()
      .translate(this.canvas.width / 2 + this.pan.x, this.canvas.height / 2 + this.pan.y)
      .rotate(90 * this.quarters)
      .scale(this.flipped ? -this.scale : this.scale, this.scale)
      .translate(-width / 2, -height / 2)
      .scale(width / columns, height / rows);
  }

  // The point of the frame under a point of the window.
  pointAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / box.width;
    const at = new DOMPoint((event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio);
    const { x, y } = this.matrix.inverse().transformPoint(at);
    return { x, y };
  }

  address(position = this.position) {
    const { width, height } = this.size;
    const side = Math.max(width, height) * this.scale;
    const asked = this.preview ? { ...PREVIEW, side: Math.min(side, PREVIEW.side) } : { side };
    return this.stack.picture(position, { ...asked, window: this.window });
  }

  // The addresses that are wanted, this frame's first; then where it is going.
  wanted() {
    if (!this.stack || !this.pictured) return [];
    if (this.preview) {
      // One at a time to its end: each newer one would break off the one before, and none would be seen.
      if (!this.pictures.running.has(this.asked)) this.asked = this.address();
      return [this.asked];
    }
    const ahead = Array.from({ length: AHEAD }, (_, n) => this.position + this.direction * (n + 1));
    const behind = Array.from({ length: BEHIND }, (_, n) => this.position - this.direction * (n + 1));
    const around = [...ahead.slice(0, BEHIND), ...behind, ...ahead.slice(BEHIND)];
    return [this.position, ...around.filter((one) => this.stack.bounded(one) === one)]
      .filter((one) => ["frames", "state"].includes(this.stack.at(one).instance.kind))
      .map((one) => this.address(one));
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(this.body.clientWidth * ratio), Math.round(this.body.clientHeight * ratio)];
    if (width === this.canvas.width && height === this.canvas.height) return;
    [this.canvas.width, this.canvas.height] = [width, height];
    this.element.dispatchEvent(new CustomEvent("changed", { bubbles: true }));
  }

  // Shows the frame where its picture is there; the one before stays, with its own number, until then.
  draw() {
    if (!this.stack) return;
    this.place();
    if (!this.pictured) return this.tell();
    const bitmap = this.pictures.get(this.address()) || (this.preview && this.pictures.get(this.asked));
    if (bitmap) this.drawn = { position: this.position, bitmap, stack: this.stack, address: this.address() };
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const failed = this.pictures.failed.get(this.address());
    if (this.drawn && !failed) this.paint();
    this.tell(failed);
  }

  paint() {
    const { context } = this;
    // A bitmap may have left the memory meanwhile; it is asked for anew.
    if (!this.drawn.bitmap.width) return;
    const { columns, rows } = this.size;
    context.setTransform(this.matrix);
    // The better and dearer way matters only where many pixels become one.
    context.imageSmoothingQuality = this.drawn.bitmap.width > 1.5 * columns * this.scale ? "high" : "low";
    context.drawImage(this.drawn.bitmap, 0, 0, columns, rows);
    const matrix = this.matrix;
    const { instance } = this.stack.at(this.drawn.position);
    this.measures.draw(context, this.key(this.drawn.position), instance, (one) => matrix.transformPoint(one),
      window.devicePixelRatio || 1);
  }

  key(position = this.position) {
    const { instance, frame } = this.stack.at(position);
    return `${instance.uid}/${frame}`;
  }

  // A document, report or film instead of the canvas.
  place() {
    const { instance } = this.here;
    const shown = this.pictured ? "" : instance.uid;
    if (this.body.dataset.placed === shown) return;
    this.body.dataset.placed = shown;
    const tail = `series/${this.stack.told.uid}/instances/${instance.uid}`;
    const attributes = `/studies/${this.stack.study.uid}/${tail}`;
    this.body.replaceChildren(shown ? inPlace(this.stack.base(instance), instance, attributes) : this.canvas);
  }

  tell(failed = "") {
    const { study, told } = this.stack;
    const position = this.drawn && this.pictured ? this.drawn.position : this.position;
    const { instance, index, frame } = this.stack.at(position);
    const waits = this.pictured && (!this.drawn || this.drawn.position !== this.position) && !failed;
    const frames = instance.frames > 1 ? `Frame ${frame}/${instance.frames}` : "";
    const rows = {
      "top-left": [study.name, study.id, `${study.birth_date} ${study.sex}`],
      "top-right": [study.description, `${study.date} ${study.time}`, `${told.number ?? "–"} ${told.modality} ${told.description}`],
      "bottom-left": [
        failed ? `Cannot be shown: ${failed}` : "",
        `Instance ${index + 1}/${this.stack.instances.length}${waits ? " …" : ""}`,
        frames,
        instance.lossy ? "Lossy" : "",
      ],
      "bottom-right": this.pictured
        ? [`Window ${this.window ? written(this.window).replace(/,/g, " / ") : "as stored"}`, `${Math.round(this.scale * 100)} %`]
        : [],
    };
    for (const [where, lines] of Object.entries(rows)) {
      const text = lines.filter((one) => one && one.trim() && one.trim() !== "–").join("\n");
      if (this.corners[where].textContent !== text) this.corners[where].textContent = text;
    }
    this.tellDirections(instance, position);
    this.element.classList.toggle("inverted", this.inverted);
    this.element.dataset.position = this.position;
    this.element.dataset.drawn = this.drawn ? this.drawn.position : "";
    this.element.dataset.address = this.drawn ? this.drawn.address : "";
    this.element.dataset.failed = failed;
  }

  tellDirections(instance, position) {
    const edges = ["left", "right", "top", "bottom"];
    const back = this.matrix.inverse();
    const to = (x, y) => {
      const one = back.transformPoint(new DOMPoint(x, y, 0, 0));
      const length = Math.hypot(one.x, one.y * (instance.aspect || 1)) || 1;
      return [one.x / length, (one.y * (instance.aspect || 1)) / length];
    };
    const found = this.pictured ? towards(instance, this.stack.place(position), to(1, 0), to(0, 1)) : null;
    const named = found
      ? { right: found.right, left: opposite(found.right), bottom: found.bottom, top: opposite(found.bottom) }
      : {};
    for (const edge of edges) {
      if (this.corners[edge].textContent !== (named[edge] || "")) this.corners[edge].textContent = named[edge] || "";
    }
  }
}
