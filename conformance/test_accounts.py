"""The clients that users run, against a server that asks who they are: by token, by password, for a part."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass

from conformance.objects import Object, plain
from conformance.server import Server, command, environment, started
from conformance.test_dcmjs import NODE, installed

PASSWORD = "correct horse battery"
__all__ = ["installed"]


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A server with accounts, two studies in it, and who may see what."""

    server: Server
    first: Object
    other: Object
    token: str
    part: str
    """A token that has the first study alone."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    data = tmp_path_factory.mktemp("accounts") / "data"
    first, other = (plain(name, study=name, series="s") for name in ("FIRST", "OTHER"))
    with started(data, accounts=True) as server:
        run(data, "user", "add", "vera", "--role", "viewer", "--password-stdin", given=PASSWORD)
        storing = run(data, "token", "create", "--name", "modality", "--scope", "read,store")
        client_of(server, storing).store_instances([first.dataset, other.dataset])
        read = ("--scope", "read,identities")
        yield Guarded(
            server=server,
            first=first,
            other=other,
            token=run(data, "token", "create", "--name", "notebook", *read),
            part=run(data, "token", "create", "--name", "trial", *read, "--study", first.study_uid),
        )


def run(data: Path, *arguments: str, given: str = "") -> str:
    asked = [*command(*arguments), "--data", str(data)]
    done = subprocess.run(
        asked, input=given, capture_output=True, text=True, env=environment(), timeout=300, check=True
    )
    return done.stdout.strip()


def client_of(server: Server, token: str) -> DICOMwebClient:
    return DICOMwebClient(url=server.dicomweb, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def wado(one: Object) -> str:
    uids = f"studyUID={one.study_uid}&seriesUID={one.series_uid}&objectUID={one.instance_uid}"
    return f"/wado?requestType=WADO&{uids}&contentType=application/dicom"


@pytest.mark.row(134)
def test_dicomweb_client_asks_with_a_token_and_by_password(guarded: Guarded):
    by_password = DICOMwebClient(
        url=guarded.server.dicomweb, session=create_session_from_user_pass("vera", PASSWORD)
    )
    for client in (client_of(guarded.server, guarded.token), by_password):
        assert len(client.search_for_studies()) == 2
        one = guarded.first
        uids = (one.study_uid, one.series_uid, one.instance_uid)
        assert client.retrieve_instance(*uids) == one.dataset
        assert client.retrieve_instance_frames(*uids, frame_numbers=[1]) == [one.dataset.PixelData]
        assert len(client.retrieve_series_metadata(one.study_uid, one.series_uid)) == 1


@pytest.mark.row(134)
def test_whoever_proves_nothing_or_something_wrong_is_refused(guarded: Guarded):
    nobody = DICOMwebClient(url=guarded.server.dicomweb)
    for client in (nobody, client_of(guarded.server, "dwb_wrong")):
        with pytest.raises(requests.HTTPError, match="401"):
            client.search_for_studies()
    with pytest.raises(requests.HTTPError, match="403"):
        client_of(guarded.server, guarded.token).store_instances([guarded.first.dataset])


@pytest.mark.row(134)
def test_a_token_of_a_part_finds_counts_and_gets_that_part_alone(guarded: Guarded):
    client = client_of(guarded.server, guarded.part)
    headers = {"Authorization": f"Bearer {guarded.part}", "Accept": "application/json"}

    assert [one["0020000D"]["Value"][0] for one in client.search_for_studies()] == [guarded.first.study_uid]
    assert httpx.get(f"{guarded.server.dicomweb}/studies/count", headers=headers, timeout=60).json() == {
        "count": 1
    }
    assert client.search_for_instances(guarded.other.study_uid) == []
    with pytest.raises(requests.HTTPError, match="404"):
        client.retrieve_study(guarded.other.study_uid)


@pytest.mark.row(134)
def test_wado_uri_takes_the_same_proofs(guarded: Guarded):
    url = guarded.server.url
    for headers in (basic("vera", PASSWORD), {"Authorization": f"Bearer {guarded.part}"}):
        assert httpx.get(url + wado(guarded.first), headers=headers, timeout=60).content[128:132] == b"DICM"
    part = {"Authorization": f"Bearer {guarded.part}"}
    assert httpx.get(url + wado(guarded.other), headers=part, timeout=60).status_code == 404
    assert httpx.get(url + wado(guarded.first), timeout=60).status_code == 401


@pytest.mark.row(134)
def test_dcmjs_asks_with_the_headers_it_is_given(guarded: Guarded, installed: Path):
    uids = {"studyInstanceUID": guarded.first.study_uid, "seriesInstanceUID": guarded.first.series_uid}

    def asked(headers: dict[str, str]) -> dict[str, object]:
        script = ["node", str(NODE / "proof.mjs"), str(installed), guarded.server.dicomweb]
        done = subprocess.run(
            [*script, json.dumps(headers), json.dumps(uids)],
            capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return found

    for headers in (basic("vera", PASSWORD), {"Authorization": f"Bearer {guarded.token}"}):
        assert asked(headers) == {"studies": 2, "metadata": 1, "statuses": [200, 200]}
    assert asked({}) == {"failed": True, "statuses": [401]}


@pytest.mark.row(134)
def test_a_token_that_is_revoked_meanwhile_is_refused_within_a_second(guarded: Guarded):
    data = guarded.server.data
    client = client_of(guarded.server, run(data, "token", "create", "--name", "short", "--scope", "read"))
    assert len(client.search_for_studies()) == 2

    run(data, "token", "revoke", "short")
    time.sleep(1.05)

    with pytest.raises(requests.HTTPError, match="401"):
        client.search_for_studies()
