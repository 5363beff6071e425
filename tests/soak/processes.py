"""Memory and CPU of a server's processes, from /proc."""

from pathlib import Path


def tree(root: int) -> list[int]:
    """The process ids of `root` and of all below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += parents.get(process, [])
    return found


def peaks(root: int) -> dict[int, int]:
    """The highest resident memory, in MB, that each process of the tree has had."""
    return {process: _status(process, "VmHWM") // 1024 for process in tree(root)}


def _stat(process: int) -> list[str]:
    try:
        # The command name may hold spaces and parentheses: fields are counted from behind its last one.
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _status(process: int, name: str) -> int:
    try:
        for line in (Path("/proc") / str(process) / "status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
