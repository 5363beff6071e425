"""Reads a page as a browser and its checkers would."""

from collections import defaultdict
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "input", "img", "br", "hr"})


@dataclass
class Element:
    """One element with its attributes and all the text below it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    inside: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """A parsed page; fails on elements that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: dict[str, list[Element]] = defaultdict(list)
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert self._open == [], f"not closed: {[element.tag for element in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        element.inside = [outer.tag for outer in self._open]
        self.elements[tag].append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        closed = self._open.pop()
        assert closed.tag == tag, f"<{closed.tag}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def one(self, tag: str) -> Element:
        (element,) = self.elements[tag]
        return element

    def all(self) -> list[Element]:
        return [element for found in self.elements.values() for element in found]

    def addresses(self) -> list[str]:
        """Where its links, resources and forms that ask (not those that change something) point."""
        return [
            element.attributes[name]
            for element in self.all()
            for name in ("href", "src", "action")
            if name in element.attributes and element.attributes.get("method") != "post"
        ]


def assert_well_made(page: Page) -> None:
    """What holds for every page: labels, headings, landmarks, nothing inline, ids once."""
    assert page.one("html").attributes["lang"] == "en"
    (title,) = [one for one in page.elements["title"] if "head" in one.inside]  # SVG has others
    assert title.text.strip()
    assert len(page.elements["h1"]) == 1
    assert len(page.elements["main"]) == 1
    assert page.elements["style"] == []
    labelled = {label.attributes["for"] for label in page.elements["label"]}
    for control in (*page.elements["input"], *page.elements["select"], *page.elements["textarea"]):
        if control.attributes.get("type") != "hidden":
            assert control.attributes["id"] in labelled
    for script in page.elements["script"]:
        assert script.attributes.get("src"), "an inline script"
    for element in page.all():
        assert "style" not in element.attributes
        assert not any(name.startswith("on") for name in element.attributes)
    for image in page.elements["img"]:
        assert "alt" in image.attributes
    for table in page.elements["table"]:
        assert "main" in table.inside
    assert len(page.elements["caption"]) == len(page.elements["table"])
    for heading in page.elements["th"]:
        assert heading.attributes["scope"] in ("row", "col")
    for link in (*page.elements["a"], *page.elements["button"]):
        assert link.text.strip() or link.attributes.get("aria-label")
    ids = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    named = {
        name
        for element in page.all()
        for attribute in ("aria-labelledby", "aria-describedby")
        for name in element.attributes.get(attribute, "").split()
    }
    assert named <= set(ids)
