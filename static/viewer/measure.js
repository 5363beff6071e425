// Distances on a picture: two points in pixels of the frame, drawn over it.

import { distance } from "./geometry.js";

export class Measures {
  constructor() {
    this.done = [];
    this.open = null;
    this.cursor = null;
  }

  begin(frame, point) {
    this.open = { frame, a: point, b: point };
  }

  move(point) {
    if (this.open) this.open.b = point;
  }

  // Ends the open one; null where its ends are the same point.
  end() {
    const one = this.open;
    this.open = null;
    if (!one || Math.hypot(one.b.x - one.a.x, one.b.y - one.a.y) < 0.5) return null;
    this.done.push(one);
    return one;
  }

  clear() {
    this.done = [];
    this.open = null;
  }

  shown(frame) {
    return [...this.done, ...(this.open ? [this.open] : [])].filter((one) => one.frame === frame);
  }

  // `onScreen` turns pixels of the frame into those of the canvas.
  draw(context, frame, instance, onScreen, scale) {
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.font = `${13 * scale}px system-ui, sans-serif`;
    for (const one of this.shown(frame)) {
      const [a, b] = [onScreen(one.a), onScreen(one.b)];
      const { text, note } = distance(instance, one.a, one.b);
      for (const [colour, width] of [["#000", 4], ["#e8e8e8", 1.5]]) {
        line(context, a, b, colour, width * scale);
        cross(context, a, colour, width * scale, 5 * scale);
        cross(context, b, colour, width * scale, 5 * scale);
      }
      words(context, note ? [text, `(${note})`] : [text], b, scale);
    }
    if (this.cursor) cross(context, onScreen(this.cursor), "#fff", 1.5 * scale, 12 * scale);
    context.restore();
  }
}

function line(context, a, b, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(a.x, a.y);
  context.lineTo(b.x, b.y);
  context.stroke();
}

function cross(context, at, colour, width, arm) {
  line(context, { x: at.x - arm, y: at.y }, { x: at.x + arm, y: at.y }, colour, width);
  line(context, { x: at.x, y: at.y - arm }, { x: at.x, y: at.y + arm }, colour, width);
}

function words(context, rows, at, scale) {
  const widest = Math.max(...rows.map((row) => context.measureText(row).width));
  const left = Math.max(4 * scale, Math.min(at.x + 10 * scale, context.canvas.width - widest - 6 * scale));
  const top = Math.max(16 * scale, Math.min(at.y, context.canvas.height - rows.length * 17 * scale));
  rows.forEach((row, number) => {
    context.lineWidth = 3 * scale;
    context.strokeStyle = "#000";
    context.fillStyle = "#e8e8e8";
    context.strokeText(row, left, top + number * 17 * scale);
    context.fillText(row, left, top + number * 17 * scale);
  });
}
