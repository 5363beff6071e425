"""A server to be attacked, and raw words to it."""

import socket
from collections.abc import Iterator

import pytest

from conformance.server import Server, start
from tests.attacks.planted import plant
from tests.browser.populated import populate


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps what asks the one server on one worker of a parallel run."""
    for item in items:
        if "/attacks/" in item.path.as_posix() and "server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("attacks"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with something on every page, and attacks in all of it that can be written by others."""
    started = start(tmp_path_factory.mktemp("attacks") / "data", "--workers", "1")
    try:
        populate(started)
        plant(started)
        yield started
    finally:
        started.kill()


def said(server: Server, words: bytes, *, seconds: float = 5.0) -> bytes:
    """All that is answered to words as they are, until the connection is closed or nothing more comes."""
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    answer = b""
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.settimeout(seconds)
        try:
            connection.sendall(words)
            while piece := connection.recv(65536):
                answer += piece
        except (TimeoutError, ConnectionError):
            pass
    return answer
