"""A document of facts and nested entries, and how it is written as plain text."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

# Controls that neither HTML nor a terminal should be handed; tab and line feed stay.
_CONTROLS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_DEEPEST_INDENT = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A reference to another entry of the same document; `place` is None where there is no such entry."""

    text: str
    place: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of a document, `depth` levels below its top; entries below it follow it."""

    depth: int
    place: str
    """Where it stands, such as "1.2.1": the Content Item Identifier of PS3.3 C.17.3.2.5 in a report."""
    label: str = ""
    value: str = ""
    remarks: tuple[str, ...] = ()
    """What is said about the value, each by itself."""
    heading: bool = False
    link: Link | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A title, the facts that say whose and what it is, and its entries in reading order."""

    title: str
    language: str = "en"
    notices: tuple[str, ...] = ()
    """What a reader has to know before reading on."""
    facts: tuple[tuple[str, str], ...] = ()
    entries: Sequence[Entry] = field(default=())


def clean(text: str) -> str:
    """The text with line ends as line feeds, other controls replaced, and no blanks around it."""
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n").strip(" \n\t\0"))


def plain(document: Document) -> bytes:
    """The document as text/plain in UTF-8, a level of nesting indented by two spaces."""
    return "".join(_lines(document)).encode("utf-8")


def _lines(document: Document) -> Iterator[str]:
    yield f"{document.title}\n{'=' * len(document.title)}\n"
    for notice in document.notices:
        yield f"\n*** {notice} ***\n"
    yield "\n"
    for name, value in document.facts:
        yield _folded(f"{name}: {value}", 0)
    yield "\n"
    for entry in document.entries:
        yield _folded(_line(entry), entry.depth)
        for remark in entry.remarks:
            yield _folded(f"({remark})", entry.depth + 1)


def _line(entry: Entry) -> str:
    value = entry.value
    if entry.link is not None:
        place = entry.link.place
        value = f"see {entry.link.text}" + (f" [{place}]" if place else "")
    return ": ".join(part for part in (entry.label, value) if part)


def _folded(text: str, depth: int) -> str:
    """The text behind its indentation, further lines of it under the first."""
    blanks = "  " * min(depth, _DEEPEST_INDENT)
    return blanks + text.replace("\n", f"\n{blanks}  ") + "\n"


def joined(parts: Iterable[str], separator: str = ", ") -> str:
    """Those of the parts that say something, one after another."""
    return separator.join(part for part in parts if part)
