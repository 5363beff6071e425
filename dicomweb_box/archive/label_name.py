"""Names of labels: what can be one, and which two are the same."""

import unicodedata

from dicomweb_box.errors import BadRequest

LONGEST = 64
"""Characters of a name: those of an LO value (PS3.5 6.2), by which labels are searched."""


def name_of(text: str) -> str:
    """The text as a label's name; BadRequest where it cannot be one."""
    name = written(text)
    if not name:
        raise BadRequest("A label has a name.")
    if len(name) > LONGEST or not name.isprintable() or "\\" in name:
        raise BadRequest(f"A label's name is 1 to {LONGEST} printable characters without a backslash.")
    return name


def written(text: str) -> str:
    """The text as names are kept, whether it can be one or not."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def fold(text: str) -> str:
    """What two labels may not share, and search compares: the name without regard to case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
