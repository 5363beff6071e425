"""Selections by people's forms and by programs."""

import io
import zipfile

import httpx
import pydicom
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.asgi.errors import handlers
from dicomweb_box.asgi.stack import middleware
from dicomweb_box.box import Box
from dicomweb_box.web import actions
from dicomweb_box.web.actions import Action, offered
from dicomweb_box.web.forms import posted
from dicomweb_box.web.targets import Targets, asked, targets
from dicomweb_box.web.twins import as_json
from tests.builders import new_uid
from tests.web.test_studies_page import keep, read

PROGRAM = {"Accept": "application/json"}


async def test_programs_make_one_and_change_it(box: Box, client: httpx.AsyncClient) -> None:
    series = new_uid()
    one, two = await keep(box), await keep(box, series=series)

    made = await client.post("/selections", json={"study": [one]}, headers=PROGRAM)
    address = made.headers["location"]
    added = await client.post(f"{address}/members", json={"series": f"{two}/{series}"}, headers=PROGRAM)
    shown = await client.get(f"{address}.json")
    taken = await client.post(f"{address}/members/remove", json={"study": one}, headers=PROGRAM)
    gone = await client.delete(address, headers=PROGRAM)

    assert made.status_code == 201
    assert made.json() == {"id": address.removeprefix("/selections/"), "study": [one], "series": []}
    assert "summary" in shown.json()
    assert shown.json() | added.json() == shown.json()
    assert added.json() == made.json() | {"series": [f"{two}/{series}"]}
    assert taken.json()["study"] == []
    assert gone.status_code == 200
    assert (await client.get(f"{address}.json", headers=PROGRAM)).status_code == 404


async def test_people_are_led_to_what_they_made(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box)

    made = await client.post("/selections", data={"study": study})
    page = await read(client, made.headers["location"])

    assert made.status_code == 303
    assert f"/studies/{study}" in page.addresses()


@pytest.mark.parametrize(
    ("given", "status"),
    [({"study": "1.2.3"}, 404), ({"series": "1.2.3"}, 400), ({"series": "1/2/3"}, 400)],
)
async def test_what_is_not_there_or_badly_named_is_refused(
    client: httpx.AsyncClient, given: dict[str, str], status: int
) -> None:
    answer = await client.post("/selections", json=given, headers=PROGRAM)

    assert (answer.status_code, list(answer.json())) == (status, ["error"])


async def by_query(request: Request) -> Response:
    return as_json(await targets(request, asked(request)))


async def by_form(request: Request) -> Response:
    return as_json(await targets(request, await posted(request)))


@pytest.fixture
def acting(box: Box) -> httpx.AsyncClient:
    """A client of an action's page."""
    app = Starlette(
        routes=[Route("/act", by_query), Route("/act", by_form, methods=["POST"])],
        middleware=middleware(box.settings),
        exception_handlers=handlers(),
    )
    app.state.box = box
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def test_an_action_is_told_what_it_is_about_by_query_form_and_json_alike(
    box: Box, acting: httpx.AsyncClient
) -> None:
    series = new_uid()
    one, two = await keep(box), await keep(box, series=series)
    said = {"study": [one], "series": [f"{two}/{series}"]}

    answers = [
        await acting.get("/act", params=said),
        await acting.post("/act", data=said),
        await acting.post("/act", json=said),
    ]

    assert [answer.json() for answer in answers] == [
        {"studies": [one], "series": [[two, series]], "selection": None}
    ] * 3


async def test_a_series_of_a_study_that_is_named_whole_is_not_named_twice(
    box: Box, client: httpx.AsyncClient, acting: httpx.AsyncClient
) -> None:
    series = new_uid()
    study = await keep(box, series=series)
    both = {"study": study, "series": f"{study}/{series}"}
    made = await client.post("/selections", json=both, headers=PROGRAM)
    key = made.json()["id"]

    direct = (await acting.get("/act", params=both)).json()
    selected = (await acting.get("/act", params={"selection": key})).json()

    assert direct == {"studies": [study], "series": [], "selection": None}
    assert selected == direct | {"selection": key}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({}, 400),
        ({"study": "1.2.3"}, 404),
        ({"selection": "nothing"}, 404),
        ({"selection": "nothing", "study": "1.2.3"}, 400),
        ({"selection": ["a", "b"]}, 400),
    ],
)
async def test_an_action_without_what_it_is_about_is_refused(
    acting: httpx.AsyncClient, said: dict[str, str], status: int
) -> None:
    answer = await acting.get("/act", params=said)

    assert (answer.status_code, list(answer.json())) == (status, ["error"])


def test_targets_say_themselves_again() -> None:
    several = Targets(studies=("1.2",), series=(("1.3", "1.4"),))

    assert several.query == "study=1.2&series=1.3%2F1.4"
    assert Targets(studies=("1.2",), selection="key").query == "selection=key"


