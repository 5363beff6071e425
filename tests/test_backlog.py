"""The end of a listening socket."""

import socket
import sys

import pytest

from dicomweb_box import backlog


def _listener() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


def test_each_who_waits_is_taken_once() -> None:
    with _listener() as listener:
        clients = [socket.create_connection(listener.getsockname(), 10) for _ in range(3)]

        taken = list(backlog.waiting(listener))

        assert [one.getpeername() for one in taken] == [one.getsockname() for one in clients]
        assert list(backlog.waiting(listener)) == []
        for one in (*clients, *taken):
            one.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can close a backlog")
def test_a_closed_backlog_keeps_who_waits_and_lets_nobody_in_through_any_copy() -> None:
    with _listener() as listener, listener.dup() as shared:
        waits = socket.create_connection(listener.getsockname(), 10)

        backlog.close_to_newcomers(shared)

        with pytest.raises(TimeoutError):
            socket.create_connection(listener.getsockname(), 0.2)
        (taken,) = backlog.waiting(listener)
        assert taken.getpeername() == waits.getsockname()
        waits.close()
        taken.close()
