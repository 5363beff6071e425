"""Unicode as text of one Specific Character Set, ISO 2022 code extensions included (PS3.5 6.1.2.5)."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dicomweb_box.dicom.charset import defined_term
from dicomweb_box.dicom.repertoires import DESIGNATIONS, SINGLE_BYTE, UTF8

# Sets without code extensions: the whole text is of one codec.
_WHOLE: Final = {UTF8: "utf-8", "GB18030": "gb18030", "GBK": "gbk"}
# The first halves of the sets of one byte, and all of them where nothing is designated.
_SINGLE: Final = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    **{term: single.codec for term, single in SINGLE_BYTE.items()},
}
_JIS: Final = {"jis0208": (b"\x1b$B", "iso2022_jp"), "jis0212": (b"\x1b$(D", "iso2022_jp_1")}
_ASCII_AGAIN, _ROMAN_AGAIN = b"\x1b(B", b"\x1b(J"
_DELIMITERS: Final = frozenset("\t\n\f\r\\^=")
_KATAKANA: Final = range(0xA1, 0xE0)

Encode = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Repertoire:
    """One value of Specific Character Set, ready to encode."""

    value: str
    """As it is written to (0008,0005)."""
    encode: Encode
    """The bytes of a text; raises UnicodeEncodeError where a character has none."""

    def nearest(self, text: str) -> bytes:
        """The bytes of what comes nearest: letters without their accents, `?` for what has no likeness."""
        try:
            return self.encode(text)
        except UnicodeEncodeError:
            return self.encode("".join(self._nearest(text)))

    def _nearest(self, text: str) -> Iterator[str]:
        for character in text:
            if self._has(character):
                yield character
            elif not unicodedata.combining(character):
                plain = unicodedata.normalize("NFKD", character)[0]
                yield plain if self._has(plain) else "?"

    def _has(self, character: str) -> bool:
        try:
            self.encode(character)
        except UnicodeEncodeError:
            return False
        return True


@lru_cache(maxsize=256)
def repertoire(value: str) -> Repertoire | None:
    """The Repertoire of a value of (0008,0005), terms joined by backslashes; None where one is unknown."""
    terms = [defined_term(term) for term in value.split("\\")]
    if len(terms) == 1 and terms[0] in _WHOLE:
        return Repertoire(terms[0], _plain(_WHOLE[terms[0]]))
    if any(term not in _SINGLE and term not in DESIGNATIONS for term in terms):
        return None
    if len(terms) == 1 and terms[0] in _SINGLE:
        return Repertoire(terms[0], _plain(_SINGLE[terms[0]]))
    if len(terms) == 1 and terms[0] != "ISO_IR 13":
        # PS3.3 C.12.1.1.2: sets of several bytes stand behind a first value, which may be empty.
        terms = ["", *terms]
    return Repertoire(_written(terms), _Extended(terms))


def _written(terms: Sequence[str]) -> str:
    if len(terms) == 1:
        return terms[0]
    return "\\".join(term.replace("ISO_IR", "ISO 2022 IR") for term in terms)


def _plain(codec: str) -> Encode:
    def encode(text: str) -> bytes:
        return text.encode(codec)

    return encode


class _Extended:
    """Encodes with code extensions: sets are designated where a character needs another one."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._roman = terms[0] == "ISO_IR 13"
        first = DESIGNATIONS.get(terms[0])
        self._initial = first.codec if first and first.element == 1 else ""
        """The set in G1 where nothing was designated."""
        self._sets = [DESIGNATIONS[term] for term in terms if term in DESIGNATIONS]

    def __call__(self, text: str) -> bytes:
        if text.isascii():
            return text.encode("ascii")
        written = bytearray()
        g0, g1 = "", self._initial
        for place, character in enumerate(text):
            if character.isascii():
                g0 = self._to_ascii(g0, written)
                written += character.encode("ascii")
                # PS3.5 6.1.2.5.3: a delimiter brings the first value's sets back.
                g1 = self._initial if character in _DELIMITERS else g1
                continue
            element, escape, codec, value = self._found(text, place, (g0, g1))
            if codec not in (g0, g1):
                written += escape
            g0, g1 = (codec, g1) if element == 0 else (g0, codec)
            written += value
        self._to_ascii(g0, written)
        return bytes(written)

    def _to_ascii(self, g0: str, written: bytearray) -> str:
        if g0:
            written += _ROMAN_AGAIN if self._roman else _ASCII_AGAIN
        return ""

    def _found(self, text: str, place: int, active: tuple[str, str]) -> tuple[int, bytes, str, bytes]:
        """(code element, its escape sequence, set, bytes) of one character, in an active set if it can be."""
        found: tuple[int, bytes, str, bytes] | None = None
        for element, escape, codec in self._sets:
            value = _bytes_of(text[place], codec)
            if value is not None and (found is None or codec in active):
                found = (element, escape, codec, value)
        if found is None:
            raise UnicodeEncodeError("iso2022", text, place, place + 1, "in none of the character sets")
        return found


@lru_cache(maxsize=16384)
def _bytes_of(character: str, codec: str) -> bytes | None:
    try:
        if codec in _JIS:
            escape, name = _JIS[codec]
            value = character.encode(name)
            return value[len(escape) : -3] if value.startswith(escape) else None
        if codec == "katakana":
            value = character.encode("shift_jis")
            return value if len(value) == 1 and value[0] in _KATAKANA else None
        value = character.encode(codec)
    except UnicodeEncodeError:
        return None
    return value if value[0] >= 0xA0 else None


_BY_DELIMITER: Final = re.compile(r"([\^=\\])")


def readable_name(name: str, target: Repertoire) -> str:
    """A person name without the component groups of which the repertoire has nothing (PS3.5 6.2.1)."""
    groups = name.split("=")
    kept = [group if _has_some(group, target) else "" for group in groups]
    return "=".join(kept).rstrip("=") if any(kept) else name


def _has_some(group: str, target: Repertoire) -> bool:
    letters = [piece for piece in _BY_DELIMITER.split(group) if piece and piece not in "^=\\"]
    return any(set(target.nearest(letter)) - set(b"? ") for letter in letters)
