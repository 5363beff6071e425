"""The decoder processes of one server process: started at the first job, ended when they have been idle."""

import contextlib
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from dicomweb_box.archive.apart import environment
from dicomweb_box.archive.decoder_process import READY, job, message, read, received, write
from dicomweb_box.dicom.image import Image
from dicomweb_box.errors import Damaged, OutOfResources

log = logging.getLogger(__name__)

MOST_JOBS = 5000
"""Jobs after which a process is replaced: whatever a codec leaks, ends there."""
START_SECONDS = 30.0
LEAST_SECONDS = 5.0
BYTES_A_SECOND = 2_000_000
"""What the slowest codec does on a busy machine, with a wide margin."""
GRACE = 1.0
"""Seconds after a job's own limit before the process is killed from outside."""
KEPT_MEMORY = 16 << 20
"""Bytes of the file of memory that are kept between jobs."""
_MOST_ADDED = 1 << 20
"""Bytes by which an encoded frame may be longer than twice its native ones: headers of tiny frames."""
_ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
"""What glibc keeps for the next job: to take its pages anew costs as much as decoding them by RLE."""
_MODULE = "dicomweb_box.archive.decoder_process"


class DecoderPool:
    """As many processes as threads ask at the same time. Its methods wait: they are called in threads."""

    def __init__(self, *, seconds: float, most: int, idle: float = 60.0) -> None:
        self._seconds, self._most, self._idle = seconds, most, idle
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        self._all: set[_Process] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def made(self, image: Image, frame: bytes, target: str | None = None) -> bytes:
        """One frame, stored as the image says, made native or encoded in the transfer syntax `target`.

        Raises Damaged where it cannot be decoded, takes too long or breaks its process; OutOfResources
        where no decoder process can be started.
        """
        with self._process() as process:
            # A small frame that takes long is a trap: it need not hold its process as long as a large one.
            seconds = min(self._seconds, LEAST_SECONDS + image.frame_length / BYTES_A_SECOND)
            return process.made(image, frame, seconds, target)

    def end_idle(self) -> None:
        """End the processes that have had nothing to do for long."""
        kept = []
        with contextlib.suppress(queue.Empty):
            while True:
                process = self._free.get_nowait()
                if process.idle_for() > self._idle:
                    self._drop(process)
                else:
                    kept.append(process)
        for process in reversed(kept):
            self._free.put(process)

    def close(self) -> None:
        """End every process, also one that is at work."""
        with self._lock:
            self._closed.set()
            for process in self._all:
                process.kill()
        with contextlib.suppress(queue.Empty):
            while True:
                self._drop(self._free.get_nowait())

    @property
    def processes(self) -> list[int]:
        """The ids of the running processes."""
        return [process.id for process in list(self._all)]

    @contextlib.contextmanager
    def _process(self) -> Iterator["_Process"]:
        try:
            process = self._free.get_nowait()
        except queue.Empty:
            process = self._started()
        try:
            yield process
        finally:
            # One that is at work when all are ended is let go of here, by the thread that uses it.
            if process.spent or self._closed.is_set():
                self._drop(process)
            else:
                self._free.put(process)

    def _started(self) -> "_Process":
        if self._closed.is_set():
            raise OutOfResources("the server is stopping")
        try:
            process = _Process(self._most)
        except OSError as error:
            raise OutOfResources(f"no decoder process can be started: {error.strerror}") from error
        with self._lock:
            closed = self._closed.is_set()
            if not closed:
                self._all.add(process)
        if closed:
            process.end()
            raise OutOfResources("the server is stopping")
        return process

    def _drop(self, process: "_Process") -> None:
        with self._lock:
            known = process in self._all
            self._all.discard(process)
        if known:
            process.end()


class _Process:
    """One decoder process, used by one thread at a time."""

    def __init__(self, most: int) -> None:
        self._memory = os.memfd_create("frames", os.MFD_CLOEXEC)
        self._connection, theirs = socket.socketpair()
        try:
            self._popen = subprocess.Popen(  # noqa: S603  (our own module; numbers for arguments)
                [sys.executable, "-m", _MODULE, str(theirs.fileno()), str(self._memory), str(most)],
                env=environment() | _ALLOCATION,
                pass_fds=(theirs.fileno(), self._memory),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except BaseException:
            self._connection.close()
            os.close(self._memory)
            raise
        finally:
            theirs.close()
        self._jobs = 0
        self._used = time.monotonic()
        self.spent = False
        self._ready = False
        self._settled = True
        """Whether the answer to the last job was read."""

    @property
    def id(self) -> int:
        """The process's id."""
        return self._popen.pid

    def idle_for(self) -> float:
        """Seconds since its last job."""
        return time.monotonic() - self._used

    def made(self, image: Image, frame: bytes, seconds: float, target: str | None) -> bytes:
        """As `DecoderPool.made`."""
        try:
            return self._made(image, frame, seconds, target)
        except TimeoutError:
            self.spent = True
            raise Damaged(f"a frame is not done in {seconds:.1f} seconds") from None
        except OSError as error:
            self.spent = True
            raise Damaged("a frame breaks its decoder") from error
        except BaseException:
            self.spent = self.spent or not self._settled
            raise
        finally:
            self._used = time.monotonic()

    def _made(self, image: Image, frame: bytes, seconds: float, target: str | None) -> bytes:
        self._settled = False
        if not self._ready:
            self._connection.settimeout(START_SECONDS)
            if self._connection.recv(1) != READY:
                self.spent = True
                raise OutOfResources("a decoder process did not start")
            self._ready = True
        self._connection.settimeout(seconds + GRACE)
        write(self._memory, frame)
        self._connection.sendall(message(job(image, len(frame), seconds, target)))
        answer = received(self._connection)
        if answer is None:
            raise self._mourned(seconds)
        self._settled = True
        self._jobs += 1
        self.spent = answer.get("retire", False) or self._jobs >= MOST_JOBS
        if "damaged" in answer:
            raise Damaged(answer["damaged"])
        size = answer["size"]
        most = image.frame_length if target is None else 2 * image.frame_length + _MOST_ADDED
        if size > most or (target is None and size != most):
            raise Damaged(f"a frame decodes to {size} bytes, not {image.frame_length}")
        made = read(self._memory, size)
        if max(len(made), len(frame)) > KEPT_MEMORY:
            os.ftruncate(self._memory, 0)
        return made

    def _mourned(self, seconds: float) -> Damaged:
        self.spent = True
        code = self._popen.wait(GRACE)
        log.warning("a decoder process ended with code %d over a frame", code)
        if code == -14:
            return Damaged(f"a frame is not done in {seconds:.1f} seconds")
        return Damaged("a frame breaks its decoder")

    def kill(self) -> None:
        """End it; whoever waits for it learns so."""
        self._popen.kill()

    def end(self) -> None:
        """End it and let go of what was shared with it; once, and by nobody but who uses it."""
        self._popen.kill()
        self._popen.wait()
        self._connection.close()
        os.close(self._memory)