def test_actions_are_offered_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Action(address="/label", name="Label")
    other = Action(address="/correct", name="Correct", on=frozenset(("study",)), grave=True)
    monkeypatch.setattr(actions, "ACTIONS", (one, other))

    assert [offer.href for offer in offered("study", "study=1")] == ["/label?study=1", "/correct?study=1"]
    assert [offer.name for offer in offered("selection", "selection=a")] == ["Label"]


async def test_the_browser_selects_what_its_page_shows_ticked(box: Box, client: httpx.AsyncClient) -> None:
    one, two = await keep(box), await keep(box)
    same_origin = {"Sec-Fetch-Site": "same-origin"}

    first = await client.post(
        "/selection",
        data={"shown": [one, two], "study": [one], "back": "/studies?q=doe"},
        headers=same_origin,
    )
    listed = await read(client, "/studies")
    await client.post("/selection", data={"shown": [one, two], "study": [two]}, headers=same_origin)
    other_page = await read(client, "/series")

    assert (first.status_code, first.headers["location"]) == (303, "/studies?q=doe")
    cookie = first.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    ticked = [one.attributes["value"] for one in listed.elements["input"] if "checked" in one.attributes]
    assert one in ticked
    assert two not in ticked
    assert "1 study" in " ".join(other_page.one("main").text.split())


async def test_a_tick_is_answered_by_the_bar_alone(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box)

    answer = await client.post(
        "/selection",
        data={"shown": study, "study": study},
        headers={"HX-Request": "true", "Sec-Fetch-Site": "same-origin"},
    )

    assert "<html" not in answer.text
    assert 'id="selection"' in answer.text
    assert "set-cookie" in answer.headers


async def test_all_of_a_page_or_all_that_match_are_selected(box: Box, client: httpx.AsyncClient) -> None:
    series = new_uid()
    knees = [await keep(box, StudyDescription="Knee", series=series if not n else None) for n in range(3)]
    chest = await keep(box, StudyDescription="Chest")
    same_origin = {"Sec-Fetch-Site": "same-origin"}

    async def selected() -> dict[str, list[str]]:
        key = client.cookies["selection"]
        found: dict[str, list[str]] = (await client.get(f"/selections/{key}.json")).json()
        return found

    await client.post(
        "/selection", data={"every": "match", "back": "/studies?q=knee&limit=1"}, headers=same_origin
    )
    assert set((await selected())["study"]) == set(knees)
    await client.post("/selection", data={"every": "page", "shown": [chest]}, headers=same_origin)
    assert set((await selected())["study"]) == {*knees, chest}
    await client.post("/selection", data={"every": "match", "back": "/series?q=knee"}, headers=same_origin)
    assert f"{knees[0]}/{series}" in (await selected())["series"]
    wrong = await client.post("/selection", data={"every": "match", "back": "/labels"}, headers=same_origin)
    nul = await client.post(
        "/selection", data={"every": "match", "back": "/studies?q=%00"}, headers=same_origin
    )
    assert wrong.status_code == nul.status_code == 400


async def test_another_site_cannot_tick(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box)

    answer = await client.post("/selection", data={"study": study}, headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403


async def test_what_leads_elsewhere_is_not_followed(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box)

    answer = await client.post("/selection", data={"study": study, "back": "//elsewhere.example/"})

    assert answer.headers["location"] == "/studies"


async def test_a_selection_is_downloaded_as_one_archive(box: Box, client: httpx.AsyncClient) -> None:
    study, series = await keep(box), new_uid()
    other = await keep(box, series=series, SeriesNumber=7)
    await keep(box, study=other, SeriesNumber=8)
    made = await client.post(
        "/selections", json={"study": study, "series": f"{other}/{series}"}, headers=PROGRAM
    )

    answer = await client.get(f"/download?selection={made.json()['id']}")

    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        folders = [name.rsplit("/", 1)[0] for name in archive.namelist()]
        assert pydicom.dcmread(io.BytesIO(archive.read(archive.namelist()[0]))).StudyInstanceUID == study
    assert sorted(folders) == sorted([f"{study}/1-{folders[0].split('-')[1]}", f"{other}/7-{series}"])
    assert (await client.get("/download?study=1.2.3")).status_code == 404


async def test_a_selection_says_what_it_comes_to(box: Box, client: httpx.AsyncClient) -> None:
    study = await keep(box, PatientName="Doe^Jane")
    made = await client.post("/selections", json={"study": study}, headers=PROGRAM)
    address = made.headers["location"]

    page = await read(client, address)
    twin = (await client.get(f"{address}.json")).json()

    assert "1 instance in 1 series of 1 study" in " ".join(page.one("main").text.split())
    assert "Explicit VR Little Endian" in page.one("main").text
    assert f"/download?selection={address.removeprefix('/selections/')}" in page.addresses()
    assert twin["summary"]["instances"] == 1
    await client.post(f"{address}/clear", data={})
    assert (await client.get(address)).status_code == 404
