"""Application entity titles (PS3.5 6.2, AE): what can be one, and how one that cannot is shown."""

LONGEST = 16
"""Characters."""
WORDS = "1 to 16 printable ASCII characters without a backslash"
_HIDDEN = "·"


def ae_title_of(text: str) -> str | None:
    """The title without the spaces around it, which mean nothing; None where it can be none."""
    title = text.strip(" ")
    return title if title and len(title) <= LONGEST and all(map(_may_be_in_one, title)) else None


def shown_ae_title(text: str) -> str:
    """Whatever was sent as a title, harmless in a log, a table or a page, and no longer than one."""
    return "".join(one if _may_be_in_one(one) else _HIDDEN for one in text.strip(" ")[:LONGEST])


def _may_be_in_one(character: str) -> bool:
    return " " <= character <= "~" and character != "\\"
