// What is shown in place of a picture: a document, a report, a film, or that there is nothing to be seen.

export function inPlace(base, instance, attributes) {
  if (instance.kind === "video") {
    const film = made("video", { src: `${base}/rendered?accept=video/*`, poster: `${base}/thumbnail?viewport=640,640` });
    film.controls = true;
    film.preload = "metadata";
    film.setAttribute("aria-label", "Video");
    return film;
  }
  if (instance.kind === "document") {
    const frame = made("iframe", { title: "Document" });
    // The browser's own reader of PDF does not work within a sandbox; anything else is shown in one.
    if (instance.media_type !== "application/pdf") frame.setAttribute("sandbox", "");
    frame.src = `${base}/rendered`;
    return frame;
  }
  if (instance.kind === "report") {
    const frame = made("iframe", { title: "Report" });
    frame.setAttribute("sandbox", "");
    frame.src = `${base}/rendered?accept=text/html`;
    return frame;
  }
  const box = made("div", { className: "nothing" });
  const link = made("a", { className: "button", href: attributes, textContent: "Its attributes" });
  box.append(made("p", { textContent: "This instance has no pixels that could be shown." }), link);
  return box;
}

export function made(tag, properties = {}, ...inside) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...inside);
  return element;
}
