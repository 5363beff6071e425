"""Conditional and range requests: If-None-Match, Range, If-Range (RFC 9110 13, 14)."""

import re
from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]

_ONE_RANGE = re.compile(rb"\s*bytes\s*=\s*(?:(\d{1,18})\s*-\s*(\d{0,18})|-\s*(\d{1,18}))\s*", re.IGNORECASE)


class NotSatisfiable(Exception):
    """The range asked for holds no byte of the representation."""


def not_modified(headers: Headers, etag: str) -> bool:
    """Whether If-None-Match names this representation (RFC 9110 13.1.2, weak comparison)."""
    for name, value in headers:
        if name == b"if-none-match":
            asked = {one.strip().removeprefix("W/") for one in value.decode("latin-1").split(",")}
            if "*" in asked or etag.removeprefix("W/") in asked:
                return True
    return False


def wanted_range(headers: Headers, method: str, etag: str | None, total: int) -> tuple[int, int] | None:
    """First and end of the bytes asked for; None where the whole is to be sent. Raises NotSatisfiable.

    Several ranges in one request are answered with the whole, as RFC 9110 14.2 allows.
    """
    asked: bytes | None = None
    condition: bytes | None = None
    for name, value in headers:
        if name == b"range":
            asked = value
        elif name == b"if-range":
            condition = value
    if asked is None or method != "GET":
        return None
    # A date can never be right: no Last-Modified is sent.
    if condition is not None and (etag is None or condition.strip() != etag.encode("latin-1")):
        return None
    match = _ONE_RANGE.fullmatch(asked)
    return None if match is None else _bounds(match, total)


def _bounds(match: re.Match[bytes], total: int) -> tuple[int, int] | None:
    first, last, suffix = match.groups()
    if suffix is not None:
        if int(suffix) == 0 or total == 0:
            raise NotSatisfiable
        return max(total - int(suffix), 0), total
    start = int(first)
    if last and int(last) < start:
        return None  # malformed: as if it were not there
    if start >= total:
        raise NotSatisfiable
    return start, min(int(last) + 1, total) if last else total
