// What the search of a list does beyond its form: days by name and days by date are one choice.
document.addEventListener("input", (event) => {
  const form = event.target.closest?.("form.list-search");
  if (!form) return;
  const { StudyDate: named, from, to } = form.elements;
  if (event.target === from || event.target === to) named.value = "";
  if (event.target === named && named.value) from.value = to.value = "";
}, true);
