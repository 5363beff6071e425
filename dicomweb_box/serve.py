"""`serve`: a small supervisor that starts, watches and drains the role processes.

It binds the listening sockets and hands them down, so that a dead role refuses nobody: those who connect
meanwhile are taken by another role or by the restarted one. It runs no thread and no event loop, and opens
neither database nor blobs: a role is a fork of it, with everything imported already.
"""

import gc
import importlib
import logging
import os
import resource
import selectors
import signal
import sys
import time
from dataclasses import dataclass

from dicomweb_box import backlog, listeners, roles
from dicomweb_box import log as logs
from dicomweb_box.accounts.key_memory import keep_memory_to_ourselves
from dicomweb_box.errors import BadSetting
from dicomweb_box.settings import Settings
from dicomweb_box.tls import Certificate
from dicomweb_box.web.tally import Tally

log = logging.getLogger(__name__)

WARM = (
    "dicomweb_box.app",
    "uvicorn",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "dicomweb_box.archive.chores",
)
FIRST_WAIT, LONGEST_WAIT = 0.1, 30.0
"""Seconds before a dead role is started again; doubled each time it dies young."""
GROWN_UP = 30.0
"""Seconds after which a role's death says nothing about its restart."""
PAST_DRAIN = 10.0
"""Seconds that a role gets beyond the drain timeout before it is killed."""


OPEN_FILES = 65536
"""Descriptors that a role may hold, where the machine lets it."""

WARM_DIMSE = ("dicomweb_box.dimse.server",)
HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StartFailed(Exception):
    """A role could not even start; the message is for the operator."""


@dataclass
class _Role:
    """One role and its process."""

    name: str
    kind: str
    number: int
    process: int | None = None
    report: int | None = None
    heard: bytes = b""
    ready: bool = False
    started: float = 0.0
    due: float | None = 0.0
    wait: float = FIRST_WAIT


def serve(settings: Settings) -> int:
    """Run every role until told to stop; the exit code. Raises BadSetting, OutOfResources or StartFailed."""
    listeners.refuse_unsafe(settings)
    return _Supervisor(settings).run()


