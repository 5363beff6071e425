"""Storage Commitment and retrieval over the wire with Orthanc: it asks this server, and is asked by it."""

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bench.servers import orthanc_program, start_orthanc
from conformance.objects import multipart
from conformance.server import Server, command, environment, free_port, started
from tests.builders import make_instance, new_uid

PROGRAM = {"Accept": "application/json"}
PARTS = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=conformance-part'}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A started server with its DIMSE door."""
    with started(tmp_path_factory.mktemp("box") / "data", dimse=True) as running:
        yield running


@pytest.fixture(scope="module")
def orthanc(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Orthanc that knows the server as `box`, and is known to it as `orthanc`; skips without one."""
    program = orthanc_program()
    if program is None:
        pytest.skip("Orthanc with DICOMweb is not installed")
    folder = tmp_path_factory.mktemp("orthanc")
    port = free_port()
    box = {"AET": "DICOMWEB_BOX", "Port": server.dimse, "Host": "127.0.0.1", "AllowStorageCommitment": True}
    running = start_orthanc(
        folder,
        program,
        plugins=("DicomWeb",),
        DicomPort=port,
        DicomAet="ORTHANC",
        DicomModalities={"box": box},
    )
    try:
        may = ["echo", "store", "commit"]
        told = {"name": "orthanc", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": port, "may": may}
        made = httpx.post(f"{server.url}/peers", json=told, headers=PROGRAM, timeout=60)
        assert made.status_code == 201, made.text
        with httpx.Client(base_url=f"http://127.0.0.1:{running.port}", timeout=60) as client:
            yield client
    finally:
        running.stop()


def until(ask: Any, wanted: Any, seconds: float = 120) -> Any:
    """What is answered once it is what is wanted."""
    ends = time.monotonic() + seconds
    while not wanted(found := ask()):
        assert time.monotonic() < ends, found
        time.sleep(0.2)
    return found


@pytest.mark.dicom("PS3.4 J.3")
def test_orthanc_is_told_what_is_kept_and_what_is_not(server: Server, orthanc: httpx.Client) -> None:
    kept, unknown = new_uid(), new_uid()
    stored = httpx.post(
        f"{server.dicomweb}/studies",
        content=multipart([make_instance(instance=kept)]),
        headers=PARTS,
        timeout=60,
    )
    assert stored.status_code == 200
    ct = "1.2.840.10008.5.1.4.1.1.2"

    asked = orthanc.post(
        "/modalities/box/storage-commitment", json={"DicomInstances": [[ct, kept], [ct, unknown]]}
    )
    transaction = asked.json()["ID"]
    report = until(
        lambda: orthanc.get(f"/storage-commitment/{transaction}").json(),
        lambda found: found["Status"] != "Pending",
    )

    assert report["Status"] == "Failure"
    assert [one["SOPInstanceUID"] for one in report["Success"]] == [kept]
    ((failed, why),) = [(one["SOPInstanceUID"], one["Description"]) for one in report["Failures"]]
    assert (failed, "was not available" in why) == (unknown, True), why
    # That it was taken is noted once Orthanc, which has it by now, has said so.
    until(
        lambda: httpx.get(f"{server.url}/transfers.json", timeout=60).json()["transfers"],
        lambda found: [one["state"] for one in found if one["kind"] == "commitment"][:1] == ["delivered"],
    )


@pytest.mark.dicom("PS3.4 J.3")
def test_orthanc_sends_and_hears_that_all_of_it_is_kept(server: Server, orthanc: httpx.Client) -> None:
    study = new_uid()
    sent = [orthanc.post("/instances", content=make_instance(study=study)).json()["ID"] for _ in range(3)]

    job = orthanc.post(
        "/modalities/box/store", json={"Resources": sent, "StorageCommitment": True, "Synchronous": True}
    ).json()
    report = until(
        lambda: orthanc.get(f"/storage-commitment/{job['StorageCommitmentTransactionUID']}").json(),
        lambda found: found["Status"] != "Pending",
    )

    assert (report["Status"], len(report["Success"])) == ("Success", 3)
    assert len(httpx.get(f"{server.dicomweb}/studies/{study}/instances", timeout=60).json()) == 3


def sent(server: Server, study: str, peer: str) -> dict[str, Any]:
    """What `send --wait` says."""
    done = subprocess.run(
        command("send", study, "--to", peer, "--wait", "--json", "--data", str(server.data)),
        capture_output=True, text=True, timeout=300, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return found


def stored(server: Server, count: int) -> str:
    """A new study of so many instances."""
    study = new_uid()
    instances = [make_instance(study=study) for _ in range(count)]
    assert httpx.post(
        f"{server.dicomweb}/studies", content=multipart(instances), headers=PARTS, timeout=60
    ).is_success
    return study


@pytest.mark.dicom("PS3.4 J.3")
def test_orthanc_confirms_what_was_sent_to_it(server: Server, orthanc: httpx.Client) -> None:
    study = stored(server, 3)

    told = sent(server, study, "orthanc")

    assert (told["state"], told["verified"], told["confirmation"]["state"]) == ("delivered", 3, "delivered")
    assert len(orthanc.post("/tools/lookup", content=study).json()) == 1


@pytest.mark.dicom("PS3.4 J.3")
def test_another_box_confirms_what_was_sent_to_it(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = {"DICOMWEB_BOX_AE_TITLE": "SECOND_BOX"}
    folder = tmp_path_factory.mktemp("second") / "data"
    with started(folder, settings=settings, dimse=True) as second:
        for one, name, title, port in (
            (server, "second", "SECOND_BOX", second.dimse),
            (second, "first", "DICOMWEB_BOX", server.dimse),
        ):
            peer = {"name": name, "ae_title": title, "host": "127.0.0.1", "port": port}
            may = {"may": ["echo", "store", "commit"]}
            assert (
                httpx.post(f"{one.url}/peers", json=peer | may, headers=PROGRAM, timeout=60).status_code
                == 201
            )
        study = stored(server, 5)

        told = sent(server, study, "second")

        assert (told["state"], told["verified"]) == ("delivered", 5)
        assert len(httpx.get(f"{second.dicomweb}/studies/{study}/instances", timeout=60).json()) == 5


@pytest.mark.dicom("PS3.4 C.4.2")
@pytest.mark.dicom("PS3.4 C.4.3")
@pytest.mark.parametrize("get", [True, False])
def test_studies_of_orthanc_are_found_and_brought_here(
    server: Server, orthanc: httpx.Client, get: bool
) -> None:
    known = orthanc.get("/modalities/box/configuration").json()
    assert orthanc.put("/modalities/box", json=known | {"AllowGet": get}).status_code == 200
    study, series = new_uid(), new_uid()
    for number in range(1, 6):
        content = make_instance(
            study=study, series=series, InstanceNumber=number, PatientName=f"Brought^{get}"
        )
        assert orthanc.post("/instances", content=content).status_code == 200

    found = httpx.get(
        f"{server.url}/peers/orthanc/query.json", params={"PatientName": f"Brought^{get}"}, timeout=60
    ).json()
    assert [one["0020000D"]["Value"] for one in found["studies"]] == [[study]]
    made = httpx.post(
        f"{server.url}/peers/orthanc/retrieve", json={"study": study}, headers=PROGRAM, timeout=60
    ).json()
    transfer = until(
        lambda: httpx.get(f"{server.url}/transfers/{made['id']}.json", timeout=60).json(),
        lambda found: found["state"] not in ("queued", "sending"),
    )

    assert (transfer["state"], transfer["item_list"][0]["done"]) == ("delivered", 5)
    here = httpx.get(f"{server.dicomweb}/studies/{study}/instances", timeout=60).json()
    assert len(here) == 5
