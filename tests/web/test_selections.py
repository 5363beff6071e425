"""Selections by people's forms and by programs."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.asgi.errors import handlers
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
    assert added.json() == shown.json() == made.json() | {"series": [f"{two}/{series}"]}
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
