"""DELETE of a study, a series, an instance."""

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from conformance.objects import Object, plain
from conformance.stow import store


@pytest.fixture
def made(http: httpx.Client) -> list[Object]:
    """Four instances in two series, stored."""
    objects = [plain(f"i{n}", study="GONE", series=f"s{n % 2}", InstanceNumber=n) for n in range(4)]
    store(http, [o.data for o in objects])
    return objects


@pytest.mark.row(116)
def test_it_deletes_an_instance(client: DICOMwebClient, http: httpx.Client, made: list[Object]):
    client.delete_instance(made[0].study_uid, made[0].series_uid, made[0].instance_uid)
    assert http.get(made[0].path).status_code in {404, 410}
    assert len(client.search_for_instances(study_instance_uid=made[0].study_uid)) == 3


@pytest.mark.row(116)
def test_it_deletes_a_series(client: DICOMwebClient, made: list[Object]):
    client.delete_series(made[0].study_uid, made[0].series_uid)
    left = client.search_for_series(study_instance_uid=made[0].study_uid)
    assert [s["0020000E"]["Value"][0] for s in left] == [made[1].series_uid]


@pytest.mark.row(116)
def test_it_deletes_a_study(client: DICOMwebClient, http: httpx.Client, made: list[Object]):
    client.delete_study(made[0].study_uid)
    assert http.get(f"/studies/{made[0].study_uid}").status_code in {404, 410}
    assert client.search_for_studies(search_filters={"StudyInstanceUID": made[0].study_uid}) == []


@pytest.mark.row(116)
def test_it_answers_204_and_then_that_there_is_nothing(http: httpx.Client, made: list[Object]):
    assert http.delete(f"/studies/{made[0].study_uid}").status_code == 204
    assert http.delete(f"/studies/{made[0].study_uid}").status_code in {404, 410}
    assert http.delete("/studies/2.25.404").status_code == 404


@pytest.mark.row(116)
def test_what_was_deleted_can_be_stored_again(http: httpx.Client, made: list[Object]):
    assert http.delete(f"/studies/{made[0].study_uid}").status_code == 204
    store(http, [made[0].data])
    assert http.get(made[0].path).status_code == 200
