// The controls beside the picture: slider, buttons, windows, speed; and the list of keys.

import { GROUPS } from "./commands.js";
import { made } from "./place.js";

export class Panel {
  // `run` is called with the name of a command and what it is given.
  constructor(host, run) {
    this.run = run;
    this.buttons = new Map();
    const more = host.querySelector(".actions");
    this.where = made("p", { className: "where" });
    this.slider = made("input", { type: "range", id: "slider", min: 1, value: 1 });
    this.slider.addEventListener("input", () => run("go", Number(this.slider.value) - 1));
    this.groups = GROUPS.map(([name, commands]) => this.group(name, commands));
    this.live = made("p", { className: "unseen", id: "said" });
    this.live.setAttribute("role", "status");
    this.result = made("p", { className: "result" });
    host.replaceChildren(
      this.where,
      field("slider", "Frame", this.slider),
      this.result,
      this.groups[1],
      (this.presets = made("div", { className: "presets" })),
      this.windowForm(),
      this.groups[2],
      this.groups[3],
      this.groups[0],
      this.speedForm(),
      more,
      this.live,
    );
    this.presets.setAttribute("role", "group");
    this.presets.setAttribute("aria-label", "Windows");
    this.attributes = more.querySelector("a");
    this.dialog = this.help();
    host.append(this.dialog);
  }

  group(name, commands) {
    const box = made("div", { className: "tools" });
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", name);
    for (const [command, label, , key] of commands) {
      const button = made("button", { type: "button", className: "step" }, label, " ", made("kbd", { textContent: key }));
      button.dataset.command = command;
      button.addEventListener("click", () => this.run(command));
      this.buttons.set(command, button);
      box.append(button);
    }
    return box;
  }

  windowForm() {
    this.center = made("input", { id: "center", inputMode: "decimal", autocomplete: "off" });
    this.width = made("input", { id: "width", inputMode: "decimal", autocomplete: "off" });
    const form = made("form", { className: "choose" }, field("center", "Window center", this.center),
      field("width", "Window width", this.width), made("button", { textContent: "Show" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const [center, width] = [this.center, this.width].map((one) => Number(one.value.replace(",", ".")));
      const right = this.center.value.trim() && Number.isFinite(center) && width >= 1;
      this.say(right ? "" : "A window has a center, and a width of at least 1.");
      if (right) this.run("window", { center, width, function: "linear" });
    });
    return (this.form = form);
  }

  speedForm() {
    this.speed = made("input", { id: "speed", type: "number", min: 1, max: 120, step: "any", value: 10 });
    this.speed.addEventListener("change", () => this.run("speed", Number(this.speed.value)));
    this.speedField = field("speed", "Frames a second", this.speed);
    return this.speedField;
  }

  offer(windows) {
    this.presets.replaceChildren(
      ...windows.map(([name, window]) => {
        const button = made("button", { type: "button", className: "step", textContent: name });
        button.addEventListener("click", () => this.run(window === "automatic" ? "automatic" : "window", window));
        return button;
      }),
    );
    this.presets.hidden = this.form.hidden = !windows.length;
  }

  press(command, pressed) {
    this.buttons.get(command).setAttribute("aria-pressed", String(pressed));
  }

  say(text) {
    this.result.textContent = text;
  }

  help() {
    const rows = GROUPS.flatMap(([, commands]) =>
      commands.map(([, label, , key]) => made("tr", {}, made("td", {}, made("kbd", { textContent: key })), made("td", { textContent: label }))),
    );
    const title = made("h2", { id: "keys", textContent: "Keys" });
    const close = made("button", { textContent: "Close" });
    const also = made("p", { textContent: "Wheel: scroll; with Ctrl: zoom. Drag with the right button: window; with the middle one: move. While measuring: arrows move the cross, Enter sets a point, Escape ends." });
    const dialog = made("dialog", { className: "help" }, title, made("table", {}, made("tbody", {}, ...rows)), also,
      made("form", { method: "dialog" }, close));
    dialog.setAttribute("aria-labelledby", "keys");
    return dialog;
  }
}

function field(id, name, input) {
  return made("div", { className: "field" }, made("label", { htmlFor: id, textContent: name }), input);
}
