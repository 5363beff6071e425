"""The list of studies and the study page, as a browser gets them."""

from urllib.parse import urlsplit

import httpx
import pytest

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from dicomweb_box.web.views import SIZES
from tests.builders import make_instance, new_uid, pieces
from tests.web.pages import Page, assert_well_made


async def keep(box: Box, **attributes: object) -> str:
    """Store one instance; its Study Instance UID."""
    received = await receive(box, pieces(make_instance(**attributes)))
    outcome = await store(box, received, source="test", actor=SYSTEM)
    assert isinstance(outcome, Stored)
    return outcome.study_uid


async def read(client: httpx.AsyncClient, path: str, status: int = 200) -> Page:
    answer = await client.get(path)
    assert answer.status_code == status
    page = Page(answer.text)
    assert_well_made(page)
    return page


async def test_the_address_alone_leads_to_the_studies(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")

    assert (answer.status_code, answer.headers["location"]) == (303, "/studies")


async def test_an_empty_box_says_how_to_fill_it(client: httpx.AsyncClient) -> None:
    page = await read(client, "/studies")

    assert "dicomweb-box import" in page.one("main").text
    assert page.elements["table"] == []


async def test_studies_are_listed_newest_first(box: Box, client: httpx.AsyncClient) -> None:
    await keep(box, PatientName="Old^Olga", StudyDate="20240101")
    await keep(box, PatientName="New^Nina", StudyDate="20260101")

    page = await read(client, "/studies")

    rows = [row.text for row in page.elements["tr"] if "tbody" in row.inside]
    assert ["New, Nina" in rows[0], "Old, Olga" in rows[1]] == [True, True]
    assert "2026-01-01" in rows[0]


async def test_the_search_form_asks_as_qido_does_and_keeps_what_was_typed(
    box: Box, client: httpx.AsyncClient
) -> None:
    await keep(box, PatientName="Doe^Jane")
    await keep(box, PatientName="Roe^Rita")

    page = await read(client, "/studies?PatientName=doe*&PatientID=&StudyDate=")

    assert [one.text.strip() for one in page.elements["th"] if "tbody" in one.inside] == ["Doe, Jane"]
    typed = {one.attributes["name"]: one.attributes.get("value") for one in page.elements["input"]}
    assert typed["PatientName"] == "doe*"
    alternate = next(link for link in page.elements["link"] if link.attributes["rel"] == "alternate")
    assert alternate.attributes["href"] == "/dicom-web/studies?PatientName=doe%2A"


async def test_a_search_without_a_match_says_so(box: Box, client: httpx.AsyncClient) -> None:
    await keep(box)

    assert "No study matches" in (await read(client, "/studies?PatientID=nobody")).one("main").text


async def test_what_cannot_be_searched_is_said_beside_its_field(client: httpx.AsyncClient) -> None:
    page = await read(client, "/studies?StudyDate=yore", 400)

    (field,) = [one for one in page.elements["select"] if one.attributes.get("aria-invalid") == "true"]
    assert field.attributes["name"] == "StudyDate"
    assert "yore" in [
        one.attributes["value"] for one in page.elements["option"] if "selected" in one.attributes
    ]


async def test_pages_are_reached_by_links_both_ways(box: Box, client: httpx.AsyncClient) -> None:
    for number in range(SIZES[0] + 1):
        await keep(box, PatientName=f"Doe^{number:03d}", StudyDate="20260101")

    first = await read(client, "/studies?PatientName=Doe*")
    (older,) = [
        link.attributes["href"] for link in first.elements["a"] if link.attributes.get("rel") == "next"
    ]
    second = await read(client, older)
    (newer,) = [
        link.attributes["href"] for link in second.elements["a"] if link.attributes.get("rel") == "prev"
    ]

    assert len([row for row in second.elements["tr"] if "tbody" in row.inside]) == 1
    assert newer.startswith("/studies?PatientName=Doe*&before=")
    assert [row.text for row in (await read(client, newer)).elements["tr"]] == [
        row.text for row in first.elements["tr"]
    ]


async def test_a_fragment_is_the_rows_alone_for_htmx(box: Box, client: httpx.AsyncClient) -> None:
    await keep(box)

    fragment = await client.get("/studies", headers={"HX-Request": "true"})
    boosted = await client.get("/studies", headers={"HX-Request": "true", "HX-Boosted": "true"})

    assert "<html" not in fragment.text
    assert "<table" in fragment.text
    assert "<html" in boosted.text
    assert fragment.headers["vary"] == boosted.headers["vary"] == "HX-Request"


async def test_a_study_is_shown_with_its_series(box: Box, client: httpx.AsyncClient) -> None:
    study, series = new_uid(), new_uid()
    await keep(box, study=study, series=series, SeriesDescription="Axial", InstanceNumber=1)
    await keep(box, study=study, series=series, SeriesDescription="Axial", InstanceNumber=2)
    await keep(box, study=study, SeriesDescription="Coronal")

    page = await read(client, f"/studies/{study}")

    assert page.one("h1").text == "Doe, Jane"
    assert "3 in 2 series" in " ".join(page.one("main").text.split())
    assert {"Axial", "Coronal"} <= {heading.text.strip() for heading in page.elements["th"]}
    archive = "?accept=application/zip%3Btransfer-syntax%3D*"
    assert f"/dicom-web/studies/{study}{archive}" in page.addresses()
    assert f"/dicom-web/studies/{study}/series/{series}{archive}" in page.addresses()
    assert f"/dicom-web/studies/{study}/series/{series}/thumbnail?viewport=96,96" in page.addresses()


async def test_a_disagreement_between_instances_is_shown(box: Box, client: httpx.AsyncClient) -> None:
    study = new_uid()
    for name in ("Doe^Jane", "Doe^Jane", "Doe^Joan"):
        await keep(box, study=study, PatientName=name)

    page = await read(client, f"/studies/{study}")

    assert page.one("h1").text == "Doe, Jane"
    assert "They differ in Patient's Name" in " ".join(page.one("main").text.split())


async def test_every_link_of_the_pages_leads_somewhere(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box)
    for path in ("/studies", f"/studies/{study}", "/studies/1.2.3"):
        page = Page((await client.get(path)).text)
        for address in page.addresses():
            if not address.startswith("#"):
                answer = await client.get(address, headers={"Accept": "*/*"})
                assert answer.status_code in (200, 206), address


async def test_a_name_is_shown_in_all_its_groups(box: Box, client: httpx.AsyncClient) -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    study = await keep(box, SpecificCharacterSet="ISO_IR 192", PatientName=name)

    page = await read(client, f"/studies/{study}")

    assert page.one("h1").text == "Yamada, Tarou (山田, 太郎) (やまだ, たろう)"


async def test_what_a_data_set_says_never_becomes_markup(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box, PatientName="<script>alert(1)</script>", StudyDescription="<b onclick=x>")

    for path in ("/studies", f"/studies/{study}"):
        page = await read(client, path)
        assert all(one.attributes["src"].startswith("/static/") for one in page.elements["script"])
        assert page.elements["b"] == []


async def test_pages_carry_a_strict_policy_and_are_not_kept(client: httpx.AsyncClient) -> None:
    answer = await client.get("/studies")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "etag" not in answer.headers


async def test_static_files_are_kept_for_ever_under_the_name_of_their_content(
    client: httpx.AsyncClient,
) -> None:
    page = Page((await client.get("/studies")).text)
    sheet = next(link for link in page.elements["link"] if link.attributes["rel"] == "stylesheet").attributes[
        "href"
    ]

    answer = await client.get(sheet)

    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    wrong = sheet.replace(urlsplit(sheet).path.split("/")[2], "0" * 16)
    assert (await client.get(wrong)).status_code == 404
    assert (await client.get("/static/x/../../pyproject.toml")).status_code == 404
    assert (await client.get("/static/x/%2e%2e/pyproject.toml")).status_code == 404


@pytest.mark.parametrize(
    "path", ["/nothing", "/studies/1.2.3", "/studies/not-a-uid", "/static/x/nothing.css"]
)
async def test_what_is_not_there_is_a_page_with_a_way_back(client: httpx.AsyncClient, path: str) -> None:
    page = await read(client, path, 404)

    assert "/studies" in page.addresses()


async def test_programs_get_the_same_as_json(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box)
    programs = {"Accept": "application/json"}

    listed = (await client.get("/studies.json", headers=programs)).json()
    shown = (await client.get(f"/studies/{study}.json", headers=programs)).json()
    missing = await client.get("/studies/1.2.3.json", headers=programs)

    assert [one["study"]["0020000D"]["Value"] for one in listed["studies"]] == [[study]]
    assert listed["total"] == {"count": 1, "more": False}
    assert (listed["newer"], listed["older"]) == (None, None)
    assert shown["study"]["0020000D"]["Value"] == [study]
    assert len(shown["series"]) == 1
    assert shown["disagreement"] == {"study": [], "series": {}}
    assert (missing.status_code, list(missing.json())) == (404, ["error"])


async def test_a_place_in_one_list_is_no_place_in_another(box: Box, client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await keep(box)
    older = (await client.get("/studies.json?limit=1")).json()["older"]
    place = urlsplit(older).query

    same = await client.get(f"/studies?{place}")
    other = await client.get(f"/series?{place}")

    assert same.status_code == 200
    assert other.status_code == 400


async def test_the_title_of_a_study_tells_nothing_of_it(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box, StudyDescription="Control of Jane Doe")

    page = await read(client, f"/studies/{study}")

    assert page.one("title").text == "Study · dicomweb_box"
    assert "Control of Jane Doe" in page.one("main").text
