// What can be done, each by a key and by a button; the list is what `?` shows.

export const GROUPS = [
  ["Move", [
    ["previous-frame", "Previous frame", ["ArrowLeft"], "←"],
    ["next-frame", "Next frame", ["ArrowRight"], "→"],
    ["previous-instance", "Previous instance", ["ArrowUp"], "↑"],
    ["next-instance", "Next instance", ["ArrowDown"], "↓"],
    ["previous-series", "Previous series", ["PageUp"], "PgUp"],
    ["next-series", "Next series", ["PageDown"], "PgDn"],
    ["first-frame", "First frame", ["Home"], "Home"],
    ["last-frame", "Last frame", ["End"], "End"],
    ["cine", "Cine", [" "], "Space"],
  ]],
  ["Drag to", [
    ["tool-scroll", "Scroll", ["s"], "s"],
    ["tool-window", "Window", ["w"], "w"],
    ["tool-pan", "Move", ["p"], "p"],
    ["tool-zoom", "Zoom", ["z"], "z"],
    ["tool-measure", "Measure", ["m"], "m"],
  ]],
  ["Picture", [
    ["invert", "Invert", ["i"], "i"],
    ["zoom-in", "Larger", ["+", "="], "+"],
    ["zoom-out", "Smaller", ["-"], "−"],
    ["fit", "Fit", ["f"], "f"],
    ["actual", "1 : 1", ["0"], "0"],
    ["rotate-right", "Turn right", ["."], "."],
    ["rotate-left", "Turn left", [","], ","],
    ["flip", "Mirror", ["h"], "h"],
    ["wider", "Wider window", ["]"], "]"],
    ["narrower", "Narrower window", ["["], "["],
    ["darker", "Darker", ["}"], "}"],
    ["brighter", "Brighter", ["{"], "{"],
    ["reset", "Reset", ["r"], "r"],
    ["clear", "Clear distances", ["Delete", "Backspace"], "Del"],
  ]],
  ["View", [
    ["layout-1", "1 × 1", ["1"], "1"],
    ["layout-2", "1 × 2", ["2"], "2"],
    ["layout-4", "2 × 2", ["4"], "4"],
    ["link", "Scroll together", ["l"], "l"],
    ["words", "Words on the picture", ["o"], "o"],
    ["attributes", "Attributes", ["t"], "t"],
    ["help", "Keys", ["?"], "?"],
  ]],
];

const BY_KEY = new Map(
  GROUPS.flatMap(([, commands]) => commands.flatMap(([name, , keys]) => keys.map((key) => [key, name]))),
);

// The command of a key that was pressed; undefined where it is somebody else's.
export function commandOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  const on = event.target instanceof Element ? event.target : document.body;
  if (on.closest("input, select, textarea, video, dialog[open]")) return undefined;
  if ([" ", "Enter"].includes(event.key) && on.closest("button, a, summary")) return undefined;
  return BY_KEY.get(event.key);
}
