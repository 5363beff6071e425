"""A peer read by WADO-RS: fetched once by C-GET, the first image before the rest."""

import asyncio

import httpx
import pytest

from dicomweb_box.archive.realms import cache_of
from dicomweb_box.box import Box, open_box
from dicomweb_box.outbound import peers, proxy_leases
from dicomweb_box.outbound import proxy as reading
from dicomweb_box.outbound.proxy_leases import Thing
from tests.dicomweb.doors import client_of
from tests.dicomweb.proxied import kinds, path, proxy, values
from tests.outbound.pacs import pacs
from tests.outbound.remote import dataset, north, study

AS_STORED = {"Accept": "application/dicom; transfer-syntax=*"}


@pytest.mark.dicom("PS3.18 10.4")
async def test_an_instance_is_fetched_with_its_series_and_only_once(box: Box) -> None:
    theirs = study(6)
    async with proxy(box, *theirs) as (there, client):
        answers = [await client.get(path(one), headers=AS_STORED) for one in theirs[:1] * 2]
        await asyncio.gather(*(client.get(path(one)) for one in theirs if one.InstanceNumber % 2 == 0))
        again = await client.get(f"{path(theirs[2])}/metadata")
        asked = kinds(there)

    assert [one.status_code for one in answers] == [200, 200]
    assert answers[0].headers["content-location"] == f"/dicom-web/proxy/north{path(theirs[0])}"
    assert values(again.json()[0], "00080018") == [theirs[2].SOPInstanceUID]
    assert asked == {"find IMAGE": 1, "get IMAGE": 1, "get SERIES": 1}


async def test_equal_wants_at_once_are_one_retrieval(box: Box) -> None:
    theirs = [one for one in study(20) if one.InstanceNumber % 2 == 0]
    async with proxy(box, *theirs) as (there, client):
        answers = await asyncio.gather(
            *(client.get(f"{path(one)}/frames/1") for one in theirs for _ in range(3))
        )

    assert {one.status_code for one in answers} == {200}
    assert kinds(there)["find IMAGE"] == 1
    assert kinds(there)["get SERIES"] == 1


async def test_the_first_image_is_given_before_the_series_is_complete(box: Box) -> None:
    theirs = [one for one in study(40) if one.InstanceNumber % 2 == 0]
    wanted = theirs[-1]
    async with proxy(box, *theirs, pause=60.0, quick=1) as (there, client):
        answer = await client.get(path(wanted))
        held = await box.database.fetch_value("select count(*) from instance")
        there.lock.set()

    assert answer.status_code == 200
    assert held < len(theirs)


async def test_a_study_is_given_whole(box: Box) -> None:
    theirs = study(6)
    async with proxy(box, *theirs) as (there, client):
        answer = await client.get(f"/studies/{theirs[0].StudyInstanceUID}/metadata")
        before = kinds(there)
        again = await client.get(f"/studies/{theirs[0].StudyInstanceUID}")
        assert kinds(there) == before

    assert {values(row, "00080018")[0] for row in answer.json()} == {o.SOPInstanceUID for o in theirs}
    assert again.content.count(b"Content-Location") == 6


async def test_a_part_is_never_given_as_the_whole(box: Box) -> None:
    theirs = study(6)
    async with proxy(box, *theirs, most=1) as (_, client):
        answer = await client.get(f"/studies/{theirs[0].StudyInstanceUID}/metadata")

    assert answer.status_code == 502
    assert "have not come from the peer (status A702)" in answer.json()["error"]


async def test_a_thumbnail_brings_one_instance_alone(box: Box) -> None:
    theirs = study(8)
    async with proxy(box, *theirs) as (_, client):
        answer = await client.get(f"/studies/{theirs[0].StudyInstanceUID}/thumbnail")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert await box.database.fetch_value("select count(*) from instance") == 1


async def test_addresses_of_bulk_data_lead_to_the_proxy(box: Box) -> None:
    (one,) = study(1)
    async with proxy(box, one) as (_, client):
        (row,) = (await client.get(f"{path(one)}/metadata")).json()
        uri = row["7FE00010"]["BulkDataURI"]
        base = httpx.URL(f"http://localhost/dicom-web/proxy/north{path(one)}/metadata")
        answer = await client.get(base.join(uri))

    assert answer.status_code == 200
    assert one.PixelData in answer.content


@pytest.mark.parametrize("kind", ["/metadata", "/rendered", "/frames/1", ""])
async def test_what_the_peer_does_not_have_is_not_found(box: Box, kind: str) -> None:
    async with proxy(box, dataset()) as (_, client):
        answer = await client.get(f"/studies/1.2/series/1.3/instances/1.4{kind}")
        pattern = await client.get("/studies/*/metadata")

    assert (answer.status_code, pattern.status_code) == (404, 404)


async def test_two_processes_fetch_once(box: Box) -> None:
    theirs = [one for one in study(8) if one.InstanceNumber % 2 == 0]
    async with (
        proxy(box, *theirs) as (there, client),
        open_box(box.settings) as twin,
        client_of(twin) as other,
    ):
        answers = await asyncio.gather(
            *(client.get(path(one)) for one in theirs),
            *(other.get(f"/proxy/north{path(one)}") for one in theirs),
        )

    assert {one.status_code for one in answers} == {200}
    assert kinds(there)["get SERIES"] == 1


async def test_who_waits_for_another_process_that_died_fetches_itself(box: Box) -> None:
    (one,) = study(1)
    async with proxy(box, one) as (_, client):
        peer = await peers.by_name(box, "north")
        thing = Thing(realm=cache_of(peer.id), study_uid=one.StudyInstanceUID, what=one.SeriesInstanceUID)
        async with proxy_leases.held(box, thing) as ours:
            assert ours
            asked = asyncio.create_task(client.get(path(one)))
            while await box.database.fetch_value("select count(*) from proxied_study") == 0:
                await asyncio.sleep(0.01)
            await box.database.write(lambda w: w.execute("update proxy_fetch set until = '2020'"))
            answer = await asked

    assert answer.status_code == 200


async def test_no_more_associations_are_open_than_the_peer_may_have(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.05)
    with pacs(*study(4)) as there:
        peer = await north(box, there, proxy=True, associations=1)
        async with client_of(box) as client, reading.proxies(box).turn(peer):
            answer = await client.get("/proxy/north/studies")

    assert answer.status_code == 503
    assert "retry-after" in answer.headers
