"""The pages of peers: the list with who was refused, the form, and what programs post."""

import httpx
import pytest

from dicomweb_box.accounts import roles
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from dicomweb_box.outbound import peers
from dicomweb_box.outbound.admission import caller
from dicomweb_box.outbound.refused_callers import refused_callers
from dicomweb_box.outbound.services import Service
from tests.accounts.people import PROGRAM, person
from tests.conftest import MakeBox
from tests.outbound.told import made
from tests.web.pages import Page, assert_well_made

NORTH = {"name": "north", "ae_title": "MODALITY1", "host": "10.1.2.3", "port": 104, "may": ["store", "echo"]}


async def call(box: Box, calling: str, address: str = "192.0.2.7") -> None:
    """Be refused."""
    await caller(box, called="OTHER", calling=calling, address=address, certificate=None)
    await refused_callers(box).write()


async def test_a_peer_is_made_by_the_form_and_shown(client: httpx.AsyncClient, box: Box) -> None:
    form = await client.get("/peers/new")
    assert_well_made(Page(form.text))
    filled = {
        **NORTH,
        "tls": ["0", "1"],
        "proxy": ["0", "1"],
        "part": "whole",
        "addresses": "10.1.0.0/16\n192.0.2.1",
        "charset": "",
    }

    answer = await client.post("/peers", data=filled)

    assert (answer.status_code, answer.headers["location"]) == (303, "/peers/north")
    peer = await peers.by_name(box, "north")
    assert (peer.host, peer.port, peer.tls, peer.proxy, peer.charset) == ("10.1.2.3", 104, True, True, None)
    assert peer.addresses == ("10.1.0.0/16", "192.0.2.1/32")
    assert peer.may == {Service.STORE, Service.ECHO}
    page = Page((await client.get("/peers/north")).text)
    assert_well_made(page)
    assert page.one("h1").text == "north"
    ticked = {one.attributes["value"] for one in page.elements["input"] if "checked" in one.attributes}
    assert {"store", "echo"} <= ticked
    assert "find" not in ticked
    assert "192.0.2.1\n" not in page.one("h1").text
    index = await client.get("/peers")
    assert_well_made(Page(index.text))
    assert "10.1.2.3:104" in index.text


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"ae_title": "A\\B"}, "ae_title"),
        ({"port": "http"}, "port"),
        ({"host": "169.254.169.254"}, "host"),
        ({"name": "new"}, "name"),
        ({"addresses": "10.0.0.0/99"}, "addresses"),
        ({"pdu_size": "1"}, "pdu_size"),
        ({"charset": "UTF-7"}, "charset"),
    ],
)
async def test_a_form_that_is_wrong_comes_back_with_what_is_beside_the_field(
    client: httpx.AsyncClient, box: Box, wrong: dict[str, str], field: str
) -> None:
    answer = await client.post("/peers", data=NORTH | wrong)

    assert answer.status_code == 422
    page = Page(answer.text)
    assert_well_made(page)
    (marked,) = [one for one in page.all() if "aria-invalid" in one.attributes]
    assert marked.attributes["id"] == field
    assert f"{field}-message" in marked.attributes["aria-describedby"]
    program = await client.post("/peers", json=NORTH | wrong, headers=PROGRAM)
    assert program.status_code == 400
    assert program.json()["error"]
    assert list(await peers.every(box)) == []


async def test_two_of_one_name_or_title_are_told_apart(client: httpx.AsyncClient, box: Box) -> None:
    await made(box)
    for wrong, field in (({"ae_title": "OTHER"}, "name"), ({"name": "south"}, "ae_title")):
        answer = await client.post("/peers", data=NORTH | wrong)
        assert answer.status_code == 422
        assert f'id="{field}-message"' in answer.text
        assert (await client.post("/peers", json=NORTH | wrong, headers=PROGRAM)).status_code == 409


async def test_a_program_makes_changes_and_removes_one(client: httpx.AsyncClient, box: Box) -> None:
    answer = await client.post("/peers", json=NORTH | {"labels": ["Trial"], "tls": True}, headers=PROGRAM)
    assert (answer.status_code, answer.headers["location"]) == (201, "/peers/north")
    expected = NORTH | {
        "may": ["echo", "store"],
        "scope": {"labels": ["Trial"]},
        "tls": True,
        "kind": "dimse",
    }
    assert answer.json().items() >= expected.items()
    assert "id" not in answer.json()

    changed = await client.post("/peers/north", json={"port": 11112, "may": []}, headers=PROGRAM)
    assert changed.json().items() >= (expected | {"port": 11112, "may": []}).items()
    renamed = await client.post(
        "/peers/north", json={"name": "south", "charset": "ISO_IR 100"}, headers=PROGRAM
    )
    assert renamed.json()["charset"] == "ISO_IR 100"
    assert (await client.get("/peers/south.json")).json() == renamed.json()
    assert (await client.get("/peers.json")).json() == {"peers": [renamed.json()], "refused": []}

    assert (await client.delete("/peers/south", headers=PROGRAM)).status_code == 200
    assert (await client.get("/peers/south.json")).status_code == 404
    assert (await client.post("/peers", json={"ae_title": "X"}, headers=PROGRAM)).status_code == 400
    assert (await client.post("/peers", json=NORTH | {"may": ["print"]}, headers=PROGRAM)).status_code == 400


