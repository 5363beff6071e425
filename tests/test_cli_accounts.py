"""`user` and `token` at the command line, from the outside: what is printed, and what never is."""

import base64
import json
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from conformance.server import command, environment, started

PASSWORD = "correct horse battery"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def run(*arguments: str, data: Path, given: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments),
        input=given,
        capture_output=True,
        text=True,
        env=environment({"DICOMWEB_BOX_DATA": str(data)}),
        timeout=300,
        check=False,
        cwd=data.parent,
    )
    assert done.returncode == code, (arguments, done.stderr)
    if code:
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""
    return done


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_accounts_are_made_listed_disabled_and_never_shown_with_their_secrets(data: Path) -> None:
    generated = run("user", "add", "alice", "--role", "administrator", data=data).stdout.strip()
    given = run("user", "add", "Bob", "--role", "viewer", "--label", "Trial", "--password-stdin",
                data=data, given=PASSWORD + "\n")  # fmt: skip
    run("user", "disable", "bob", data=data)

    assert len(generated) == 19
    assert given.stdout == ""
    plain = run("user", "list", data=data).stdout
    assert plain.splitlines() == ["alice: administrator", "Bob: viewer, disabled"]
    shown = run("user", "list", "--json", data=data).stdout
    alice, bob = json.loads(shown)
    assert (alice["must_change"], bob["must_change"]) == (True, False)
    assert bob["scope"] == {"labels": ["Trial"]}
    for secret in (generated, PASSWORD, "argon2"):
        assert secret not in plain + shown


@pytest.mark.parametrize(
    ("arguments", "given", "code", "why"),
    [
        (("user", "add", "carol", "--role", "king"), "", 2, "no such role"),
        (("user", "add", "ALICE", "--role", "viewer"), "", 1, "of this name already"),
        (("user", "add", "a:b", "--role", "viewer"), "", 2, "no colon"),
        (("user", "add", "carol", "--role", "viewer", "--password-stdin"), "short\n", 2, "12 characters"),
        (("user", "add", "carol", "--role", "viewer", "--password-stdin"), "", 2, "12 characters"),
        (("user", "add", "carol"), "", 2, "--role"),
        (("user", "passwd", "nobody"), "", 1, "no account"),
        (("user", "disable", "nobody"), "", 1, "no account"),
        (("user", "disable", "alice"), "", 1, "may administer"),
        (("token", "create", "--name", "x", "--scope", "read,fly"), "", 2, "no right 'fly'"),
        (("token", "create", "--name", "x", "--scope", ","), "", 2, "at least one right"),
        (("token", "create", "--name", "", "--scope", "read"), "", 2, "name"),
        (("token", "create", "--name", "x", "--scope", "read", "--expires", "soon"), "", 2, "12h, 90d"),
        (("token", "create", "--name", "x", "--scope", "read", "--expires", "11y"), "", 2, "10 years"),
        (("token", "revoke", "nothing"), "", 2, "no valid token"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_makes_nothing(
    arguments: tuple[str, ...], given: str, code: int, why: str, data: Path
) -> None:
    run("user", "add", "alice", "--role", "administrator", data=data)

    assert why in run(*arguments, data=data, given=given, code=code).stderr
    assert run("user", "list", data=data).stdout == "alice: administrator\n"
    assert run("token", "list", data=data).stdout == ""


def test_a_token_is_told_once_and_listed_without_its_secret(data: Path) -> None:
    secret = run("token", "create", "--name", "notebook", "--scope", "read,store", "--expires", "12h",
                 "--study", "1.2", data=data).stdout  # fmt: skip
    run("token", "create", "--name", "old", "--scope", "read", data=data)
    run("token", "revoke", "old", data=data)

    assert secret.startswith("dwb_")
    assert len(secret.splitlines()) == 1
    plain, shown = run("token", "list", data=data).stdout, run("token", "list", "--json", data=data).stdout
    by_name = {one["name"]: one for one in json.loads(shown)}
    assert by_name["notebook"]["rights"] == ["see", "store"]
    assert by_name["notebook"]["scope"] == {"studies": ["1.2"]}
    assert by_name["notebook"]["ends_at"] > by_name["notebook"]["made_at"]
    assert by_name["old"]["revoked_at"] is not None
    assert "notebook: see,store, until " in plain
    assert "old: see, revoked" in plain
    assert secret.strip() not in plain + shown
    assert secret.strip().encode() not in b"".join(path.read_bytes() for path in data.glob("index.db*"))


def test_lists_of_an_archive_that_is_not_there_are_one_line(tmp_path: Path) -> None:
    for arguments in (("user", "list"), ("token", "list"), ("token", "revoke", "x")):
        run(*arguments, data=tmp_path / "mistyped", code=2)
    assert not (tmp_path / "mistyped").exists()


def test_what_is_taken_away_is_gone_within_a_second_beside_a_running_server(data: Path) -> None:
    run("user", "add", "alice", "--role", "administrator", data=data)
    with started(data, "--workers", "2", accounts=True) as server:
        secret = run("token", "create", "--name", "notebook", "--scope", "read", data=data).stdout.strip()
        run("user", "add", "bob", "--role", "viewer", "--password-stdin", data=data, given=PASSWORD)
        address = f"{server.dicomweb}/studies"

        def status(headers: dict[str, str]) -> set[int]:
            # On new connections, which either of the processes takes.
            return {httpx.get(address, headers=headers, timeout=60).status_code for _ in range(10)}

        for headers in ({"Authorization": f"Bearer {secret}"}, basic("bob", PASSWORD)):
            assert status(headers) == {200}

        run("token", "revoke", "notebook", data=data)
        run("user", "disable", "bob", data=data)
        time.sleep(1.05)

        for headers in ({"Authorization": f"Bearer {secret}"}, basic("bob", PASSWORD)):
            # Asked often enough with a wrong password, it lets one wait.
            assert status(headers) <= {401, 429}
        run("user", "disable", "bob", "--enable", data=data)
        run("user", "passwd", "bob", "--password-stdin", data=data, given="another horse battery")
        time.sleep(1.05)
        assert status(basic("bob", "another horse battery")) == {200}
        assert status(basic("bob", PASSWORD)) <= {401, 429}
