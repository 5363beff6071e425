"""Addresses without a study lead to where the resource is."""

from collections.abc import AsyncIterator

import httpx
import pytest

from dicomweb_box.accounts.access import ANONYMOUS, Scope
from dicomweb_box.archive import places
from dicomweb_box.box import Box
from dicomweb_box.errors import NotFound
from tests.builders import make_instance, new_uid
from tests.dicomweb.retrieving import client_of, path_of, put


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


@pytest.mark.row(7)
@pytest.mark.parametrize(
    ("level", "rest"),
    [
        ("series", ""),
        ("series", "/metadata"),
        ("series", "/instances?limit=1&PatientName=D%C3%B6*"),
        ("instances", ""),
        ("instances", "/metadata"),
        ("instances", "/frames/1?accept=application/octet-stream"),
        ("instances", "/bulkdata/00081140/1/00091001"),
    ],
)
async def test_a_series_or_instance_is_found_by_its_own_uid(
    box: Box, client: httpx.AsyncClient, level: str, rest: str
) -> None:
    stored = await put(box, make_instance())
    uid = stored.series_uid if level == "series" else stored.instance_uid
    path = f"/studies/{stored.study_uid}/series/{stored.series_uid}" if level == "series" else path_of(stored)

    answer = await client.get(f"/{level}/{uid}{rest}")

    assert answer.status_code == 307
    assert answer.headers["location"] == f"/dicom-web{path}{rest}"


async def test_an_alias_leads_to_what_it_means(box: Box, client: httpx.AsyncClient) -> None:
    stored = await put(box, make_instance())

    metadata = await client.get(f"/instances/{stored.instance_uid}/metadata", follow_redirects=True)
    counted = await client.get("/instances/count")
    patients = await client.get("/patients?PatientID=P1", follow_redirects=True)

    assert metadata.json()[0]["00080018"]["Value"] == [stored.instance_uid]
    assert counted.json() == {"count": 1}
    assert [row["00100020"]["Value"] for row in patients.json()] == [["P1"]]


@pytest.mark.parametrize("path", ["/series/1.2.3", "/instances/1.2.3/metadata", "/instances/%0d%0aX:y"])
async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_a_series_of_several_studies_is_not_guessed(box: Box, client: httpx.AsyncClient) -> None:
    series = new_uid()
    for _ in range(2):
        await put(box, make_instance(series=series))

    answer = await client.get(f"/series/{series}")

    assert answer.status_code == 400
    assert "study" in answer.json()["error"]


async def test_nobody_learns_the_place_of_what_they_may_not_see(box: Box) -> None:
    stored = await put(box, make_instance(), source="stow:one")
    other = Scope(sources=frozenset({"stow:two"}))

    for place, uid in ((places.of_series, stored.series_uid), (places.of_instance, stored.instance_uid)):
        with pytest.raises(NotFound):
            await place(box, uid, scope=other, actor=ANONYMOUS)
