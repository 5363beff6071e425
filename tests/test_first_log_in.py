"""How somebody comes in for the first time, from the outside: a started process and what it prints."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from conformance.server import command, environment

PASSWORD = re.compile(r"^Log in as admin with the one-time password (\S+)$", re.MULTILINE)
CHOSEN = "correct horse battery"


@dataclass(frozen=True, kw_only=True)
class Started:
    """A running server, and all that it printed until it was ready, in that order."""

    url: str
    said: str

    @property
    def passwords(self) -> list[str]:
        return PASSWORD.findall(self.said)


@contextmanager
def started(data: Path, *flags: str) -> Iterator[Started]:
    """The program with both of its outputs in one pipe, so that their order shows."""
    arguments = command("serve", "--data", str(data), "--port", "0", "--dimse-port", "0", *flags)
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line == "ready\n":
                break
        try:
            yield Started(url=re.findall(r"^HTTP (\S+)$", said, re.MULTILINE)[0], said=said)
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.stdout.read()
    sys.stdout.write(rest)
    assert not PASSWORD.search(rest)
    assert process.returncode == 0


@contextmanager
def log_in(url: str, password: str) -> Iterator[httpx.Client]:
    """A browser that tried to log in as admin."""
    with httpx.Client(base_url=url, headers={"Accept": "text/html", "Origin": url}, timeout=60) as client:
        client.post("/login", data={"name": "admin", "password": password})
        yield client


def test_the_password_is_printed_once_before_ready_and_no_more_after_it_was_used(tmp_path: Path) -> None:
    with started(tmp_path / "data", "--workers", "2") as first:
        (password,) = first.passwords
        with log_in(first.url, password) as client:
            assert client.get("/studies").headers["location"] == "/profile"
            chosen = {"password": password, "new": CHOSEN, "again": CHOSEN}
            assert client.post("/profile/password", data=chosen).status_code == 303
            assert client.get("/studies").status_code == 200

    with started(tmp_path / "data") as second:
        assert second.passwords == []
        with log_in(second.url, password) as client:
            assert client.get("/studies").status_code == 303
        with log_in(second.url, CHOSEN) as client:
            assert client.get("/studies").status_code == 200


def test_a_password_that_nobody_used_is_replaced_at_the_next_start(tmp_path: Path) -> None:
    with started(tmp_path / "data") as first:
        pass
    with started(tmp_path / "data") as second:
        (old,), (new,) = first.passwords, second.passwords
        with log_in(second.url, old) as client:
            assert client.get("/profile").status_code == 303
        with log_in(second.url, new) as client:
            assert client.get("/profile").status_code == 200


def test_a_web_role_alone_says_where_accounts_come_from(tmp_path: Path) -> None:
    with started(tmp_path / "data", "--role", "web", "--workers", "2") as alone:
        assert alone.passwords == []
        assert alone.said.count("dicomweb-box user add NAME --role administrator") == 1

    add = command("user", "add", "alice", "--role", "administrator", "--data", str(tmp_path / "data"))
    subprocess.run(add, check=True, capture_output=True, env=environment(), timeout=300)
    with started(tmp_path / "data", "--role", "web") as alone:
        assert "user add" not in alone.said


def test_without_accounts_nothing_of_them_is_printed(tmp_path: Path) -> None:
    with started(tmp_path / "data", "--no-auth") as open_to_all:
        assert "password" not in open_to_all.said
