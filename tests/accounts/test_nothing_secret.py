"""Secrets that were planted are found nowhere where somebody could look."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyotp
import pytest

from conformance.server import Server, environment, started
from dicomweb_box.asgi.rights_table import NEEDED
from tests.accounts.test_logging_in import GOOD

KEY = "dwbkey_" + base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
CLIENT_SECRET = "pLaNtEd-cLiEnT-sEcReT"
FILES = {"blobs", "cache", "spool"}


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A server in which secrets were used, and what they are."""

    server: Server
    client: httpx.Client
    secrets: dict[str, str]

    def found_in(self, text: str | bytes) -> list[str]:
        """Names of the secrets in it."""
        held = text.encode() if isinstance(text, str) else text
        return [name for name, secret in self.secrets.items() if secret.encode() in held]


def command(data: Path, *arguments: str, typed: str = "") -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "dicomweb_box", *arguments, "--data", str(data)],
        input=typed,
        capture_output=True,
        text=True,
        env=environment({"DICOMWEB_BOX_KEY": KEY}),
        check=True,
        timeout=300,
    )
    return ran.stdout.strip()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    data = tmp_path_factory.mktemp("planted") / "data"
    command(data, "user", "add", "vera", "--role", "administrator", "--password-stdin", typed=GOOD)
    token = command(data, "token", "create", "--name", "notebook", "--scope", "read,identities")
    given = {
        "DICOMWEB_BOX_KEY": KEY,
        "DICOMWEB_BOX_OIDC_ISSUER": "https://127.0.0.1:1",  # nobody listens there
        "DICOMWEB_BOX_OIDC_CLIENT_ID": "box",
        "DICOMWEB_BOX_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "DICOMWEB_BOX_LOG_LEVEL": "debug",
        "DICOMWEB_BOX_WORKERS": "1",
    }
    with (
        started(data, accounts=True, settings=given) as server,
        httpx.Client(
            base_url=server.url, headers={"Accept": "application/json", "Origin": server.url}, timeout=30
        ) as client,
    ):
        client.post("/login", json={"name": "vera", "password": GOOD}).raise_for_status()
        offer = client.get("/profile/second-factor.json").json()
        given_back = {
            "offer": offer["offer"],
            "code": pyotp.TOTP(offer["secret"]).now(),
            "password": GOOD,
        }
        codes = client.post("/profile/second-factor", json=given_back).raise_for_status().json()
        client.get("/studies.json", headers={"Authorization": f"Bearer {token}"}).raise_for_status()
        client.get("/studies.json", headers={"Authorization": f"Bearer {token}x"})
        client.post("/login", json={"name": "vera", "password": GOOD + "!"})
        client.get("/login/oidc")
        yield Planted(
            server=server,
            client=client,
            secrets={
                "key": KEY.removeprefix("dwbkey_"),
                "client secret": CLIENT_SECRET,
                "password": GOOD,
                "token": token.removeprefix("dwb_"),
                "second factor": offer["secret"],
                "recovery code": codes["recovery_codes"][0],
                "cookie": client.cookies["dicomweb_box"],
            },
        )


def processes(server: Server) -> list[int]:
    """Those of the server's group, what it has started included."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and os.getpgid(int(entry.name)) == server.process.pid:
                found.append(int(entry.name))
        except ProcessLookupError:
            continue
    return found


def test_not_in_the_list_of_processes(planted: Planted) -> None:
    running = processes(planted.server)

    assert len(running) >= 3
    for process in running:
        assert planted.found_in(Path(f"/proc/{process}/cmdline").read_bytes()) == []


def test_not_in_the_log_even_at_its_most_talkative(planted: Planted) -> None:
    said = planted.server.log.read_text()

    assert "single sign-on let nobody in" in said
    assert planted.found_in(said) == []


def twins() -> list[str]:
    return sorted(
        address.removeprefix("GET ")
        for address in NEEDED
        if address.startswith("GET ") and "{" not in address
    )


@pytest.mark.parametrize("path", twins())
def test_in_no_answer(planted: Planted, path: str) -> None:
    if path.endswith("/events"):
        pytest.skip("a stream without end")
    for accept in ("application/json", "text/html"):
        answer = planted.client.get(path, headers={"Accept": accept})
        assert planted.found_in(answer.content + str(answer.headers).encode()) == [], accept


def test_in_no_file_of_the_data_folder(planted: Planted) -> None:
    for path in planted.server.data.rglob("*"):
        if path.is_file() and not FILES & set(path.relative_to(planted.server.data).parts):
            assert planted.found_in(path.read_bytes()) == [], path.name


def test_the_server_writes_no_core_dumps(planted: Planted) -> None:
    for process in processes(planted.server):
        limits = Path(f"/proc/{process}/limits").read_text()
        assert limits.split("Max core file size")[1].split()[:2] == ["0", "0"]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has it")
def test_other_processes_of_the_same_user_may_not_read_its_memory() -> None:
    program = (
        "import ctypes; from dicomweb_box.accounts.key_memory import keep_memory_to_ourselves as keep;"
        "before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0); keep();"
        "print(before, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
        timeout=300,
    )

    assert ran.stdout.split() == ["1", "0"]
