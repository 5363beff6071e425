"""Durable names: folders whose entries are on the disk, with fsyncs shared by those who wait together."""

import errno
import os
import threading
from collections import OrderedDict
from pathlib import Path

REMEMBERED = 4096
_NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL})


class _Turn:
    """The fsyncs of one folder, numbered in the order in which they start."""

    __slots__ = ("condition", "done", "error", "failed", "running", "started", "users")

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.users = 0
        self.started = 0
        self.done = 0
        self.running = False
        self.failed = 0
        self.error: OSError | None = None


class Folders:
    """Makes folders and their entries durable, below one root."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._lock = threading.Lock()
        self._turns: dict[str, _Turn] = {}
        self._known: OrderedDict[str, None] = OrderedDict()

    def ensure(self, folder: str) -> None:
        """Make the folder with all above it; each one's own entry is on the disk on return.

        Also for one that is there already: another process may have made it a moment ago and not synced yet.
        """
        if folder in self._known:
            return
        if folder != self._root:
            above = folder.rpartition("/")[0]
            self.ensure(above)
            Path(folder).mkdir(exist_ok=True)
            self.sync(above)
        else:
            _make_durably(Path(folder))
        with self._lock:
            self._known[folder] = None
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def forget(self, folder: str) -> None:
        """Take back what `ensure` remembered: somebody removed the folder."""
        with self._lock:
            while folder.startswith(self._root):
                self._known.pop(folder, None)
                folder = folder.rpartition("/")[0]

    def sync(self, folder: str) -> None:
        """Return once an fsync of the folder that started after this call ended; raises what it raised."""
        with self._lock:
            turn = self._turns.get(folder)
            if turn is None:
                turn = self._turns[folder] = _Turn()
            turn.users += 1
        try:
            self._wait_turn(turn, folder)
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    self._turns.pop(folder, None)

    def _wait_turn(self, turn: _Turn, folder: str) -> None:
        with turn.condition:
            # One that runs already may have begun before our entry was made: only the next one counts.
            wanted = turn.started + 1
            while turn.running and turn.done < wanted:
                turn.condition.wait()
            if turn.done >= wanted:
                if turn.failed >= wanted and turn.error is not None:
                    raise OSError(turn.error.errno, "fsync of a folder failed") from turn.error
                return
            turn.running = True
            turn.started += 1
        error = _fsync(folder)
        with turn.condition:
            turn.running = False
            turn.done = turn.started
            if error is not None:
                turn.failed, turn.error = turn.started, error
            turn.condition.notify_all()
        if error is not None:
            raise error


def _fsync(folder: str | Path) -> OSError | None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error
    return None


def _make_durably(folder: Path) -> None:
    """Make a folder outside of any root, with its parents, each entry on the disk on return.

    Those above it that were there may be as new (somebody made the data folder a moment ago), so all of them
    are synced; one that is not ours to open has been there for long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.parents:
        error = _fsync(path)
        if error is not None and error.errno not in _NOT_OURS:
            raise error
