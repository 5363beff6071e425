"""Reading multipart answers with the standard library's own parser, not ours."""

import email.parser
import email.policy
from dataclasses import dataclass
from email.message import Message

import httpx


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a multipart answer."""

    headers: Message
    content: bytes

    @property
    def content_type(self) -> str:
        return str(self.headers["Content-Type"])


def parts(response: httpx.Response) -> list[Part]:
    """The parts of a multipart/related answer; raises AssertionError where it is none or is cut short."""
    header = Message()
    header["Content-Type"] = response.headers["Content-Type"]
    assert header.get_content_type() == "multipart/related", header["Content-Type"]
    boundary = header.get_param("boundary")
    assert isinstance(boundary, str)
    delimiter = b"\r\n--" + boundary.encode()
    pieces = (b"\r\n" + response.content).split(delimiter)
    assert pieces[0] == b""
    assert pieces[-1].startswith(b"--"), "the last delimiter is missing"
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    assert piece.startswith(b"\r\n")
    head, _, content = piece[2:].partition(b"\r\n\r\n")
    parser = email.parser.BytesHeaderParser(policy=email.policy.compat32)
    return Part(headers=parser.parsebytes(head + b"\r\n\r\n"), content=content)