def _allow_open_files() -> None:
    """As many as the machine lets us: blobs and connections stay open, and the soft limit is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Supervisor:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._certificates = _certificates(settings)
        self._listeners = listeners.bound(settings)
        self._roles = _roles(settings, dimse=any(one.kind == "dimse" for one in self._listeners))
        self._tally = Tally(settings.workers)
        self._selector = selectors.DefaultSelector()
        self._lifeline = os.pipe()
        self._wakeup = os.pipe()
        self._signals: list[int] = []
        self._stopping: float | None = None
        self._announced = False

    def run(self) -> int:
        """Start the roles and watch them; the exit code once all have ended."""
        _allow_open_files()
        keep_memory_to_ourselves()
        dimse = WARM_DIMSE if any(role.kind == "dimse" for role in self._roles) else ()
        for name in (*WARM, *dimse):
            importlib.import_module(name)
        gc.collect()
        # What is there now is shared with every role; a collection would write to each page of it.
        gc.freeze()
        self._catch_signals()
        while True:
            self._start_due()
            self._wait()
            self._reap()
            self._heed_signals()
            self._announce()
            if self._stopping is not None and not any(role.process for role in self._roles):
                return 0
            self._kill_late()

    # Starting

    def _start_due(self) -> None:
        for role in self._roles:
            if self._stopping is None and role.due is not None and role.due <= time.monotonic():
                self._start(role)

    def _start(self, role: _Role) -> None:
        role.due = None
        reading, writing = os.pipe()
        # A signal that came between the fork and the role's own handlers would be lost on it.
        signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
        process = os.fork()
        if process == 0:
            os.close(reading)
            code = 1
            try:
                code = self._be(role, writing)
            except BaseException:
                log.exception("%s failed", role.name)
            finally:
                os._exit(code)  # whatever happened: this process must not go on as a second supervisor
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
        os.close(writing)
        role.process, role.report, role.heard, role.ready = process, reading, b"", False
        role.started = time.monotonic()
        self._selector.register(reading, selectors.EVENT_READ, role)

    def _be(self, role: _Role, report: int) -> int:
        """The life of a role, in its own process; its exit code."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Control-C reaches the whole group; the supervisor alone heeds it, and drains us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._certificates:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the role has a handler of its own
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
        self._selector.close()
        for descriptor in (self._lifeline[1], *self._wakeup, *(other.report for other in self._roles)):
            if descriptor is not None:
                os.close(descriptor)
        settings = self._settings
        logs.set_up(role.name, level=settings.log_level, style=settings.log_format)
        here = roles.Surroundings(
            settings=settings,
            lifeline=self._lifeline[0],
            report=roles.Report(report),
            tally=self._tally,
            number=role.number,
            certificate=self._certificates.get(role.kind),
        )
        for listener in self._listeners:
            if listener.kind != role.kind:
                listener.socket.close()
        mine = [listener for listener in self._listeners if listener.kind == role.kind]
        if role.kind == "web":
            return roles.run_web(here, mine[0].socket)
        if role.kind == "dimse":
            return roles.run_dimse(
                here, [roles.DimseListener(socket=one.socket, secured=one.secured) for one in mine]
            )
        return roles.run_worker(here)

    # Watching

    def _wait(self) -> None:
        moments = [role.due for role in self._roles if role.due is not None and self._stopping is None]
        moments += [self._stopping] if self._stopping is not None else []
        timeout = max(0.0, min(moments) - time.monotonic()) if moments else None
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                os.read(self._wakeup[0], 4096)
            else:
                self._hear(key.data)

    def _hear(self, role: _Role) -> None:
        if role.report is None:
            return
        told = os.read(role.report, 4096)
        role.heard += told
        role.ready = role.heard.startswith(roles.READY)
        if not told:
            self._selector.unregister(role.report)
            os.close(role.report)
            role.report = None

    def _reap(self) -> None:
        for role in self._roles:
            if role.process is None:
                continue
            process, status = os.waitpid(role.process, os.WNOHANG)
            if process:
                while role.report is not None:
                    self._hear(role)
                role.process = None
                self._mourn(role, os.waitstatus_to_exitcode(status))

    def _mourn(self, role: _Role, code: int) -> None:
        if self._stopping is not None:
            return
        if not self._announced and not role.ready:
            self._end_all(signal.SIGKILL)
            raise StartFailed(
                role.heard.decode(errors="replace") or f"{role.name} ended with code {code} at its start"
            )
        young = time.monotonic() - role.started < GROWN_UP
        role.wait = min(role.wait * 2, LONGEST_WAIT) if young else FIRST_WAIT
        role.due = time.monotonic() + role.wait
        why = "" if role.ready else f" ({role.heard.decode(errors='replace')})"
        log.error("%s ended with code %d%s; started again in %.1f s", role.name, code, why, role.wait)
        role.ready = False

    def _announce(self) -> None:
        if self._announced or self._stopping is not None or not all(role.ready for role in self._roles):
            return
        self._announced = True
        for listener in self._listeners:
            print(listeners.line(listener, self._settings), flush=True)
        print("ready", flush=True)

    # Stopping

    def _catch_signals(self) -> None:
        for descriptor in self._wakeup:
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ, None)
        for number in HEEDED:
            # Without TLS there is nothing to read anew: a terminal that goes takes the server with it.
            if number == signal.SIGHUP and not self._certificates:
                continue
            signal.signal(number, lambda caught, frame: self._signals.append(caught))
        signal.signal(signal.SIGCHLD, lambda caught, frame: None)

    def _heed_signals(self) -> None:
        while self._signals:
            if self._signals.pop() == signal.SIGHUP:
                self._signal_all(signal.SIGHUP, *self._certificates)
                continue
            if self._stopping is not None:
                self._end_all(signal.SIGKILL)
                sys.stdout.flush()
                os._exit(1)
            self._stopping = time.monotonic() + self._settings.drain_timeout + PAST_DRAIN
            for listener in self._listeners:
                backlog.close_to_newcomers(listener.socket)
            self._end_all(signal.SIGTERM)
            for listener in self._listeners:
                listener.socket.close()

    def _kill_late(self) -> None:
        if self._stopping is not None and time.monotonic() > self._stopping:
            log.error("roles that would not end were killed")
            self._end_all(signal.SIGKILL)
            self._stopping = time.monotonic() + PAST_DRAIN

    def _end_all(self, how: signal.Signals) -> None:
        self._signal_all(how, *listeners.KINDS)

    def _signal_all(self, which: signal.Signals, *kinds: str) -> None:
        for role in self._roles:
            if role.process is not None and role.kind in kinds:
                os.kill(role.process, which)


def _roles(settings: Settings, *, dimse: bool) -> list[_Role]:
    counts = {"web": settings.workers, "dimse": settings.dimse_workers if dimse else 0, "worker": 1}
    return [
        _Role("worker" if kind == "worker" else f"{kind}-{number}", kind, number)
        for kind in listeners.kinds(settings)
        for number in range(counts[kind])
    ]


def _certificates(settings: Settings) -> dict[str, Certificate]:
    """What each kind of role shows, where it shows any."""
    kinds = listeners.kinds(settings)
    found = {}
    if "web" in kinds and settings.tls_cert:
        found["web"] = Certificate(settings.tls_cert, settings.tls_key)
    if "dimse" in kinds and settings.dimse_tls_port:
        own = settings.dimse_tls_cert
        cert, key = (own, settings.dimse_tls_key) if own else (settings.tls_cert, settings.tls_key)
        if cert is None:
            raise BadSetting("dimse_tls_port needs a certificate: dimse_tls_cert or tls_cert")
        found["dimse"] = Certificate(
            cert, key, ca=settings.dimse_tls_ca, protocols=(), setting="dimse_tls" if own else "tls"
        )
    return found
