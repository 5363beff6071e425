"""What the addresses of lists say, and what their pages answer."""

from datetime import date

import httpx
import pytest

from dicomweb_box.box import Box
from dicomweb_box.errors import BadQuery
from dicomweb_box.web import days
from dicomweb_box.web.columns import usual
from dicomweb_box.web.views import view_of
from tests.builders import new_uid
from tests.web.test_studies_page import keep, read

MONDAY = date(2026, 3, 2)
PROGRAM = {"Accept": "application/json"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("today", "20260302-20260302"),
        ("yesterday", "20260301-20260301"),
        ("last-7-days", "20260224-20260302"),
        ("last-30-days", "20260201-20260302"),
        ("this-month", "20260301-20260302"),
        ("last-month", "20260201-20260228"),
        ("this-year", "20260101-20260302"),
        ("last-365-days", "20250303-20260302"),
        ("20260101-", "20260101-"),
        ("20260101", "20260101"),
    ],
)
def test_days_by_name_are_seen_from_the_day_of_asking(name: str, meant: str) -> None:
    assert days.resolved(name, MONDAY) == meant


def test_date_fields_and_ranges_are_the_same() -> None:
    assert days.between("2026-01-02", "2026-01-05") == "20260102-20260105"
    assert days.between("2026-01-02", "") == "20260102-"
    assert days.between("2026-01-02", "2026-01-02") == "20260102"
    assert days.ends("20260102-20260105") == ("2026-01-02", "2026-01-05")
    assert days.ends("-20260105") == ("", "2026-01-05")
    assert days.ends("20260102") == ("2026-01-02", "2026-01-02")
    assert days.ends("2026") == ("", "")


def test_a_view_has_one_address() -> None:
    typed = [
        ("PatientName", " doe* "),
        ("PatientID", ""),
        ("q", "knee"),
        ("limit", "25"),
        ("from", "2026-01-02"),
    ]
    typed += [("columns", column.name) for column in usual("study")]

    view = view_of("study", "/studies", typed)

    assert view.address == "/studies?q=knee&PatientName=doe*&StudyDate=20260102-"
    assert view_of("study", "/studies", [("orderby", "-StudyDate")]).address == "/studies"
    assert view.by("PatientName").order == "PatientName"
    assert view.by("PatientName").by("PatientName").order == "-PatientName"
    assert view.by("size").order == "-size"
    assert view.sorted_by("StudyDate") == "descending"
    assert view_of("study", "/studies", [("columns", "size")]).address == "/studies?columns=PatientName,size"


@pytest.mark.parametrize("wrong", [("orderby", "Rows"), ("limit", "0"), ("limit", "101"), ("limit", "x")])
def test_what_cannot_be_meant_is_refused(wrong: tuple[str, str]) -> None:
    with pytest.raises(BadQuery, match=wrong[0]):
        view_of("study", "/studies", [wrong])


@pytest.mark.parametrize("query", ["orderby=Rows", "limit=1000", "after=nonsense", "StudyDate=yore"])
async def test_a_wrong_address_is_said_in_a_sentence(client: httpx.AsyncClient, query: str) -> None:
    page = await read(client, f"/studies?{query}", 400)
    program = await client.get(f"/studies.json?{query}", headers=PROGRAM)

    assert [one for one in page.elements["p"] if one.attributes.get("role") == "alert"]
    assert (program.status_code, list(program.json())) == (400, ["error"])


async def test_a_place_belongs_to_its_order(box: Box, client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await keep(box, PatientName="Secret^Name")
    first = (await client.get("/studies.json?limit=1&orderby=PatientName", headers=PROGRAM)).json()

    other = await client.get(first["older"].replace("orderby=PatientName", "orderby=PatientID"))

    assert "ecret" not in first["older"]
    assert other.status_code == 400


async def test_words_find_in_lists_of_studies_series_and_patients(
    box: Box, client: httpx.AsyncClient
) -> None:
    await keep(box, PatientName="Doe^Jane", PatientID="A", StudyDescription="Knee")
    await keep(box, PatientName="Roe^Rita", PatientID="B", StudyDescription="Knee")

    for path in ("/studies", "/series", "/patients"):
        page = await read(client, f"{path}?q=doe+knee")
        assert len([row for row in page.elements["tr"] if "tbody" in row.inside]) == 1, path
        part = await client.get(f"{path}?q=doe+knee", headers={"HX-Request": "true"})
        assert "<html" not in part.text
        assert part.headers["hx-replace-url"] == f"{path}?q=doe+knee"


async def test_a_patients_page_lists_the_studies_of_that_patient(box: Box, client: httpx.AsyncClient) -> None:
    mine = [await keep(box, PatientID="A/1?", StudyDate=f"2026010{n}") for n in (1, 2)]
    await keep(box, PatientID="B")
    (one, _) = (await client.get("/patients.json", headers=PROGRAM)).json()["patients"]

    page = await read(client, f"/patients/{one['key']}")
    twin = (await client.get(f"/patients/{one['key']}.json?limit=1", headers=PROGRAM)).json()
    older = (await client.get(twin["older"], headers=PROGRAM)).json()
    study = await read(client, f"/studies/{mine[0]}")

    assert [address for address in page.addresses() if address in {f"/studies/{uid}" for uid in mine}] == [
        f"/studies/{mine[1]}",
        f"/studies/{mine[0]}",
    ]
    assert [one["study_uid"] for one in (*twin["studies"], *older["studies"])] == mine[::-1]
    assert twin["patient"]["id"] == "A/1?"
    assert f"/patients/{one['key']}" in study.addresses()
    assert (await client.get("/patients/nonsense")).status_code == 404


async def test_a_series_is_shown_with_its_instances(box: Box, client: httpx.AsyncClient) -> None:
    study, series, last = new_uid(), new_uid(), new_uid()
    for number in range(1, 102):
        given = {"instance": last} if number == 101 else {}
        await keep(box, study=study, series=series, InstanceNumber=number, **given)
    address = f"/studies/{study}/series/{series}"

    first = await read(client, address)
    (further,) = [
        one.attributes["href"] for one in first.elements["a"] if one.attributes.get("rel") == "next"
    ]
    second = await read(client, further)
    (back,) = [one.attributes["href"] for one in second.elements["a"] if one.attributes.get("rel") == "prev"]
    twin = (await client.get(f"{address}.json", headers=PROGRAM)).json()

    assert f"{address}/instances/{last}" in second.addresses()
    assert len([row for row in second.elements["tr"] if "tbody" in row.inside]) == 1
    assert [row.text for row in (await read(client, back)).elements["tr"]] == [
        row.text for row in first.elements["tr"]
    ]
    assert "CT Image" in second.one("main").text
    assert (twin["instance_count"], len(twin["instances"])) == (101, 100)
    assert (await client.get(f"{address}?after=nonsense")).status_code == 400
    assert (await client.get(f"/studies/{study}/series/1.2.3")).status_code == 404


async def test_the_query_of_a_list_can_be_pasted_behind_the_service(
    box: Box, client: httpx.AsyncClient
) -> None:
    await keep(box, PatientName="Doe^Jane")
    await keep(box, PatientName="Roe^Rita")
    query = "PatientName=doe*&q=doe&columns=PatientName,size&orderby=size&source=test"

    answer = await client.get(f"/dicom-web/studies?{query}", headers={"Accept": "application/dicom+json"})

    assert len(answer.json()) == 1
    assert "warning" in answer.headers
