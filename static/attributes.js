// "Copy as JSON": the button is there only where this script is.
const button = document.getElementById("copy");
const said = document.getElementById("copied");

async function copy() {
  said.textContent = "…";
  try {
    const answer = await fetch(button.dataset.from, { headers: { Accept: "application/dicom+json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const text = JSON.stringify((await answer.json())[0], null, 2);
    await write(text);
    said.textContent = "Copied.";
  } catch {
    said.textContent = "This could not be copied; open the metadata instead.";
  }
}

async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Plain HTTP, other than to this machine, has no clipboard but this.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("refused");
}

if (button) {
  button.hidden = false;
  button.addEventListener("click", copy);
}
