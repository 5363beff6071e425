// Plays the frames of a pane at their own speed, waiting for each picture.

const USUAL = 100;

export class Cine {
  constructor(step) {
    this.step = step;
    this.pane = null;
    this.faster = 1;
  }

  // Milliseconds that the frame of a pane is shown.
  static lasting(pane) {
    const { instance, frame } = pane.here;
    const said = instance.milliseconds || [];
    return (said.length > 1 ? said[frame - 1] : said[0]) || USUAL;
  }

  get playing() {
    return this.pane !== null;
  }

  // `rate`: frames a second where somebody chose them, else their own.
  start(pane, rate) {
    this.pane = pane;
    this.rate = rate;
    this.since = performance.now();
    this.turn();
  }

  stop() {
    this.pane = null;
  }

  turn() {
    requestAnimationFrame((now) => {
      const { pane } = this;
      if (!pane) return;
      const lasting = this.rate ? 1000 / this.rate : Cine.lasting(pane);
      const there = pane.drawn && pane.drawn.position === pane.position;
      if (there && now - this.since >= lasting - 4) {
        // What was late is not made up for by skipping.
        this.since = now - this.since > 2 * lasting ? now : this.since + lasting;
        this.step(pane, next(pane));
      }
      this.turn();
    });
  }
}

// Round and round within an instance of several frames, else within its series.
function next(pane) {
  const { instance, frame } = pane.here;
  if (instance.frames > 1) return frame === instance.frames ? pane.position - frame + 1 : pane.position + 1;
  return pane.position + 1 === pane.stack.length ? 0 : pane.position + 1;
}
