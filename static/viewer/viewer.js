// Takes over the viewer's page: canvas instead of picture, keys and drags instead of links. Works on what the
// page's twin for programs tells; where that cannot be had, the page stays as it is.

import { Cine } from "./cine.js";
import { commandOf } from "./commands.js";
import { distance, matching } from "./geometry.js";
import { Pane } from "./pane.js";
import { Panel } from "./panel.js";
import { Pictures } from "./pictures.js";
import { made } from "./place.js";
import { Pointer } from "./pointer.js";
import { stackOf, told, written } from "./stack.js";

const LAYOUTS = [1, 2, 4];

class Viewer {
  constructor(main, first, stack) {
    this.studyUid = stack.study.uid;
    this.series = first.series;
    this.strip = main.querySelector(".strip");
    this.tool = "scroll";
    this.layout = 1;
    this.linked = true;
    this.words = true;
    this.rate = 0;
    this.windows = new Map();
    this.pictures = new Pictures((address) => this.arrived(address));
    this.panes = [1, 2, 3, 4].map((number) => new Pane(number, this.pictures));
    this.active = this.panes[0];
    this.cine = new Cine((pane, position) => this.go(pane, position, false));
    this.grid = made("div", { className: "grid" }, ...this.panes.map((pane) => pane.element));
    main.querySelector(".stage").replaceChildren(this.grid);
    this.panel = new Panel(main.querySelector(".controls"), (name, given) => this.run(name, given));
    this.active.open(stack, stack.position(first.shown.instance, first.shown.frame), first.shown.window);
    this.listen(main);
    this.setLayout(1);
    this.setTool("scroll");
    this.show();
  }

