"""Orthanc read through `/dicom-web/proxy` by dicomweb-client, asked over DIMSE: by C-GET, and by C-MOVE."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from bench.servers import orthanc_program, start_orthanc
from conformance.objects import Object, encode, plain
from conformance.server import started

pytestmark = [pytest.mark.xdist_group("dimse"), pytest.mark.filterwarnings("ignore::UserWarning")]

TO_CACHE = "BOX_PROXY"
OCTETS = (("application/octet-stream", "1.2.840.10008.1.2.1"),)


@dataclass(frozen=True, kw_only=True)
class Read:
    """A box with two web processes, and a client of the proxy that Orthanc is."""

    url: str
    client: DICOMwebClient
    made: list[Object]


@pytest.fixture(scope="module", params=["C-GET", "C-MOVE"])
def read(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """Orthanc with a study of two series, reached by one of the two services."""
    orthanc_is = orthanc_program()
    if orthanc_is is None:
        pytest.skip("Orthanc with DICOMweb is not installed")
    folder = tmp_path_factory.mktemp("proxy")
    made = [plain(f"p{n}", study="PROXY", series=f"p{n % 2}", InstanceNumber=n) for n in range(12)]
    settings = {"DICOMWEB_BOX_PROXY_AE_TITLE": TO_CACHE, "DICOMWEB_BOX_WORKERS": "2"}
    moves = request.param == "C-MOVE"
    with started(folder / "data", settings=settings, dimse=True) as server:
        modality = [TO_CACHE, "127.0.0.1", server.dimse]
        orthanc = start_orthanc(
            folder, orthanc_is, DicomAlwaysAllowGet=not moves, DicomModalities={"box": modality}
        )
        try:
            for one in made:
                answer = httpx.post(
                    f"http://127.0.0.1:{orthanc.port}/instances", content=encode(one.dataset), timeout=60
                )
                assert answer.status_code == 200
            told = {"name": "old pacs", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": orthanc.dimse}
            answer = httpx.post(f"{server.url}/peers", json={**told, "proxy": True}, timeout=60)
            assert answer.status_code in (201, 303), answer.text
            client = DICOMwebClient(f"{server.dicomweb}/proxy/old%20pacs")
            yield Read(url=server.url, client=client, made=made)
        finally:
            orthanc.stop()


def test_orthanc_is_searched_and_read_as_if_it_spoke_dicomweb(read: Read) -> None:
    client, made = read.client, read.made
    study, series, instance = made[0].study_uid, made[0].series_uid, made[0].instance_uid

    (found,) = client.search_for_studies(search_filters={"StudyInstanceUID": study})
    assert found["00081190"]["Value"] == [f"/dicom-web/proxy/old%20pacs/studies/{study}"]
    assert found["00201208"]["Value"] == [12]
    assert len(client.search_for_series(study)) == 2
    assert len(client.search_for_instances(study, series)) == 6
    # Twelve at once, of which each is of one of two processes.
    with ThreadPoolExecutor(12) as pool:
        got = list(
            pool.map(lambda one: client.retrieve_instance(study, one.series_uid, one.instance_uid), made)
        )
    assert got == [one.dataset for one in made]
    assert {one.SOPInstanceUID for one in client.retrieve_study(study)} == {one.instance_uid for one in made}
    assert len(client.retrieve_series_metadata(study, series)) == 6
    frames = client.retrieve_instance_frames(study, series, instance, frame_numbers=[1], media_types=OCTETS)
    assert frames == [made[0].dataset.PixelData]
    rendered = client.retrieve_instance_rendered(study, series, instance, media_types=("image/png",))
    assert rendered.startswith(b"\x89PNG")


def test_nothing_of_it_is_in_the_archive(read: Read) -> None:
    read.client.retrieve_series_metadata(read.made[0].study_uid, read.made[0].series_uid)

    assert httpx.get(f"{read.url}/dicom-web/studies", timeout=60).json() == []
    assert httpx.get(f"{read.url}/studies.json", timeout=60).json()["studies"] == []
