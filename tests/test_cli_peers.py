"""`peer` at the command line, from the outside, with and beside a running server."""

import json
import subprocess
from pathlib import Path

import httpx
import pytest
from pynetdicom.ae import ApplicationEntity

from conformance.server import command, environment, started
from tests.upper_layer.peers import VERIFICATION, pynetdicom_acceptor
from tests.waiting import until


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def run(*arguments: str, data: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        env=environment({"DICOMWEB_BOX_DATA": str(data)}),
        timeout=300,
        check=False,
        cwd=data.parent,
    )
    assert done.returncode == code, (arguments, done.stderr)
    if code == 2:
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""
    return done


def test_peers_are_made_listed_and_removed(data: Path) -> None:
    made = run("peer", "add", "north", "--dimse", "NORTH@10.1.2.3:104", "--may", "store, find", "--tls",
               "--proxy", "--label", "Trial", "--syntaxes", "uncompressed", "--response-timeout", "9",
               data=data)  # fmt: skip
    run("peer", "add", "US 1", "--dimse", "US@MOBILE", "--from", "10.1.0.0/16", data=data, code=2)
    run("peer", "add", "US 1", "--dimse", "US_MOBILE", "--from", "10.1.0.0/16", data=data)
    run("peer", "add", "six", "--dimse", "A@B@[2001:db8::7]:11112", data=data)

    assert made.stdout == "north\n"
    assert run("peer", "list", data=data).stdout.splitlines() == [
        "north: NORTH@10.1.2.3:104 by TLS, may find,store, offered as a proxy",
        "six: A@B@2001:db8::7:11112, may echo,store",
        "US 1: US_MOBILE, only calls, may echo,store",
    ]
    first, _, third = json.loads(run("peer", "list", "--json", data=data).stdout)
    expected = {"name": "north", "kind": "dimse", "scope": {"labels": ["Trial"]}, "may": ["store", "find"]}
    assert first.items() >= (expected | {"syntaxes": "uncompressed", "response_timeout": 9}).items()
    assert third["addresses"] == ["10.1.0.0/16"]

    run("peer", "remove", "NORTH", data=data)
    run("peer", "remove", "north", data=data, code=1)
    assert "north" not in run("peer", "list", data=data).stdout


@pytest.mark.parametrize(
    "wrong",
    [
        ["--dimse", "SEVENTEEN_LETTERS@10.1.2.3:104"],
        ["--dimse", "A@10.1.2.3"],
        ["--dimse", "A@10.1.2.3:0"],
        ["--dimse", "A@10.1.2.3:70000"],
        ["--dimse", "A@169.254.169.254:80"],
        ["--dimse", "A"],
        ["--dimse", "A@h:104", "--may", "print"],
        ["--dimse", "A@h:104", "--from", "here"],
        ["--dimse", "A@h:104", "--pdu-size", "x"],
        [],
    ],
)
def test_what_cannot_be_meant_is_one_line(data: Path, wrong: list[str]) -> None:
    run("peer", "add", "north", *wrong, data=data, code=2)


def test_it_calls_a_peer_and_says_what_works(data: Path) -> None:
    ae = ApplicationEntity("NORTH")
    ae.add_supported_context(VERIFICATION)
    with pynetdicom_acceptor(ae) as port:
        run("peer", "add", "north", "--dimse", f"NORTH@127.0.0.1:{port}", data=data)
        told = run("peer", "echo", "north", data=data).stdout
        found = json.loads(run("peer", "echo", "north", "--json", data=data).stdout)
    assert "works  C-ECHO: Success" in told.splitlines()
    assert "offers Verification" in told.splitlines()
    assert "lacks  Study Root C-FIND" in told.splitlines()
    assert found["works"] is True
    assert "fails  Connection" in run("peer", "echo", "north", data=data, code=1).stdout


def test_a_running_server_hears_of_it(data: Path) -> None:
    with started(data) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.get("/peers.json").json()["peers"] == []
        run("peer", "add", "north", "--dimse", "NORTH@10.1.2.3:104", data=data)
        until(lambda: client.get("/peers/north.json").status_code == 200, what="it did not hear of the peer")
        run("peer", "remove", "north", data=data)
        until(lambda: client.get("/peers/north.json").status_code == 404)
