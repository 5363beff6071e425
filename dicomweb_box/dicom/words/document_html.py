"""A document as a page of HTML: no script, nothing from elsewhere, its style known by its digest."""

import base64
import hashlib
from collections.abc import Iterator
from html import escape

from dicomweb_box.dicom.words.document import Document, Entry

_STYLE = """
:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem}
h1{font-size:1.5rem}h2,h3,h4,h5,h6{font-size:1.1rem;margin:1rem 0 .25rem}
dl{display:grid;gap:.1rem 1rem;grid-template-columns:max-content 1fr}dt{font-weight:600}dd{margin:0}
ul{list-style:none;margin:0;padding-left:1.25rem}main>ul{padding-left:0}li{margin:.2rem 0}
li ul{border-left:1px solid color-mix(in srgb,currentColor 25%,transparent)}
b{font-weight:600}small{display:block;opacity:.8}
.notice{border:2px solid;font-weight:600;padding:.5rem 1rem}
li:target{outline:2px solid}
"""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"
)
"""The policy that `html` pages are to be served under: their own style, and nothing else."""

_DEEPEST_HEADING = 6


def html(document: Document) -> bytes:
    """The document as text/html in UTF-8; every text in it is escaped."""
    return "".join(_pieces(document)).encode("utf-8")


def _pieces(document: Document) -> Iterator[str]:
    title = escape(document.title)
    yield f'<!DOCTYPE html>\n<html lang="{escape(document.language)}">\n<head>\n<meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f'<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main id="item-1">\n'
    yield f'<h1 dir="auto">{title}</h1>\n'
    for notice in document.notices:
        yield f'<p class="notice" role="note">{escape(notice)}</p>\n'
    if document.facts:
        facts = (
            f'<dt>{escape(name)}</dt><dd dir="auto">{_text(value)}</dd>\n' for name, value in document.facts
        )
        yield f"<dl>\n{''.join(facts)}</dl>\n"
    yield from _nested(document)
    yield "</main>\n</body>\n</html>\n"


def _nested(document: Document) -> Iterator[str]:
    """The entries as lists within lists; without recursion, since reports may be nested to any depth."""
    depth = -1
    for entry in document.entries:
        if entry.depth > depth:
            # A well-formed document never skips a level.
            yield "\n<ul>\n" * (entry.depth - depth)
        else:
            yield "</li>\n" + "</ul>\n</li>\n" * (depth - entry.depth)
        depth = entry.depth
        yield f'<li id="item-{escape(entry.place)}">{_entry(entry)}'
    if depth >= 0:
        yield "</li>\n</ul>\n" * (depth + 1)


def _entry(entry: Entry) -> str:
    if entry.heading:
        level = min(entry.depth + 2, _DEEPEST_HEADING)
        head = f'<h{level} dir="auto">{_text(entry.label)}</h{level}>'
    else:
        head = f"<b><bdi>{_text(entry.label)}</bdi>{':' if _says(entry) else ''}</b> " if entry.label else ""
    value = f"<bdi>{_text(entry.value)}</bdi>" if entry.value else ""
    remarks = "".join(f'<small dir="auto">{_text(remark)}</small>' for remark in entry.remarks)
    return head + value + _link(entry) + remarks


def _says(entry: Entry) -> bool:
    return bool(entry.value) or entry.link is not None


def _link(entry: Entry) -> str:
    if entry.link is None:
        return ""
    if entry.link.place is None:
        return escape(entry.link.text)
    return f'see <a href="#item-{escape(entry.link.place)}">{_text(entry.link.text)}</a>'


def _text(text: str) -> str:
    return escape(text).replace("\n", "<br>\n")
