"""Person names as they are compared: without case, accents and width, in all groups (PS3.5 6.2.1)."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache

GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

# Letters that are drawn with a stroke or joined: Unicode gives them no decomposition.
_LETTERS = str.maketrans(
    {
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ł": "l",
        "ħ": "h",
        "ŧ": "t",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "ı": "i",
        "ŀ": "l",
    }
)
_DELIMITERS = str.maketrans({"^": " ", "=": " ", "\\": " "})
_TOKEN_END = re.compile(r"[\s^=,.\-'’*?]+")

Name = str | Mapping[str, str]


def fold(name: Name | None) -> str:
    """The name as the index keeps it: component groups joined by `=`, components by `^`, empty ends dropped.

    Takes the text of a PN value or its DICOM JSON object. Case, accents, width and repeated spaces are level.
    """
    if not name:
        return ""
    groups = name.split("=") if isinstance(name, str) else [name.get(group) or "" for group in GROUPS]
    return "=".join(_fold_group(group) for group in groups[:3]).rstrip("=")


def words(*texts: str) -> str:
    """Texts as a search for words compares them: no case, accents, width or delimiters; each on a line."""
    return "\n".join(level(text) for text in texts if text)


def level(text: str) -> str:
    """One text so, such as a word that is searched for."""
    return _level(text.translate(_DELIMITERS))


def groups(folded: str) -> tuple[str, ...]:
    """The component groups of a folded name that hold something."""
    return tuple(group for group in folded.split("=") if group)


def tokens(folded: str) -> tuple[str, ...]:
    """The words of a folded name, over all components and groups."""
    return tuple(token for token in _TOKEN_END.split(folded) if token)


def sounds_like(folded: str, asked: str) -> bool:
    """Whether every word of `asked` begins, or sounds like, a word of the name: our fuzzy matching.

    PS3.4 C.2.2.2.1.1 leaves the algorithm to be declared. Order and component do not matter ("john doe" finds
    `Doe^John`); a word matches a word that it begins, or one with the same phonetic key (see `phonetic_key`).
    """
    words = tokens(folded)
    return all(any(_word_matches(word, token) for word in words) for token in tokens(asked))


def sounds(folded: str) -> str:
    """The phonetic keys of the name's words as the index keeps them: `~key~`, joined by spaces."""
    return " ".join(sorted({f"~{phonetic_key(token)}~" for token in tokens(folded)}))


def _word_matches(word: str, token: str) -> bool:
    if word.startswith(token):
        return True
    key = phonetic_key(token)
    return len(key) > 1 and key == phonetic_key(word)


@lru_cache(maxsize=65536)
def phonetic_key(word: str) -> str:
    """A key that words of similar sound share, in European spellings; the word itself in other scripts.

    Letter groups are levelled (ph=f, ck=k, sch=sh, tz=z …), consonants of one place of speech share a letter,
    vowels after the first letter and doubled sounds fall away: maier = meyer = mayer, schmidt = schmitt.
    """
    if not word.isascii() or not word.isalpha():
        return word
    for group, sound in _SOUNDS:
        word = word.replace(group, sound)
    head = "a" if word[0] in "aeiouyj" else word[0]
    key = [_CLASSES.get(head, head)]
    for letter in word[1:]:
        sound = _CLASSES.get(letter, letter)
        if letter in "aeiouyhw" or sound == key[-1]:
            continue
        key.append(sound)
    return "".join(key)


_SOUNDS = (
    ("sch", "s"), ("sh", "s"), ("ch", "k"), ("ck", "k"), ("ph", "f"), ("tz", "z"), ("dt", "t"), ("th", "t"),
    ("qu", "k"),
    ("gh", "g"), ("kn", "n"), ("wr", "r"), ("x", "ks"), ("pf", "f"),
)  # fmt: skip
_CLASSES = {
    "b": "p", "d": "t", "v": "f", "w": "f", "c": "k", "g": "k", "q": "k", "z": "s",
}  # fmt: skip


def _fold_group(group: str) -> str:
    components = (_level(component) for component in group.split("^"))
    return "^".join(components).rstrip("^")


@lru_cache(maxsize=4096)
def _level(component: str) -> str:
    if component.isascii():
        return " ".join(component.lower().split())
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", component).casefold())
    text = unicodedata.normalize("NFC", "".join(_without_accents(text)))
    # A full-width ^ or = must not become a delimiter.
    return " ".join(text.translate(_LETTERS).translate(_DELIMITERS).split())


def _without_accents(text: str) -> Iterator[str]:
    for character in text:
        # Classes 7 to 9 are nukta, kana voicing marks and virama: they make another letter, no accent.
        if unicodedata.combining(character) < 10:
            yield character
