"""A module of ours run as a process of its own for one job: what kills or hangs a codec, kills no server."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence

from dicomweb_box.errors import OutOfResources

_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
_START_SECONDS = 30.0


def environment() -> dict[str, str]:
    """The environment of such a process: nothing of ours, which holds the keys of stores and databases."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **_ENVIRONMENT}


def run_apart(module: str, arguments: Sequence[object], seconds: int) -> "subprocess.CompletedProcess[bytes]":
    """The process once it has ended, with what it wrote to its standard output. Blocks.

    Raises TimeoutError where it takes more than its seconds, OutOfResources where none can be started.
    """
    try:
        done = subprocess.run(  # noqa: S603  (our own module; paths and numbers for arguments)
            [sys.executable, "-m", module, *map(str, arguments)],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds + _START_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    except OSError as error:
        raise OutOfResources(f"no process for codecs can be started: {error.strerror}") from error
    if done.returncode == -signal.SIGALRM:
        raise TimeoutError
    return done


def limit(seconds: int, most: int) -> None:
    """Called by the process itself: it ends after so many seconds, and gets so many more bytes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + most, size + most))
    signal.alarm(seconds)
