// What every page does beyond its links and forms. Everything works without it.

// A change in one place is heard in another: elements re-ask themselves on `changed:<what>` events of the body.
document.addEventListener("htmx:before:swap", (event) => {
  // An answer that is a whole page (an error, a log-in) replaces the page, not a part of it.
  const text = event.detail.ctx?.text;
  if (typeof text === "string" && /^\s*<!doctype/i.test(text)) {
    event.detail.ctx.target = document.body;
    event.detail.ctx.swap = "innerHTML";
    event.detail.ctx.select = "body > *";
  }
});

// "/" puts the cursor into the page's search field, as in most lists.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
  const field = document.querySelector("[data-search]");
  if (field) {
    event.preventDefault();
    field.focus();
    field.select?.();
  }
});

// A menu closes as others do: by Escape, and by whatever is clicked or reached beside it.
const menu = document.querySelector("details.menu");
if (menu) {
  const leave = (event) => { if (!menu.contains(event.target)) menu.open = false; };
  document.addEventListener("pointerdown", leave);
  document.addEventListener("focusin", leave);
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}
