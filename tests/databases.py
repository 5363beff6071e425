"""A scratch PostgreSQL of the test session, and fresh migrated databases on both dialects.

The server is started from the system's binaries, as an unprivileged user when root, and dies with the process
that started it, however that ends: the kernel tells it (PR_SET_PDEATHSIG).
"""

import asyncio
import ctypes
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from dicomweb_box.database import Database
from tests import emptied

_FOLDER = re.compile(r"dicomweb-box-pg-(\d+)-.*")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class NotInstalled(Exception):
    """PostgreSQL's binaries are nowhere to be found."""


def find_binaries() -> Path:
    """The folder with initdb and postgres; the newest version where there are several."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(installed, key=lambda path: int(path.parts[-3]), default=None)
    if newest is None:
        raise NotInstalled("PostgreSQL is not installed: no initdb on PATH or under /usr/lib/postgresql")
    return newest.parent


class ScratchServer:
    """One throw-away PostgreSQL on a Unix socket, without TCP, without fsync."""

    def __init__(self) -> None:
        _sweep()
        self._numbers = count(1)
        self._binaries = find_binaries()
        self._user = _unprivileged_user()
        self._folder = Path(tempfile.mkdtemp(prefix=f"dicomweb-box-pg-{os.getpid()}-", dir="/tmp"))
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        self._server = self._start()
        self._fresh: emptied.Fresh | None = None
        self._migrated: set[str] = set()
        self._free: list[str] = []

    def url(self, name: str, user: str = "box") -> str:
        """The url of the database of this name."""
        return f"postgresql://{user}@/{name}?host={quote(str(self._folder), safe='')}"

    def create(self, *, migrated: bool = True) -> str:
        """The name of a database as good as new: one given back and emptied, else a migrated copy."""
        if migrated and self._free:
            return self._free.pop()
        name = f"box_{next(self._numbers)}"
        if not migrated:
            self.ask(f"create database {name}")
            return name
        if self._fresh is None:
            run_apart(self._make_template())
            self._fresh = run_apart(emptied.look_at(self.url("box_template")))
        self.ask(f"create database {name} template box_template")
        self._migrated.add(name)
        return name

    def drop(self, name: str) -> None:
        """Give it back, whoever is still connected."""
        if name in self._migrated and self._fresh and run_apart(self._emptied(name, self._fresh)):
            self._free.append(name)
            return
        self._migrated.discard(name)
        self.ask(f"drop database if exists {name} with (force)")

    def stop(self) -> None:
        """Stops the server without ceremony and removes its files."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(timeout=60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> "subprocess.Popen[bytes]":
        data = self._folder / "data"
        # The default order of this server is a language's, so that a missing collate "C" is noticed.
        initdb = [
            self._binaries / "initdb", "--pgdata", data, "--username=box", "--auth=trust", "--encoding=UTF8",
            "--locale=C.UTF-8", "--no-sync", "--no-instructions",
        ]  # fmt: skip
        icu = ["--locale-provider=icu", "--icu-locale=en-US"]
        if self._run([*initdb, *icu]).returncode != 0:
            made = self._run(initdb)
            if made.returncode != 0:
                raise RuntimeError(f"initdb failed: {made.stderr.decode(errors='replace')}")
        options = {
            "listen_addresses": "", "unix_socket_directories": self._folder, "max_connections": "200",
            "fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "autovacuum": "off",
            "log_min_messages": "fatal", "timezone": "UTC",
        }  # fmt: skip
        arguments = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        with (self._folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [self._binaries / "postgres", "-D", data, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder,
                preexec_fn=_die_with_parent, start_new_session=True, **self._identity(),
            )  # fmt: skip
        self._wait(server)
        return server

    def _wait(self, server: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and server.poll() is None:
            try:
                self.ask("select 1")
            except (OSError, asyncpg.PostgresError):
                time.sleep(0.03)
            else:
                return
        server.kill()
        server.wait()
        raise RuntimeError((self._folder / "log").read_text(errors="replace") or "the server did not answer")

    async def _make_template(self) -> None:
        await self._execute("create database box_template")
        database = await Database.open(self.url("box_template"))
        await database.migrate()
        await database.close()

    async def _emptied(self, name: str, fresh: emptied.Fresh) -> bool:
        try:
            return await emptied.empty(self.url(name), fresh)
        except (OSError, asyncpg.PostgresError):
            return False  # a test that broke it: a fresh one comes in its place

    def ask(self, *statements: str) -> None:
        """Run each statement as the superuser."""
        run_apart(self._execute(*statements))

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    def _run(self, command: list[Any]) -> "subprocess.CompletedProcess[bytes]":
        shutil.rmtree(self._folder / "data", ignore_errors=True)
        return subprocess.run(command, capture_output=True, check=False, cwd=self._folder, **self._identity())

    def _identity(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        account = pwd.getpwnam(self._user)
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def run_apart(work: Coroutine[Any, Any, Any]) -> Any:
    """The coroutine's result, also where a loop is running already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name for account in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _die_with_parent() -> None:
    # SIGQUIT is PostgreSQL's immediate shutdown.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _sweep() -> None:
    """Remove what killed sessions left behind."""
    for folder in Path("/tmp").glob("dicomweb-box-pg-*"):
        match = _FOLDER.fullmatch(folder.name)
        if match and not Path(f"/proc/{match[1]}").exists():
            shutil.rmtree(folder, ignore_errors=True)
