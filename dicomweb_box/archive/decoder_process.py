"""A process of its own for codecs: what kills or hangs one, kills or hangs no server.

It is started with a socket and a file of memory. A job is a message on the socket, its bytes lie in the file,
and so do those of the answer. It ends when the socket does; its alarm ends it when a job takes too long: a
server that is killed leaves nobody behind.
"""

import os
import resource
import signal
import socket
import struct
import sys
from typing import Any

import orjson

from dicomweb_box.dicom import pixels, transcode
from dicomweb_box.dicom.image import Image
from dicomweb_box.errors import BoxError

LENGTH = struct.Struct("<I")
READY = b"\x06"
MOST_GROWN = 256 << 20
"""Bytes that the process may keep beyond what it had at its start; then it asks to be replaced."""
_MOST_AT_ONCE = 1 << 30
_PIECE = 1 << 16
_PAGE = resource.getpagesize()


def message(content: dict[str, Any]) -> bytes:
    """A job or an answer as it goes over the socket."""
    text = orjson.dumps(content)
    return LENGTH.pack(len(text)) + text


def received(connection: socket.socket) -> dict[str, Any] | None:
    """The next message; None where the other side is gone. Nothing follows it before it is answered."""
    got = b""
    while len(got) < LENGTH.size or len(got) < LENGTH.size + LENGTH.unpack_from(got)[0]:
        more = connection.recv(_PIECE)
        if not more:
            return None
        got += more
    found: dict[str, Any] = orjson.loads(got[LENGTH.size :])
    return found


def job(image: Image, size: int, seconds: float, target: str | None) -> dict[str, Any]:
    """A frame of `size` bytes in the file, to be made native, or encoded as `target`, within some seconds."""
    return {"image": image, "size": size, "seconds": seconds, "target": target}


def main(connection: socket.socket, memory: int, most: int) -> None:
    """Do jobs until the other side is gone; `most`: bytes of address space beyond what the start took."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the server ends us when it has drained
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _warm()
    size, start = _sizes()
    most_kept = start + MOST_GROWN
    resource.setrlimit(resource.RLIMIT_AS, (size + most, size + most))
    connection.sendall(READY)
    while (asked := received(connection)) is not None:
        signal.setitimer(signal.ITIMER_REAL, asked["seconds"])
        answer = _done(asked, memory)
        signal.setitimer(signal.ITIMER_REAL, 0)
        # What it had at most costs less to learn than what it has.
        answer["retire"] = _peak() > most_kept and _sizes()[1] > most_kept
        connection.sendall(message(answer))


def _warm() -> None:
    """Import what every job needs, before the limit is set."""
    from dicomweb_box.dicom import codecs

    codecs.warm()


def _done(asked: dict[str, Any], memory: int) -> dict[str, Any]:
    try:
        made = _made(Image(**asked["image"]), read(memory, asked["size"]), asked["target"])
        write(memory, made)
    except MemoryError:
        return {"damaged": "a frame takes more memory than is allowed", "retire": True}
    except BoxError as error:
        return {"damaged": str(error)}
    return {"size": len(made)}


def _made(image: Image, frame: bytes, target: str | None) -> bytes | memoryview:
    native = pixels.decoded(image, frame) if image.encapsulated else frame
    return native if target is None else transcode.encode(image, bytes(native), target)


def read(memory: int, size: int) -> bytes:
    """The first bytes of the file of memory."""
    if size <= _MOST_AT_ONCE:
        return os.pread(memory, size, 0)
    return b"".join(
        os.pread(memory, min(_MOST_AT_ONCE, size - at), at) for at in range(0, size, _MOST_AT_ONCE)
    )


def write(memory: int, native: bytes | memoryview) -> None:
    """Put bytes at the beginning of the file of memory."""
    at, view = 0, memoryview(native)
    while at < len(view):
        at += os.pwrite(memory, view[at : at + _MOST_AT_ONCE], at)


def _peak() -> int:
    """The most bytes of memory that were in use."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _sizes() -> tuple[int, int]:
    """Bytes of address space and of memory in use."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        size, resident = file.read().split()[:2]
    return int(size) * _PAGE, int(resident) * _PAGE


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]))
