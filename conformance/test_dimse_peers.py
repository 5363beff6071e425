"""Peers by other people's programs: strangers refused, one accepted while the server runs, calls back."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pynetdicom import AE

from conformance.dimse import VERIFICATION, dcmtk, program, run
from conformance.server import Server, command, environment, started
from tests.waiting import until

PATIENCE = 10.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks who somebody is, with a peer that may search and nothing else."""
    with started(tmp_path_factory.mktemp("peers") / "data", accounts=True, dimse=True) as running:
        told("peer", "add", "reader", "--dimse", "READER@127.0.0.1:104", "--may", "find", data=running.data)
        yield running


def told(*words: str, data: Path, code: int = 0) -> str:
    done = subprocess.run(
        command(*words, "--data", str(data)),
        capture_output=True, text=True, env=environment(None), timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def echo(server: Server, title: str) -> str:
    """What echoscu says under a title."""
    return dcmtk("echoscu", server.dimse, "-aet", title, expected=None)


def test_a_stranger_is_refused_seen_by_who_administers_accepted_and_refused_again(server: Server) -> None:
    token = told("token", "create", "--name", "integration", "--scope", "peers", data=server.data).strip()
    with httpx.Client(
        base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60
    ) as client:
        said = echo(server, "STRANGER")
        assert "Rejected Permanent" in said
        assert "Calling AE Title Not Recognized" in said

        def refused() -> list[str]:
            return [one["ae_title"] for one in client.get("/peers.json").json()["refused"]]

        until(lambda: "STRANGER" in refused())
        peer = {"name": "ct", "ae_title": "STRANGER", "addresses": "127.0.0.1", "may": ["echo", "store"]}
        as_json = {"Accept": "application/json"}
        answer = client.post("/peers", json=peer, headers=as_json)
        assert answer.status_code == 403, "a token gives no more than it has"
        assert client.post("/peers", json=peer | {"may": ["echo"]}, headers=as_json).status_code == 201
        assert refused() == []
    until(lambda: "Received Echo Response (Success)" in echo(server, "STRANGER"))
    told("peer", "remove", "ct", data=server.data)
    until(lambda: "Calling AE Title Not Recognized" in echo(server, "STRANGER"))


def test_the_called_title_counts(server: Server) -> None:
    said = run(
        program("echoscu"),
        "-v",
        "-aec",
        "OTHER",
        "-aet",
        "READER",
        "127.0.0.1",
        str(server.dimse),
        expected=None,
    )
    assert "Called AE Title Not Recognized" in said


def test_a_peer_that_may_not_be_answered_is_told_so(server: Server) -> None:
    until(lambda: "Rejected" not in echo(server, "READER"))
    assert "Received Echo Response (Success)" not in echo(server, "READER")


def test_a_box_and_pynetdicom_call_each_other(server: Server) -> None:
    ae = AE("SOUTH")
    ae.add_supported_context(VERIFICATION)
    listening = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        port = listening.server_address[1]
        told("peer", "add", "south", "--dimse", f"SOUTH@127.0.0.1:{port}", data=server.data)
        found = json.loads(told("peer", "echo", "south", "--json", data=server.data))
        assert found["works"]
        assert [one["service"] for one in found["services"] if one["accepted"]] == ["Verification"]
        until(lambda: "Received Echo Response (Success)" in echo(server, "SOUTH"))
    finally:
        listening.shutdown()


def test_two_boxes_know_each_other(server: Server, tmp_path: Path) -> None:
    with started(tmp_path / "data", dimse=True, settings={"DICOMWEB_BOX_AE_TITLE": "UNIVERSITY"}) as other:
        told("peer", "add", "university", "--dimse", f"UNIVERSITY@127.0.0.1:{other.dimse}", data=server.data)
        found = json.loads(told("peer", "echo", "university", "--json", data=server.data))
        assert found["works"]
        assert "Study Root C-FIND" in [one["service"] for one in found["services"] if one["accepted"]]
        told("peer", "add", "wrong", "--dimse", f"WRONG@127.0.0.1:{other.dimse}", data=server.data)
        wrong = told("peer", "echo", "wrong", data=server.data, code=1)
    assert "called AE title not recognized" in wrong