  listen(main) {
    for (const pane of this.panes) {
      new Pointer(this, pane);
      pane.element.addEventListener("focusin", () => this.activate(pane));
    }
    main.addEventListener("changed", () => this.changed());
    this.strip.addEventListener("click", (event) => {
      const link = event.target.closest("[data-series]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.openSeries(this.active, link.dataset.series);
    });
    document.addEventListener("keydown", (event) => this.key(event));
  }

  // What the address said of further pictures.
  async restore(query) {
    const layout = Number(query.get("layout"));
    if (!LAYOUTS.includes(layout) || layout === 1) return;
    const others = query.getAll("pane").map((one) => one.split("/"));
    await Promise.all(
      others.slice(0, layout - 1).map(async ([series, instance, frame], n) => {
        const stack = await stackOf(this.studyUid, series).catch(() => null);
        if (stack) this.panes[n + 1].open(stack, stack.position(instance, Number(frame)));
      }),
    );
    this.setLayout(layout);
  }

  get shown() {
    return this.panes.slice(0, this.layout).filter((pane) => pane.stack);
  }

  key(event) {
    if (this.measureKey(event)) return event.preventDefault();
    const command = commandOf(event);
    if (!command) return undefined;
    event.preventDefault();
    return this.run(command);
  }

  // The cross that measures without a pointer.
  measureKey(event) {
    const { measures, drawn } = this.active;
    if (!measures.cursor || event.ctrlKey || event.metaKey || event.altKey) return false;
    if (event.target instanceof Element && event.target.closest("input, button, a, dialog[open]")) return false;
    const far = event.shiftKey ? 10 : 1;
    const by = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[event.key];
    if (by) {
      measures.cursor = { x: measures.cursor.x + by[0], y: measures.cursor.y + by[1] };
      measures.move(measures.cursor);
    } else if (event.key === "Enter" && measures.open) this.measured(this.active);
    else if (event.key === "Enter" && drawn) measures.begin(this.active.key(), measures.cursor);
    else if (event.key === "Escape") this.setTool("scroll");
    else return false;
    this.changed();
    return true;
  }

  run(name, given) {
    const pane = this.active;
    const { index } = pane.here;
    const kinds = {
      go: () => this.go(pane, given),
      "previous-frame": () => this.step(pane, -1),
      "next-frame": () => this.step(pane, 1),
      "first-frame": () => this.go(pane, 0),
      "last-frame": () => this.go(pane, pane.stack.length - 1),
      "previous-instance": () => index > 0 && this.go(pane, pane.stack.starts[index - 1]),
      "next-instance": () => index + 1 < pane.stack.starts.length && this.go(pane, pane.stack.starts[index + 1]),
      "previous-series": () => this.nextSeries(-1),
      "next-series": () => this.nextSeries(1),
      cine: () => this.play(!this.cine.playing),
      speed: () => this.setRate(given),
      window: () => this.setWindow(pane, given),
      automatic: async () => this.setWindow(pane, await this.fitting(pane)),
      invert: () => (pane.inverted = !pane.inverted),
      "zoom-in": () => this.zoom(pane, 1.25),
      "zoom-out": () => this.zoom(pane, 0.8),
      fit: () => Object.assign(pane, { zoom: 0, pan: { x: 0, y: 0 } }),
      actual: () => Object.assign(pane, { zoom: 1, pan: { x: 0, y: 0 } }),
      "rotate-right": () => (pane.quarters = (pane.quarters + 1) % 4),
      "rotate-left": () => (pane.quarters = (pane.quarters + 3) % 4),
      flip: () => this.flip(pane),
      wider: () => this.nudge(pane, 1.1, 0),
      narrower: () => this.nudge(pane, 1 / 1.1, 0),
      darker: () => this.nudge(pane, 1, 0.05),
      brighter: () => this.nudge(pane, 1, -0.05),
      reset: () => pane.reset(),
      clear: () => pane.measures.clear(),
      link: () => (this.linked = !this.linked),
      words: () => (this.words = !this.words),
      attributes: () => location.assign(this.panel.attributes.href),
      help: () => this.panel.dialog.open || this.panel.dialog.showModal(),
    };
    if (name.startsWith("tool-")) this.setTool(name.slice(5));
    else if (name.startsWith("layout-")) this.setLayout(Number(name.slice(7)));
    else kinds[name]();
    this.show();
  }

  step(pane, by) {
    this.go(pane, pane.position + by);
  }

  // Goes to a position, and takes along what scrolls together.
  go(pane, position, byHand = true) {
    const before = pane.position;
    if (byHand && this.cine.playing) this.play(false);
    if (!pane.go(position)) return;
    if (this.linked && this.layout > 1) {
      for (const other of this.shown.filter((one) => one !== pane)) {
        const level = matching(pane.stack, pane.position, other.stack, other.position);
        other.go(level === null ? other.position + pane.position - before : level);
      }
    }
    this.show();
  }

  async openSeries(pane, seriesUid) {
    this.play(false);
    this.panel.say("");
    pane.opening = seriesUid;
    try {
      const stack = await stackOf(this.studyUid, seriesUid);
      if (pane.opening === seriesUid) pane.open(stack, 0); // else another was chosen meanwhile
    } catch (error) {
      this.panel.say(`The series cannot be opened: ${error.message}`);
    }
    this.show();
  }

  nextSeries(by) {
    const at = this.series.findIndex((one) => one.uid === this.active.stack.told.uid) + by;
    if (this.series[at]) this.openSeries(this.active, this.series[at].uid);
  }

  play(on) {
    if (on && this.active.pictured && this.active.stack.length > 1) this.cine.start(this.active, this.rate);
    else this.cine.stop();
    this.show();
  }

  setRate(rate) {
    this.rate = rate >= 0.1 && rate <= 240 ? rate : 0;
    if (this.cine.playing) this.cine.start(this.active, this.rate);
  }

  setTool(tool) {
    this.tool = tool;
    const { measures, size } = this.active;
    measures.cursor = tool === "measure" && document.activeElement === this.active.element ? { x: size.columns / 2, y: size.rows / 2 } : null;
    if (tool !== "measure") measures.open = null;
    this.grid.dataset.tool = tool;
  }

  setLayout(layout) {
    this.layout = layout;
    this.grid.dataset.layout = layout;
    this.panes.forEach((pane, n) => (pane.element.hidden = n >= layout));
    if (!this.panes.slice(0, layout).includes(this.active)) this.activate(this.panes[0]);
    const at = this.series.findIndex((one) => one.uid === this.active.stack.told.uid);
    this.panes.slice(0, layout).forEach((pane, n) => {
      if (pane.stack) return;
      pane.open(this.active.stack, this.active.position);
      this.openSeries(pane, this.series[(at + n) % this.series.length].uid);
    });
  }

  activate(pane) {
    if (this.active === pane) return;
    this.play(false);
    this.active = pane;
    this.show();
  }

  flip(pane) {
    pane.flipped = !pane.flipped;
    // Seen from the other side, left and right change places, however the picture is turned.
    if (pane.quarters % 2) pane.quarters = (pane.quarters + 2) % 4;
  }

  // Larger or smaller, around a point of the window where there is one.
  zoom(pane, by, event = null) {
    const before = pane.scale;
    const after = Math.min(Math.max(before * by, pane.fit / 4), 40);
    const box = pane.canvas.getBoundingClientRect();
    const ratio = pane.canvas.width / (box.width || 1);
    const at = event ? { x: (event.clientX - box.left - box.width / 2) * ratio, y: (event.clientY - box.top - box.height / 2) * ratio } : { x: 0, y: 0 };
    pane.pan.x = at.x - ((at.x - pane.pan.x) * after) / before;
    pane.pan.y = at.y - ((at.y - pane.pan.y) * after) / before;
    pane.zoom = after;
    this.changed();
  }

  setWindow(pane, window) {
    pane.window = window;
    this.show();
  }

  async fitting(pane) {
    const { instance, frame } = pane.here;
    if (!instance.grey) return null;
    const names = new URLSearchParams({ series: pane.stack.told.uid, instance: instance.uid, frame });
    const address = `/studies/${this.studyUid}/viewer/window.json?${names}`;
    if (!this.windows.has(address)) this.windows.set(address, (await told(address).catch(() => ({ window: null }))).window);
    return this.windows.get(address);
  }

  // The window that is in force: the chosen one, the object's first, or the one the frame is shown with.
  async windowOf(pane) {
    const { instance } = pane.here;
    if (pane.window || !instance.grey) return pane.window;
    const own = (instance.presets || [])[0];
    return own || (this.fitting(pane));
  }

  async startWindow(pane) {
    const window = await this.windowOf(pane);
    if (!window) return this.panel.say("Pictures in colour have no window.");
    pane.window = window;
    return this.changed();
  }

  shiftWindow(pane, across, down) {
    if (!pane.window) return;
    pane.preview = true;
    this.bend(pane, Math.exp(across / 200), down / 400);
    this.changed();
  }

  bend(pane, by, up) {
    const least = pane.window.function === "linear" ? 1 : 1e-6;
    const width = Math.min(Math.max(pane.window.width * by, least), 1e6);
    pane.window = { ...pane.window, width, center: pane.window.center + up * width };
  }

  async nudge(pane, by, up) {
    pane.window = await this.windowOf(pane);
    if (pane.window) this.bend(pane, by, up);
    this.show();
  }

  endWindow(pane) {
    pane.preview = false;
    this.show();
  }

  measured(pane) {
    const one = pane.measures.end();
    if (one) {
      const { text, note } = distance(pane.here.instance, one.a, one.b);
      const said = `Distance ${text}${note ? ` (${note})` : ""}`;
      this.panel.say(said);
      this.panel.live.textContent = said;
    }
    this.changed();
  }

  arrived(address) {
    if (this.shown.some((pane) => pane.pictured && (pane.address() === address || pane.asked === address))) this.changed();
  }

  // Draws at the next frame of the screen, and asks for what is wanted then.
  changed() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      if (this.telling) this.tell();
      this.telling = false;
      const shown = this.shown;
      for (const pane of shown) pane.draw();
      const rows = [this.active, ...shown.filter((pane) => pane !== this.active)].map((pane) => pane.wanted());
      const longest = Math.max(0, ...rows.map((row) => row.length));
      this.pictures.plan(Array.from({ length: longest }, (_, n) => rows.map((row) => row[n])).flat().filter(Boolean));
    });
  }

  // As `changed`, and tells the controls, the address bar and who listens.
  show() {
    this.telling = true;
    this.changed();
  }

  tell() {
    const { stack, position, here, window } = this.active;
    const { instance, index, frame } = here;
    const { panel } = this;
    this.where = `Series ${this.series.findIndex((one) => one.uid === stack.told.uid) + 1} of ${this.series.length}, instance ${index + 1} of ${stack.instances.length}, frame ${frame} of ${instance.frames || 1}`;
    panel.where.textContent = this.where;
    panel.slider.max = stack.length;
    panel.slider.value = position + 1;
    panel.slider.setAttribute("aria-valuetext", this.where);
    panel.attributes.href = `/studies/${this.studyUid}/series/${stack.told.uid}/instances/${instance.uid}`;
    if (document.activeElement !== panel.center) panel.center.value = window ? written(window).split(",")[0] : "";
    if (document.activeElement !== panel.width) panel.width.value = window ? written(window).split(",")[1] : "";
    this.offer(instance, stack);
    for (const tool of ["scroll", "window", "pan", "zoom", "measure"]) panel.press(`tool-${tool}`, this.tool === tool);
    for (const layout of LAYOUTS) panel.press(`layout-${layout}`, this.layout === layout);
    const on = { cine: this.cine.playing, invert: this.active.inverted, flip: this.active.flipped, link: this.linked, words: this.words };
    for (const [name, pressed] of Object.entries(on)) panel.press(name, pressed);
    this.grid.classList.toggle("wordless", !this.words);
    for (const pane of this.panes) pane.element.classList.toggle("active", pane === this.active && this.layout > 1);
    for (const link of this.strip.querySelectorAll("[data-series]")) {
      if (link.dataset.series === stack.told.uid) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    this.later();
  }

  // The windows and the speed of an instance; most of a series have the same.
  offer(instance, stack) {
    const facts = JSON.stringify([stack.told.uid, instance.grey, instance.presets, instance.milliseconds]);
    if (this.offered === facts) return;
    this.offered = facts;
    const named = [...(instance.presets || []), ...(stack.told.presets || [])];
    const plain = ({ center, width, function: shape }) => ({ center, width, function: shape });
    this.panel.offer(instance.grey ? [["As stored", null], ["Automatic", "automatic"], ...named.map((one) => [one.name, plain(one)])] : []);
    if (!this.rate) this.panel.speed.value = Math.round(100000 / Cine.lasting(this.active)) / 100;
    this.panel.speedField.hidden = stack.length < 2;
  }

  // Said and written into the address once it is quiet.
  later() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      const { window } = this.active;
      if (!this.cine.playing) this.panel.live.textContent = `${this.where}; window ${window ? written(window).split(",").slice(0, 2).join(", ") : "as stored"}`;
      history.replaceState(null, "", this.address());
    }, 500);
  }

  address() {
    const spot = (pane) => ({ series: pane.stack.told.uid, instance: pane.here.instance.uid, frame: String(pane.here.frame) });
    const query = new URLSearchParams(spot(this.active));
    if (this.active.window) query.set("window", written(this.active.window));
    if (this.layout > 1) {
      query.set("layout", this.layout);
      for (const pane of this.shown.filter((one) => one !== this.active)) query.append("pane", Object.values(spot(pane)).join("/"));
    }
    return `${location.pathname}?${query.toString().replace(/%2C/g, ",").replace(/%2F/g, "/")}`;
  }
}

async function begin() {
  const first = await told(location.pathname + ".json" + location.search);
  const stack = await stackOf(first.study.uid, first.stack.uid);
  const viewer = new Viewer(document.querySelector("main"), first, stack);
  await viewer.restore(new URLSearchParams(location.search));
}

begin().catch((error) => console.warn("The viewer stays without its script:", error.message));
