"""multipart/related (RFC 2046 5.1, RFC 2387; PS3.18 8.6.1.2): a streaming reader and a strict writer.

The reader takes what clients really send: a preamble, a leading CRLF, bare line feeds, white space after the
boundary, parts without headers, a body that ends right behind its last `--`, an epilogue. It is strict in
one thing: only a whole line made of the boundary is a delimiter, so that a boundary string inside pixel data
stays pixel data.
"""

import re
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass

from dicomweb_box.errors import BadRequest

MOST_HEADER_BYTES = 16 * 1024
MOST_PREAMBLE_BYTES = 64 * 1024
MOST_PADDING_BYTES = 256
MOST_BOUNDARY_BYTES = 1024

_BLANK_LINE = re.compile(rb"\n\r?\n")
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:|\r?\n")
_FIELD_SO_FAR = re.compile(rb"(?:[!-9;-~]+[ \t]*|\r)?\Z")
_CR = 0x0D


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins; names of header fields are in lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part that began last is complete."""


Event = PartBegin | memoryview | PartEnd
"""What the reader tells; a memoryview is a piece of the present part's data within the bytes fed."""

_END = PartEnd()


class Parser:
    """Reads a multipart body from pieces of any size, keeping no more than a delimiter or one part's headers.

    Read each answer of `feed` and of `close` to its end before the next call.
    """

    __slots__ = ("_bare", "_discarded", "_held", "_line", "_needle", "_part", "_skip", "_so_far", "_state")

    def __init__(self, boundary: str | bytes) -> None:
        """Raises BadRequest where `boundary` cannot be one (RFC 2046 5.1.1)."""
        raw = boundary.encode("latin-1", "replace") if isinstance(boundary, str) else boundary
        if not raw or len(raw) > MOST_BOUNDARY_BYTES or b"\n" in raw or b"\r" in raw:
            raise BadRequest(
                "The multipart boundary in the Content-Type header is empty, too long or broken."
            )
        self._needle = b"\n--" + raw
        literal = re.escape(self._needle)
        padding = rb"[ \t]{0,%d}" % MOST_PADDING_BYTES
        self._line = re.compile(literal + rb"(--)?" + padding + rb"(\r?)\n")
        self._so_far = re.compile(literal + rb"(?:-|(?:--)?" + padding + rb"\r?)\Z")
        # The body's first line has no line end before it: this one makes it like all others.
        self._held = b"\n"
        self._state: Callable[[bytes, int], Generator[Event, None, int]] = self._before_parts
        self._discarded = -1
        self._skip = (
            0  # bytes at the head of the buffer that a delimiter may begin with, but that are no data
        )
        self._part = 0
        self._bare = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """What `data`, the next bytes of the body, tells; raises BadRequest where they cannot be meant."""
        buffer = self._held + data if self._held else data
        self._held = b""
        position = 0
        while position < len(buffer):
            position = yield from self._state(buffer, position)

    def close(self) -> Iterator[Event]:
        """The last events, after the last byte was fed; raises BadRequest where the body broke off."""
        if self._state == self._before_parts and self._discarded + len(self._held) <= 0:
            raise BadRequest("The body is empty.")
        if self._state != self._after_parts:
            yield from self.feed(b"\n")  # the closing delimiter needs no line end behind it
        if self._state == self._before_parts:
            raise BadRequest("No line of the body is the boundary that the Content-Type header names.")
        if self._state != self._after_parts:
            raise BadRequest(f"The body ends within part {self._part}: the closing boundary is missing.")

    # Each state looks at `buffer` from `position` on, keeps in `_held` what it cannot decide yet, and returns
    # the position from which the state that is now set goes on.

    def _before_parts(self, buffer: bytes, position: int) -> Generator[Event, None, int]:
        yield from ()
        end, line = self._next_delimiter(buffer, position)
        self._discarded += end - position
        if self._discarded > MOST_PREAMBLE_BYTES:
            raise BadRequest("The body does not begin with the boundary that the Content-Type header names.")
        if line is None:
            return self._hold(buffer, end)
        self._bare = not line[2]
        return self._pass(line)

    def _in_headers(self, buffer: bytes, position: int) -> Generator[Event, None, int]:
        # `position` is at the line feed that ends the delimiter: so "no headers" is a blank line too.
        most = position + MOST_HEADER_BYTES
        if not self._begins_headers(buffer, position):
            if self._may_begin_headers(buffer, position) and len(buffer) < most:
                return self._hold(buffer, position)
            yield PartBegin({})  # neither header nor blank line: the data begin at once
            return self._begin_data(position)
        blank = _BLANK_LINE.search(buffer, position, most)
        end, line = self._next_delimiter(buffer, position, blank.start() if blank else most)
        if line:  # a part that is nothing but headers
            yield PartBegin(_fields(buffer[position:end]))
            yield _END
            return self._pass(line)
        if blank:
            yield PartBegin(_fields(buffer[position : blank.start()]))
            return self._begin_data(blank.end() - 1)
        if len(buffer) >= most:
            raise BadRequest(
                f"The headers of part {self._part} are longer than {MOST_HEADER_BYTES // 1024} KB."
            )
        return self._hold(buffer, position)

    def _in_data(self, buffer: bytes, position: int) -> Generator[Event, None, int]:
        end, line = self._next_delimiter(buffer, position)
        begin = max(position, self._skip)
        if end > begin:
            yield memoryview(buffer)[begin:end]
        if line is None:
            self._skip = max(0, self._skip - end)
            return self._hold(buffer, end)
        self._skip = 0
        yield _END
        return self._pass(line)

    def _after_parts(self, buffer: bytes, position: int) -> Generator[Event, None, int]:
        yield from ()
        return len(buffer)

    def _begins_headers(self, buffer: bytes, position: int) -> bool:
        return not buffer.startswith(self._needle, position) and bool(_FIELD.match(buffer, position + 1))

    def _may_begin_headers(self, buffer: bytes, position: int) -> bool:
        if len(buffer) - position < len(self._needle) and self._needle.startswith(buffer[position:]):
            return True
        return not buffer.startswith(self._needle, position) and bool(
            _FIELD_SO_FAR.match(buffer, position + 1)
        )

    def _begin_data(self, position: int) -> int:
        # The line feed before the data may begin the next delimiter: then there are no data.
        self._state = self._in_data
        self._skip = position + 1
        return position

    def _pass(self, line: re.Match[bytes]) -> int:
        if line[1]:
            self._state = self._after_parts
        else:
            self._state = self._in_headers
            self._part += 1
        return line.end() - 1

    def _hold(self, buffer: bytes, position: int) -> int:
        self._held = buffer[position:]
        return len(buffer)

    def _next_delimiter(
        self, buffer: bytes, position: int, stop: int | None = None
    ) -> tuple[int, re.Match[bytes] | None]:
        """Where what precedes the next delimiter (begun before `stop`) ends, and its line.

        Without a line: what follows that place is undecided.
        """
        needle = self._needle
        most = len(buffer) if stop is None else min(len(buffer), stop + len(needle))
        at = buffer.find(needle, position, most)
        while at >= 0:
            line = self._line.match(buffer, at)
            if line or self._so_far.match(buffer, at):
                return self._line_end(buffer, at, position), line
            at = buffer.find(needle, at + 1, most)
        at = buffer.rfind(b"\n", max(position, len(buffer) - len(needle) + 1))
        if at >= 0 and needle.startswith(buffer[at:]):
            return self._line_end(buffer, at, position), None
        return self._line_end(buffer, len(buffer), position), None

    def _line_end(self, buffer: bytes, at: int, position: int) -> int:
        # A sender of bare line feeds means its carriage returns as data.
        return at - 1 if not self._bare and at > position and buffer[at - 1] == _CR else at


def _fields(block: bytes) -> dict[str, str]:
    """Header fields by lower-case name: the first of equal ones, folded lines joined (RFC 5322 2.2.3)."""
    fields: dict[str, str] = {}
    for line in re.sub(rb"\r?\n[ \t]+", b" ", block).decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def part_head(boundary: str, content_type: str, *, first: bool = False, **headers: str) -> bytes:
    """What precedes one part's data; `content_location="x"` becomes `Content-Location: x`.

    The line end that closes the data before it is included: `first=True` leaves it out at the head of a body.
    Clients find `Content-Type:` by its capitals, and the end of the headers within 1,000 bytes.
    """
    lines = [f"--{boundary}", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if first else b"\r\n" + head


def closing(boundary: str) -> bytes:
    """What follows the last part's data."""
    return f"\r\n--{boundary}--\r\n".encode("latin-1")


def new_boundary() -> str:
    """A boundary that no data contains, but for a chance of 2 to the power of -128."""
    return secrets.token_hex(16)
