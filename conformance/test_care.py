"""What a person rejects, restores and corrects, as dicomweb-client and a plain client see it."""

import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from conformance.objects import Object, plain
from conformance.stow import store

PROGRAM = {"Accept": "application/json"}
AS_STORED = {"Accept": "application/dicom; transfer-syntax=*"}

Act = Callable[..., dict[str, Any]]


@pytest.fixture
def act(http: httpx.Client) -> Act:
    """Posts to a page as a program."""
    origin = str(http.base_url).partition("/dicom-web")[0]

    def post(address: str, **body: Any) -> dict[str, Any]:
        answer = httpx.post(f"{origin}{address}", json=body, headers=PROGRAM, timeout=60)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return post


def stored(http: httpx.Client, study: str) -> list[Object]:
    """Four instances in two series of this test's own study."""
    objects = [plain(f"i{n}", study=study, series=f"s{n % 2}", InstanceNumber=n) for n in range(4)]
    store(http, [one.data for one in objects])
    return objects


@pytest.mark.row(117)
def test_a_rejected_study_is_410_and_restored_with_the_same_bytes(
    http: httpx.Client, client: DICOMwebClient, act: Act
):
    made = stored(http, "REJECTED")
    study = made[0].study_uid

    (rejected,) = act("/reject", study=study, reason="113001")["rejected"]
    assert rejected["instances"] == 4
    for path in (f"/studies/{study}", f"/studies/{study}/metadata", made[0].path, f"{made[0].path}/frames/1"):
        assert http.get(path).status_code == 410
    assert client.search_for_studies(search_filters={"StudyInstanceUID": study}) == []

    act(f"/rejected/{rejected['id']}/restore")
    for one in made:
        given = http.get(one.path, headers=AS_STORED).content
        assert hashlib.sha256(given).digest() == hashlib.sha256(one.data).digest()
    assert len(client.search_for_instances(study)) == 4


@pytest.mark.row(117)
def test_of_a_study_with_one_series_rejected_the_rest_is_given(
    http: httpx.Client, client: DICOMwebClient, act: Act
):
    made = stored(http, "PARTLY")
    study = made[0].study_uid

    act(f"/studies/{study}/series/{made[0].series_uid}/reject", reason="113037")

    assert http.get(f"/studies/{study}/series/{made[0].series_uid}/metadata").status_code == 410
    left = {one.SOPInstanceUID for one in client.retrieve_study(study)}
    assert left == {one.instance_uid for one in made if one.series_uid != made[0].series_uid}


@pytest.mark.row(60)
def test_metadata_searches_and_objects_follow_a_correction_but_frames_do_not(
    http: httpx.Client, client: DICOMwebClient, act: Act
):
    made = stored(http, "CORRECTED")[0]
    study, uids = made.study_uid, (made.study_uid, made.series_uid, made.instance_uid)
    frames = http.get(f"{made.path}/frames/1")
    before = client.retrieve_instance_metadata(*uids)

    correction = act(
        f"/studies/{study}/correct",
        PatientName="Yamada^Tarou=山田^太郎",
        PatientID="NEW-1",
        reason="mixed up",
    )
    told = client.retrieve_instance_metadata(*uids)
    given = client.retrieve_instance(*uids)
    found = client.search_for_studies(search_filters={"PatientID": "NEW-1"})
    again = http.get(f"{made.path}/frames/1")

    name = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}
    assert told["00100010"]["Value"] == found[0]["00100010"]["Value"] == [name]
    assert str(given.PatientName) == "Yamada^Tarou=山田^太郎"
    former = given.OriginalAttributesSequence[-1].ModifiedAttributesSequence[0]
    assert former.PatientName == made.dataset.PatientName
    assert given.PixelData == made.dataset.PixelData
    assert (again.content, again.headers["etag"]) == (frames.content, frames.headers["etag"])

    act(f"/corrections/{correction['id']}/undo")
    assert client.retrieve_instance_metadata(*uids) == before
    assert http.get(made.path, headers=AS_STORED).content == made.data
