"""A started server: the program in a process group of its own, on a free port, over a given folder."""

import contextlib
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CHANCE = random.SystemRandom()
LISTENING = re.compile(rb"^HTTPS? (https?://\S+)\s*$")
LISTENING_DIMSE = re.compile(rb"^DICOM(-TLS)? \S.*@\S+:(\d+)\s*$")


@dataclass(kw_only=True)
class Server:
    """A running server; `url` is its address without a path."""

    url: str
    process: subprocess.Popen[bytes]
    data: Path
    log: Path
    dimse: int = 0
    """Port of DIMSE on the loopback address; 0 where it is not served."""
    dimse_tls: int = 0
    """… over TLS."""

    @property
    def dicomweb(self) -> str:
        return self.url + "/dicom-web"

    def stop(self, within: float = 60.0) -> int:
        """Asks it to drain, waits, and gives its exit code; kills what is left after `within` seconds."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within)
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends every process of the group at once, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without any setting of ours, the package importable from anywhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DICOMWEB_BOX_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | dict(extra or {})


def command(*arguments: str) -> list[str]:
    """The program's command line with `arguments`."""
    return [sys.executable, "-m", "dicomweb_box", *arguments]


def start(
    data: Path,
    *flags: str,
    settings: Mapping[str, str] | None = None,
    under: tuple[str, ...] = (),
    within: float = 90.0,
    accounts: bool = False,
    dimse: bool = False,
) -> Server:
    """Starts a server over `data`; raises RuntimeError with its log where it is not ready `within` seconds.

    `under` goes before the command line: `("strace", …)`. Without accounts, unless `accounts`; without DIMSE,
    unless `dimse`, which takes a free port.
    """
    data.mkdir(parents=True, exist_ok=True)
    log = data.with_name(data.name + ".log")
    flags = flags if accounts else ("--no-auth", *flags)
    port = str(free_port()) if dimse else "0"
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [*under, *command("serve", "--data", str(data), "--port", "0", "--dimse-port", port, *flags)],
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env=environment(settings),
            cwd=data.parent,
            start_new_session=True,
            preexec_fn=_heed_hangups,
        )
    server = Server(url="", process=process, data=data, log=log)
    try:
        _hear(server, within)
    except RuntimeError as error:
        server.kill()
        raise RuntimeError(f"{error}\n{log.read_text(errors='replace')[-4000:]}") from None
    return server


def _heed_hangups() -> None:
    """Under nohup a program inherits that they are ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextlib.contextmanager
def started(
    data: Path,
    *flags: str,
    settings: Mapping[str, str] | None = None,
    accounts: bool = False,
    dimse: bool = False,
) -> Iterator[Server]:
    """A server for the length of a `with` block."""
    server = start(data, *flags, settings=settings, accounts=accounts, dimse=dimse)
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A port of the loopback address that nobody has, nor is given by the system before it is taken."""
    while True:
        port = CHANCE.randrange(20_000, 32_000)  # below those that the system gives to whoever asks for any
        with socket.socket() as listening, contextlib.suppress(OSError):
            listening.bind(("127.0.0.1", port))
            return port


def _hear(server: Server, within: float) -> None:
    """Notes the addresses that it says it listens on, until it says `ready`."""
    assert server.process.stdout is not None
    descriptor = server.process.stdout.fileno()
    said, deadline = b"", time.monotonic() + within
    while time.monotonic() < deadline:
        if not select.select([descriptor], [], [], 0.2)[0]:
            continue
        piece = os.read(descriptor, 65536)
        if not piece:
            raise RuntimeError(f"the server ended with {server.process.wait()} before it was ready")
        said += piece
        for line in said.splitlines():
            if found := LISTENING.match(line):
                server.url = found[1].decode()
            if found := LISTENING_DIMSE.match(line):
                server.dimse, server.dimse_tls = (
                    (server.dimse, int(found[2])) if found[1] else (int(found[2]), server.dimse_tls)
                )
            if line.strip() == b"ready":
                return
    raise RuntimeError(f"the server was not ready within {within:g} s")
