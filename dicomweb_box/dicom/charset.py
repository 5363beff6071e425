"""Text of every character repertoire of PS3.3 C.12.1.1.2, ISO 2022 code extensions included, as Unicode."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dicomweb_box.dicom.repertoires import DESIGNATIONS, SINGLE_BYTE, UTF8

# Codecs that read the bytes of each term before any escape sequence. Latin-1 stands in for the default
# repertoire: it reads ASCII, and what is not ASCII is more often Latin-1 than anything else.
_CODECS: Final = {
    "": "latin-1",
    "ISO_IR 6": "latin-1",
    "ISO_IR 13": "shift_jis",
    **{term: single.codec for term, single in SINGLE_BYTE.items()},
    UTF8: "utf-8",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    # Terms that only make sense with an escape sequence; before one, ASCII.
    "ISO_IR 58": "gb18030",
    "ISO_IR 87": "latin-1",
    "ISO_IR 149": "cp949",
    "ISO_IR 159": "latin-1",
}
DEFINED_TERMS: Final = tuple(term for term in _CODECS if term)
"""What is read of Specific Character Set (0008,0005), by the spelling without code extensions."""
# PS3.3 C.12.1.1.2 Table C.12-5: these stand alone, an escape in them means nothing.
_WITHOUT_EXTENSIONS: Final = frozenset({"utf-8", "gb18030"})

# Escape sequence without its first byte → (code element, codec of the set it designates there).
_ESCAPES: Final = {
    b"(B": (0, "ascii"),
    # ISO-IR 14: yen and overline stand where backslash and tilde do, and are read as those.
    b"(J": (0, "ascii"),
    # ISO-IR 42, the older edition of JIS X 0208; not in the standard, seen in the field.
    b"$@": (0, "jis0208"),
    **{escape[1:]: (element, codec) for element, escape, codec in DESIGNATIONS.values()},
    b")I": (1, "shift_jis"),
}
_ESCAPE: Final = re.compile(rb"\x1b(\([BJ]|\)I|-[A-DFGHLMTb]|\$B|\$@|\$\(D|\$\)[AC])")
# In G0: runs of pairs, or of anything else. PS3.5 6.1.2.5.3: controls and delimiters bring the first set.
_PAIRS: Final = re.compile(rb"(?:[\x21-\x7e][\x21-\x7e])+")
_RUNS: Final = re.compile(rb"[\x00-\x7f]+|[\x80-\xff]+")
_RESETS: Final = re.compile(rb"[\t\n\x0c\r\\^=]")

Decode = Callable[[bytes], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Charset:
    """One value of Specific Character Set, ready to decode."""

    decode: Decode
    ascii_is_plain: bool  # ASCII bytes mean themselves: no escape sequences can turn them into something else
    unknown: str = ""  # the first term that is not one of the standard's


@lru_cache(maxsize=256)
def charset(value: bytes) -> Charset:
    """The Charset for the bytes of (0008,0005); terms nobody defined are read as the default repertoire."""
    terms = [defined_term(term) for term in value.decode("latin-1").strip(" \0").split("\\")]
    unknown = next((term for term in terms if term not in _CODECS), "")
    codec = _CODECS.get(terms[0], "latin-1")
    if codec in _WITHOUT_EXTENSIONS and terms[0] != "ISO_IR 58":
        return Charset(decode=_plain(codec), ascii_is_plain=True, unknown=unknown)
    return Charset(decode=_extended(codec), ascii_is_plain=False, unknown=unknown)


def defined_term(term: str) -> str:
    """The defined term in one spelling: `ISO 2022 IR 100` and `ISO-IR 100`, too, mean ISO_IR 100."""
    term = term.strip(" \0").upper()
    found = re.fullmatch(r"ISO[ _-](?:2022[ _-])?(?:IR[ _-]?)?(\d+)", term)
    if found:
        return f"ISO_IR {int(found[1])}"
    return {"ISO 2022 GBK": "GBK", "UTF-8": UTF8, "UTF8": UTF8}.get(term, term)


def _plain(codec: str) -> Decode:
    def decode(value: bytes) -> str:
        return value.decode(codec, "replace")

    return decode


def _extended(codec: str) -> Decode:
    def decode(value: bytes) -> str:
        if b"\x1b" not in value:
            return value.decode(codec, "replace")
        return _iso2022(value, codec)

    return decode


def _iso2022(value: bytes, first: str) -> str:
    """Text with code extensions (PS3.5 6.1.2.5): G0 and G1 follow the escapes, and delimiters reset them."""
    text: list[str] = []
    g0, g1 = "ascii", first
    pieces = _ESCAPE.split(value)
    text.append(pieces[0].decode(first, "replace"))
    for escape, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        element, codec = _ESCAPES[escape]
        if element == 0:
            g0 = codec
        else:
            g1 = codec
        g0, g1 = _piece(piece, g0, g1, first, text)
    return "".join(text)


def _piece(piece: bytes, g0: str, g1: str, first: str, text: list[str]) -> tuple[str, str]:
    """Appends the text between two escapes; returns the sets in force at its end."""
    at = 0
    while at < len(piece):
        if g0.startswith("jis"):
            pairs = _PAIRS.match(piece, at)
            if pairs:
                text.append(_jis(pairs[0], g0))
                at = pairs.end()
                continue
            g0 = "ascii"  # a control, a space or a lone byte: no pair can go on here
        reset = _RESETS.search(piece, at)
        stop = reset.end() if reset else len(piece)
        text.extend(
            run.decode(g1 if run[0] & 0x80 else "ascii", "replace") for run in _RUNS.findall(piece, at, stop)
        )
        if reset:
            g0, g1 = "ascii", first
        at = stop
    return g0, g1


def _jis(pairs: bytes, code: str) -> str:
    escape, codec = (b"\x1b$B", "iso2022_jp") if code == "jis0208" else (b"\x1b$(D", "iso2022_jp_2")
    return (escape + pairs).decode(codec, "replace")
