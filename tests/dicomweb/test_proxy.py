"""A peer searched by QIDO-RS, as C-FIND; and what is answered where it cannot be read."""

import pytest

from dicomweb_box.box import Box
from dicomweb_box.outbound.dimse_scu import FIND
from tests.dicomweb.doors import client_of
from tests.dicomweb.proxied import kinds, path, proxy, values
from tests.outbound.pacs import pacs
from tests.outbound.remote import dataset, north, study


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


@pytest.mark.parametrize("uid", ["*", "1.2%5C1.3", "1.2,1.3", "a", "1.2?"])
async def test_an_address_names_one_study(box: Box, uid: str) -> None:
    async with proxy(box, dataset()) as (there, client):
        answer = await client.get(f"/studies/{uid.replace('?', '%3F')}/series")

    assert (answer.status_code, there.asked) == (400, [])


async def test_a_range_of_moments_is_one_range(box: Box) -> None:
    days, times = ("20260101", "20260102", "20260103"), ("0800", "2000")
    held = [dataset(StudyDate=day, StudyTime=time) for day in days for time in times]
    async with proxy(box, *held) as (there, client):
        asked_for = {"StudyDate": "20260101-20260103", "StudyTime": "1200-1200"}
        found = (await client.get("/studies", params=asked_for)).json()

    moments = sorted(values(row, "00080020")[0] + values(row, "00080030")[0] for row in found)
    assert moments == ["202601012000", "202601020800", "202601022000", "202601030800"]
    assert there.asked[0][1].StudyTime == ""


async def test_what_cannot_be_asked_is_said(box: Box) -> None:
    async with proxy(box, dataset()) as (_, client):
        fuzzy = await client.get("/studies", params={"fuzzymatching": "true", "PatientName": "Doe"})
        wrong = await client.get("/studies", params={"StudyDate": "yesterday"})
        strict = await client.get("/studies", params={"orderby": "StudyDate", "strict": "1"})

    assert "Only literal matching has been performed" in fuzzy.headers["warning"]
    assert (wrong.status_code, strict.status_code) == (400, 400)
    assert "orderby" in strict.json()["error"]


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
