"""What a setting may be: a parser for each kind of value, and how a value is shown.

A parser takes a flag, an environment value or a TOML value, and gives the setting's own type; it raises
ValueError with the end of a sentence.
"""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

_SIZES = {
    "": 1,
    "B": 1,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value.strip()


def path(value: object) -> Path:
    """A path; ~ is the home folder."""
    return Path(value if isinstance(value, Path) else text(value)).expanduser()


def truth(value: object) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    known = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if isinstance(value, str) and value.strip().lower() in known:
        return known[value.strip().lower()]
    raise ValueError("must be true or false")


def number(least: int, most: int) -> Callable[[object], int]:
    """A parser of whole numbers in these bounds."""

    def parse(value: object) -> int:
        try:
            found = int(str(value).strip()) if not isinstance(value, bool) else None
        except ValueError:
            found = None
        if found is None or not least <= found <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return found

    return parse


def size(value: object) -> int:
    """A number of bytes."""
    written = str(value).strip().upper().replace(" ", "")
    digits = written.rstrip("BIKMG")
    if not digits.isdecimal() or written[len(digits) :] not in _SIZES:
        raise ValueError("must be a number of bytes, such as 1024 or 64MiB")
    return int(digits) * _SIZES[written[len(digits) :]]


def pdu_size(value: object) -> int:
    """A length of PDUs that can be worked with."""
    found = size(value)
    # PS3.8 D.1: 0 would let a peer fill our memory; below 4 KiB heads outweigh what they carry.
    if not 4096 <= found <= 16 << 20:
        raise ValueError("must be from 4096 bytes to 16 MiB")
    return found


def choice(*known: str) -> Callable[[object], str]:
    """A parser of one of these words."""

    def parse(value: object) -> str:
        if value not in known:
            raise ValueError("must be one of " + ", ".join(known))
        return str(value)

    return parse


def ae_title(value: object) -> str:
    """An application entity title."""
    title = text(value)
    if len(title) > 16 or "\\" in title or not title.isascii() or not title.isprintable():
        raise ValueError("must be 1 to 16 printable ASCII characters without a backslash (PS3.5 6.2, AE)")
    return title


def url(*schemes: str) -> Callable[[object], str]:
    """A parser of URLs with one of these schemes."""

    def parse(value: object) -> str:
        address = text(value)
        if urlsplit(address).scheme not in schemes:
            raise ValueError("must begin with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return address

    return parse


def origins(value: object) -> tuple[str, ...]:
    """Origins of web pages."""
    items = (
        value.split(",")
        if isinstance(value, str)
        else list(value)
        if isinstance(value, list | tuple)
        else [value]
    )
    return tuple(url("http", "https")(item).rstrip("/") for item in items if item != "")


def _items(value: object) -> list[str]:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        raise ValueError("must be a list of texts")  # noqa: TRY004  (what parsers raise)
    return [text(item) for item in given if item != ""]


def roles(value: object) -> tuple[str, ...]:
    """Pairs of a value and a role."""
    items = (
        tuple(f"{given}={role}" for given, role in value.items())
        if isinstance(value, dict)
        else tuple(item.strip() for item in _items(value))
    )
    if any(not re.fullmatch(r".+=\S+", item) for item in items):
        raise ValueError("must be pairs such as radiology=viewer")
    return items


def networks(value: object) -> tuple[str, ...]:
    """Addresses and networks."""
    try:
        return tuple(str(ipaddress.ip_network(item)) for item in _items(value))
    except ValueError as error:
        raise ValueError(f"must be addresses or networks such as 10.0.0.0/8: {error}") from error


def hosts(value: object) -> tuple[str, ...]:
    """Names of hosts; *. stands for all below."""
    items = tuple(item.lower().rstrip(".") for item in _items(value))
    if any(not re.fullmatch(r"(\*\.)?[\w.-]+|[0-9a-f:]+", item) for item in items):
        raise ValueError("must be names such as box.example.org or *.example.org, without a port")
    return items


def shown(value: object) -> str:
    """A value as a person reads it; a password in a URL is masked."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(value)
    return _masked(str(value))


def _masked(value: str) -> str:
    parts = urlsplit(value) if "://" in value else None
    if parts is None or (parts.password is None and not parts.query):
        return value
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{parts.username}:***@{host}" if parts.password is not None else parts.netloc
    return urlunsplit(parts._replace(netloc=netloc, query="***" if parts.query else ""))