async def test_a_form_takes_away_what_is_not_ticked(client: httpx.AsyncClient, box: Box) -> None:
    await made(box, tls=True, proxy=True, scope={"labels": ["Trial"]})

    await client.post(
        "/peers/north",
        data=NORTH | dict.fromkeys(("tls", "proxy"), "0") | {"may": "", "part": "whole", "addresses": ""},
    )

    peer = await peers.by_name(box, "north")
    assert (peer.tls, peer.proxy, peer.may, peer.scope, peer.addresses) == (False, False, frozenset(), {}, ())


async def test_removing_asks_first(client: httpx.AsyncClient, box: Box) -> None:
    await made(box)
    page = Page((await client.get("/peers/north/remove")).text)
    assert_well_made(page)
    assert len(await peers.every(box)) == 1
    answer = await client.post("/peers/north/remove")
    assert answer.headers["location"] == "/peers"
    assert list(await peers.every(box)) == []


async def test_who_was_refused_can_be_accepted(client: httpx.AsyncClient, box: Box) -> None:
    await call(box, 'CT\'S "2" & <3>')

    page = Page((await client.get("/peers")).text)
    assert_well_made(page)
    (accept,) = [one for one in page.elements["a"] if one.text.strip() == "Accept this peer"]
    form = Page((await client.get(accept.attributes["href"])).text)

    assert_well_made(form)
    filled = {
        one.attributes["id"]: one.attributes.get("value")
        for one in form.elements["input"]
        if "id" in one.attributes
    }
    assert filled["ae_title"] == 'CT\'S "2" & <3>'
    assert filled["name"] == "CT-S -2- - -3"
    (addresses,) = [one for one in form.elements["textarea"] if one.attributes["id"] == "addresses"]
    assert addresses.text == "192.0.2.7"
    posted = {
        "name": filled["name"],
        "ae_title": filled["ae_title"],
        "addresses": addresses.text,
        "may": "store",
    }
    assert (await client.post("/peers", data=posted)).status_code == 303
    assert "Accept this peer" not in (await client.get("/peers")).text
    assert (await client.get("/peers.json")).json()["refused"] == []


async def test_a_hostile_caller_is_text_and_cannot_be_accepted(client: httpx.AsyncClient, box: Box) -> None:
    await call(box, "<script>\n\x00\x1b[31m")
    await call(box, "")

    answer = await client.get("/peers")

    assert_well_made(Page(answer.text))
    assert "<script>" not in answer.text
    assert "Accept this peer" not in answer.text
    told = (await client.get("/peers.json")).json()["refused"]
    assert {one["ae_title"] for one in told} == {"", "<script>···[31m"}
    assert {one["why"] for one in told} == {"It called this box by another AE title."}


async def test_what_a_query_says_of_a_new_peer_is_cut_and_text(client: httpx.AsyncClient) -> None:
    answer = await client.get("/peers/new", params={"ae_title": '"><b>' * 9, "address": "<i>" * 99})
    page = Page(answer.text)
    assert_well_made(page)
    assert page.elements["b"] == page.elements["i"] == []


async def test_only_who_may_says_which_peers_there_are(make_box: MakeBox) -> None:
    async with make_box(no_auth=False) as box:
        await roles.make(box, "integrator", rights=["peers", "store"], actor=SYSTEM)
        admin = await person(box, "alice", "administrator")
        viewer = await person(box, "bob", "viewer")
        part = await person(box, "carol", "administrator", scope={"labels": ["Trial"]})
        integrator = await person(box, "dave", "integrator")

        assert (await viewer.get("/peers")).status_code == 403
        assert (await part.get("/peers")).status_code == 403
        assert 'href="/peers"' not in (await part.get("/studies")).text
        assert 'href="/peers"' in (await admin.get("/studies")).text
        form = await integrator.get("/peers/new")
        assert 'value="store"' in form.text
        assert 'value="find"' not in form.text
        refused = await integrator.post("/peers", data=NORTH | {"may": "find"})
        assert refused.status_code == 422
        assert (await integrator.post("/peers", data=NORTH)).status_code == 303
        assert (await admin.post("/peers/north", data={"may": "find"})).status_code == 303
        assert (await integrator.post("/peers/north", data={"may": "store"})).status_code == 422
        assert (await integrator.post("/peers/north/remove")).status_code == 403
        local = await admin.post("/peers", data=NORTH | {"name": "x", "ae_title": "X", "host": "localhost"})
        assert local.status_code == 422
        assert "peer_loopback" in local.text
