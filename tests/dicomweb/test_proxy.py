"""A peer read through DICOMweb: searched by C-FIND, fetched once by C-GET, and never part of the archive."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.app import assemble
from dicomweb_box.archive import check, proxied, status
from dicomweb_box.archive.inventory import count, latest
from dicomweb_box.archive.realms import cache_of
from dicomweb_box.archive.reindex import reindex
from dicomweb_box.archive.remove import drain_removals
from dicomweb_box.box import Box, open_box
from dicomweb_box.outbound import peers, proxy_leases
from dicomweb_box.outbound import proxy as reading
from dicomweb_box.outbound.dimse_scu import FIND
from dicomweb_box.outbound.proxy_leases import Thing
from tests.dicomweb.doors import client_of
from tests.outbound.pacs import Pacs, pacs
from tests.outbound.remote import dataset, north, study

AS_STORED = {"Accept": "application/dicom; transfer-syntax=*"}


@asynccontextmanager
async def proxy(box: Box, *held: Dataset, **how: Any) -> AsyncIterator[tuple[Pacs, httpx.AsyncClient]]:
    """A PACS that is offered as a proxy, and a client below its root."""
    with pacs(*held, **how) as there:
        await north(box, there, proxy=True)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(assemble(box)), base_url="http://localhost/dicom-web/proxy/north"
        ) as client:
            yield there, client


def path(one: Dataset) -> str:
    return f"/studies/{one.StudyInstanceUID}/series/{one.SeriesInstanceUID}/instances/{one.SOPInstanceUID}"


def kinds(there: Pacs) -> Counter[str]:
    """How often it was asked for what."""
    return Counter(f"{kind} {asked.QueryRetrieveLevel}" for kind, asked in there.asked)


def values(row: dict[str, Any], tag: str) -> list[Any]:
    return list(row[tag].get("Value", []))


# Search


@pytest.mark.dicom("PS3.18 10.6")
async def test_a_search_is_asked_of_the_peer(box: Box) -> None:
    mine, other = dataset(PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100"), dataset()
    async with proxy(box, mine, other) as (there, client):
        answer = await client.get(
            "/studies", params={"PatientName": "Müller*", "includefield": "StationName"}
        )

    (row,) = answer.json()
    assert answer.headers["content-type"] == "application/dicom+json"
    assert values(row, "00100010") == [{"Alphabetic": "Müller^Jörg"}]
    assert values(row, "00080005") == ["ISO_IR 192"]
    assert values(row, "00081190") == [f"/dicom-web/proxy/north/studies/{mine.StudyInstanceUID}"]
    assert "00080052" not in row
    assert list(row) == sorted(row)
    ((_, asked),) = there.asked
    assert str(asked.PatientName) == "Müller*"
    assert "StationName" in asked


async def test_series_and_instances_are_searched_level_below_level(box: Box) -> None:
    one, other = study(4, PatientID="A"), study(2, PatientID="B")
    async with proxy(box, *one, *other) as (there, client):
        series = (await client.get(f"/studies/{one[0].StudyInstanceUID}/series")).json()
        assert kinds(there) == {"find SERIES": 1}
        there.asked.clear()
        instances = (await client.get("/instances", params={"PatientID": "A"})).json()
        assert kinds(there) == {"find STUDY": 1, "find SERIES": 1, "find IMAGE": 2}

    assert {values(row, "0020000E")[0] for row in series} == {str(o.SeriesInstanceUID) for o in one}
    assert {values(row, "00080018")[0] for row in instances} == {str(o.SOPInstanceUID) for o in one}
    assert {values(row, "00100020")[0] for row in instances} == {"A"}
    urls = {values(row, "00081190")[0] for row in instances}
    assert urls == {f"/dicom-web/proxy/north{path(o)}" for o in one}


async def test_a_page_says_that_there_is_more(box: Box) -> None:
    async with proxy(box, *(dataset() for _ in range(5))) as (_, client):
        first = await client.get("/studies", params={"limit": 2})
        last = await client.get("/studies", params={"limit": 2, "offset": 4})

    assert len(first.json()) == 2
    assert "1 or more additional results" in first.headers["warning"]
    assert len(last.json()) == 1
    assert "warning" not in last.headers


async def test_several_values_of_a_key_are_matched_here(box: Box) -> None:
    held = [dataset(AccessionNumber=number) for number in ("A1", "B2", "C3")]
    async with proxy(box, *held) as (there, client):
        found = (await client.get("/studies", params={"AccessionNumber": "A1\\C3"})).json()

    assert sorted(values(row, "00080050")[0] for row in found) == ["A1", "C3"]
    assert there.asked[0][1].AccessionNumber == ""


async def test_what_cannot_be_asked_is_said(box: Box) -> None:
    async with proxy(box, dataset()) as (_, client):
        fuzzy = await client.get("/studies", params={"fuzzymatching": "true", "PatientName": "Doe"})
        wrong = await client.get("/studies", params={"StudyDate": "yesterday"})
        strict = await client.get("/studies", params={"orderby": "StudyDate", "strict": "1"})

    assert "Only literal matching has been performed" in fuzzy.headers["warning"]
    assert (wrong.status_code, strict.status_code) == (400, 400)
    assert "orderby" in strict.json()["error"]


# Retrieve


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


# Errors


async def test_a_peer_that_is_away_is_a_bad_gateway(box: Box) -> None:
    with pacs() as there:
        await north(box, there, proxy=True)
    async with client_of(box) as client:
        for where in ("/studies", "/studies/1.2", "/studies/1.2/series/1.3/instances/1.4"):
            answer = await client.get(f"/proxy/north{where}")
            assert answer.status_code == 502
            assert "could not be reached" in answer.json()["error"]


async def test_a_peer_that_cannot_answer_is_a_bad_gateway(box: Box) -> None:
    async with proxy(box, dataset(), find_status=0xC001) as (_, client):
        answer = await client.get("/studies")

    assert answer.status_code == 502
    assert "C001" in answer.json()["error"]


async def test_a_peer_without_c_get_is_a_bad_gateway_with_a_sentence(box: Box) -> None:
    (one,) = study(1)
    async with proxy(box, one, services=(FIND,)) as (_, client):
        answer = await client.get(path(one))

    assert answer.status_code == 502
    assert "C-GET" in answer.json()["error"]


async def test_only_a_peer_that_is_offered_can_be_read(box: Box) -> None:
    with pacs(dataset()) as there:
        await north(box, there)
        async with client_of(box) as client:
            plain = await client.get("/proxy/north/studies")
            unknown = await client.get("/proxy/south/studies")

    assert (plain.status_code, unknown.status_code) == (404, 404)
    assert plain.json()["error"] == "This peer is not offered as a proxy."


@pytest.mark.parametrize(("method", "where"), [("POST", "/studies"), ("DELETE", "/studies/1.2")])
async def test_nothing_is_stored_or_deleted_through_it(box: Box, method: str, where: str) -> None:
    async with proxy(box, dataset()) as (_, client):
        answer = await client.request(method, where)

    assert answer.status_code == 405
    assert answer.json()["error"] == "This address does not take that method."


# Never part of the archive


async def test_the_archive_shows_nothing_of_it(box: Box) -> None:
    theirs = study(3)
    async with proxy(box, *theirs) as (_, client):
        await client.get(f"/studies/{theirs[0].StudyInstanceUID}")
        assert await box.database.fetch_value("select count(*) from instance") == 3

        own = httpx.URL("http://localhost/")
        for where in ("dicom-web/studies", "dicom-web/series", "dicom-web/instances"):
            assert (await client.get(own.join(where))).json() == []
            assert (await client.get(own.join(f"{where}/count"))).json() == {"count": 0}
        for where in (f"dicom-web{path(theirs[0])}", f"dicom-web{path(theirs[0])}/metadata"):
            assert (await client.get(own.join(where))).status_code == 404
        assert theirs[0].StudyInstanceUID not in (await client.get(own.join("studies"))).text
        assert (await client.get(own.join(f"studies/{theirs[0].StudyInstanceUID}"))).status_code == 404

    numbers = await status.numbers(box)
    assert (numbers.studies, numbers.waiting, numbers.changes) == (0, 0, 0)
    await count(box)
    found = await latest(box)
    assert (found.studies, found.instances, [number for _, number in found.arrived]) == (0, 0, [0])


async def test_a_check_and_a_rebuilt_index_leave_it_out(box: Box) -> None:
    theirs = study(2)
    async with proxy(box, *theirs) as (_, client):
        await client.get(f"/studies/{theirs[0].StudyInstanceUID}")
        report = await check.check(box)
        assert (report.instances, report.sound) == (0, True)

        await reindex(box)

    assert await box.database.fetch_value("select count(*) from instance") == 0
    await drain_removals(box)
    assert list(box.blobs.keys()) == []


async def test_a_peer_of_the_same_name_does_not_inherit_it(box: Box) -> None:
    (one,) = study(1)
    async with proxy(box, one) as (there, client):
        assert (await client.get(path(one))).status_code == 200
        await peers.remove(box, "north", actor=SYSTEM)
        there.held.clear()
        await north(box, there, proxy=True)

        assert (await client.get(path(one))).status_code == 404


async def test_the_audit_tells_who_read_and_of_which_peer(box: Box) -> None:
    (one,) = study(1)
    async with proxy(box, one) as (_, client):
        await client.get(path(one))
    await reads(box).write(all_of_it=True)

    rows = await box.database.fetch_all("select action, study_uid, about from audit order by id")
    told = [(row["action"], row["study_uid"], row["about"]) for row in rows if row["action"] == "retrieve"]
    assert told == [("retrieve", one.StudyInstanceUID, '{"peer": "north"}')]
    assert "store" not in {row["action"] for row in rows}


# The cache


async def test_what_was_used_longest_ago_goes_first(box: Box) -> None:
    first, second = study(2), study(2)
    async with proxy(box, *first, *second) as (_, client):
        for one in (first[0], second[0]):
            await client.get(f"/studies/{one.StudyInstanceUID}")
        held = await proxied.size(box)
        small = replace(box, settings=replace(box.settings, proxy_cache=held - 1))
        assert await proxied.make_room(small) == 0  # both are in use

        await box.database.write(
            lambda w: w.execute(
                "update proxied_study set used_at = '2020-01-0' || case when study_uid = :first"
                " then '1' else '2' end",
                {"first": first[0].StudyInstanceUID},
            )
        )
        assert await proxied.make_room(small) == 1

        rows = await box.database.fetch_all("select study_uid from study")
        assert [row["study_uid"] for row in rows] == [second[0].StudyInstanceUID]
