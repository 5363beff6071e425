"""CPU and memory of a server's processes, by the operating system's own accounting."""

import os
import re
import threading
import time
from pathlib import Path
from types import TracebackType

TICK = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """The process ids of `root` and of all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += children.get(process, [])
    return found


def cpu(root: int) -> float:
    """Seconds of user and system time that the tree has used, children that have ended included."""
    return sum(sum(map(int, fields[11:15])) for process in tree(root) if (fields := _fields(process))) / TICK


def cpu_exactly(root: int) -> float:
    """Seconds that the tree's living processes have used, to the nanosecond: for pieces of a second."""
    return sum(_clock(process) for process in tree(root))


def _clock(process: int) -> float:
    # What clock_getcpuclockid(3) gives for a process: its number, negated, before the kind of clock.
    try:
        return time.clock_gettime((~process << 3) | 2)
    except OSError:
        return 0.0


def memory(root: int) -> float:
    """Proportional set size of the tree in MiB: shared pages are counted once."""
    return sum(_pss(process) for process in tree(root)) / 1024


class Others:
    """What the machine's processors did for others than this process and its children, from its making on."""

    def __init__(self) -> None:
        self._began = self._now()

    def share(self) -> float:
        """The part of all the processors' time."""
        worked, ours, all_of_it = (now - then for now, then in zip(self._now(), self._began, strict=True))
        return max(0.0, worked - ours) / all_of_it

    def _now(self) -> tuple[float, float, float]:
        fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
        idle = fields[3] + fields[4]  # with the waiting for a disk; what other guests took is not idle
        return (sum(fields) - idle) / TICK, cpu(os.getpid()), sum(fields) / TICK


class Peak:
    """The highest memory of a tree within a `with` block, looked at ten times a second."""

    def __init__(self, root: int) -> None:
        self.mib = 0.0
        self._root = root
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.mib = max(self.mib, memory(self._root))


def _fields(process: int) -> list[str]:
    try:
        # The command name may hold spaces and parentheses: fields are counted from behind its last one.
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _pss(process: int) -> int:
    try:
        for line in (Path("/proc") / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        return _resident(process)
    return 0


def _resident(process: int) -> int:
    """What a server without root's eyes tells instead: with what it shares, so never too little."""
    try:
        found = re.search(r"VmRSS:\s+(\d+)", (Path("/proc") / str(process) / "status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0
