"""The connections that wait at a listening socket, at its end.

The kernel has agreed to them and their clients may have sent a request, yet nobody accepted them: when the
last process closes the socket they are reset. So nobody new is let in, and then those who wait are taken.
"""

import ctypes
import socket
import struct
import sys
from collections.abc import Iterator

SO_ATTACH_FILTER = 26  # linux/asm-generic/socket.h
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # linux/filter.h: BPF_RET, of zero bytes


def close_to_newcomers(listener: socket.socket) -> None:
    """Let nobody new into the backlog, whichever processes share the socket; those who wait there stay.

    Newcomers are not answered, so that they ask again a second later, when the socket is closed. Where the
    system has no such means (it is Linux's) they are let in until then.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(DROP_ALL)
        listener.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program))
        )


def waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """Accept each connection that waits at a socket that does not block; they do not block either."""
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        except ConnectionError:
            continue  # it left meanwhile
        connection.setblocking(False)
        yield connection
