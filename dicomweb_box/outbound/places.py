"""Places: so many associations a peer may have at once with all processes of this machine.

A place is a byte of one file that its holder locks. The kernel lets go of what a process holds when it ends,
however that is, so that no place is lost with a process that was killed.
"""

import fcntl
import hashlib
import io
from collections.abc import Callable
from contextlib import suppress
from errno import EACCES, EAGAIN
from functools import partial
from typing import Final

from dicomweb_box.box import Box
from dicomweb_box.outbound.known_peers import Peer

FILE: Final = "associations.lock"
_WIDTH: Final = 1 << 10
"""Bytes of a peer: no less than the most associations that one may have."""

_TAKEN: Final = frozenset((EACCES, EAGAIN))


class Places:
    """Those of the data folder, of which this process holds some."""

    def __init__(self, box: Box) -> None:
        self._path = box.settings.data / FILE
        self._file: io.FileIO | None = None
        self._held: set[int] = set()
        """A process is not kept out by its own locks."""

    def take(self, peer: Peer) -> Callable[[], None] | None:
        """Hold a place of a peer; what lets go of it again, or None where it has all of its places."""
        first = _WIDTH * int.from_bytes(hashlib.sha256(peer.id.encode()).digest()[:6])
        for place in range(first, first + peer.associations):
            if place not in self._held and self._lock(place):
                self._held.add(place)
                return partial(self._let_go, place)
        return None

    def _lock(self, place: int) -> bool:
        try:
            fcntl.lockf(self._opened(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError as error:
            # Where a file system has no locks, each process counts alone.
            return error.errno not in _TAKEN
        return True

    def _let_go(self, place: int) -> None:
        if self._file is not None and place in self._held:
            self._held.discard(place)
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def _opened(self) -> io.FileIO:
        # Once alone: a process loses all its locks on a file when it closes any descriptor of it.
        if self._file is None:
            self._file = io.FileIO(self._path, "a+")
        return self._file

    async def close(self) -> None:
        """Let go of all."""
        if self._file is not None:
            self._file.close()
            self._file = None


def places(box: Box) -> Places:
    """Those that this process takes."""
    return box.resource(Places, Places)
