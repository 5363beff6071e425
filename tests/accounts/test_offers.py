"""What pages offer: to each what they may do, and to nobody what would be refused."""

from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import orjson
import pytest
from starlette.routing import Match, Route

from dicomweb_box.accounts import shares, users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.granting import COMMAND_LINE
from dicomweb_box.accounts.rights import Right
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.asgi.guard import each
from dicomweb_box.asgi.rights_table import NEEDED
from dicomweb_box.box import Box
from dicomweb_box.dicomweb.routes import routes as dicomweb_routes
from dicomweb_box.web.routes import routes as web_routes
from tests.accounts.people import PROGRAM, person, stranger
from tests.builders import make_instance, new_uid, pieces

MOST_OF_A_KIND = 3
_NAMING = {"href": "GET", "src": "GET", "hx-get": "GET", "hx-post": "POST", "hx-delete": "DELETE"}
ROLES = ("viewer", "researcher", "operator", "administrator")


class Offers(HTMLParser):
    """Every address that a page offers, with its method."""

    def __init__(self, address: str, html: str) -> None:
        super().__init__()
        self.address = address
        self.found: list[tuple[str, str]] = []
        self._method = "GET"
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._method = given.get("method", "get").upper()
            self._add(self._method, given.get("action", ""))
        for name, method in _NAMING.items():
            if name in given:
                self._add(method, given[name])
        if "formaction" in given:
            self._add(given.get("formmethod", self._method).upper(), given["formaction"])

    def _add(self, method: str, address: str) -> None:
        parts = urlsplit(address)
        if not parts.netloc and parts.scheme in ("", "http"):
            self.found.append((method, urljoin(self.address, address).partition("#")[0]))


def asked(box: Box, method: str, address: str) -> str | None:
    """What the table of rights calls an address; None where there is none."""
    path = urlsplit(address).path
    for route, whole in all_routes(box):
        scope: dict[str, Any] = {"type": "http", "path": path, "method": method}
        if Route(whole, lambda: None, methods=route.methods).matches(scope)[0] == Match.FULL:
            return f"{method} {whole}"
    return None


def all_routes(box: Box) -> Iterator[tuple[Route, str]]:
    yield from each(dicomweb_routes(box), "/dicom-web")
    yield from each(web_routes())


async def populate(box: Box) -> str:
    """Something on every page: two studies, labelled, in dispute, held, corrected, rejected; one of them."""
    study, series, instance = new_uid(), new_uid(), new_uid()
    same = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    rejected = new_uid()
    for source, attributes in (
        ("test", {**same, "SOPInstanceUID": instance, "PatientID": "A"}),
        ("test", {**same, "PatientID": "B"}),
        ("other", {**same, "SOPInstanceUID": instance, "PatientID": "C"}),
        ("test", {"StudyInstanceUID": rejected}),
        ("test", {}),
    ):
        await store(box, await receive(box, pieces(make_instance(**attributes))), source=source, actor=SYSTEM)
    boss = await person(box, "boss", "administrator")
    rule = {"name": "All CT", "attribute": "Modality", "value": "CT", "label": "ct"}
    for address, fields in (
        ("/labels/apply", {"study": study, "add": "seen"}),
        ("/rules", rule),
        ("/upload", {"name": "A trial"}),
        ("/reject", {"study": rejected, "reason": "113001"}),
        (f"/studies/{study}/correct", {"PatientID": "D", "reason": "wrong"}),
        ("/roles", {"name": "guest", "rights": ["see"]}),
        ("/tokens", {"name": "notebook", "rights": ["see"]}),
        ("/shares", {"study": study}),
    ):
        answer = await boss.post(address, json=fields, headers=PROGRAM)
        assert answer.status_code in (200, 201), f"{address}: {answer.text}"
    return study


async def crawl(
    box: Box, client: httpx.AsyncClient, rights: frozenset[Right], *begin: str
) -> dict[str, list[str]]:
    """Addresses that pages offered and that are refused, or lead nowhere; by the page that did."""
    wrong: dict[str, list[str]] = {}
    waiting, kinds = dict.fromkeys(begin, ""), dict[str | None, int]()
    seen = set(begin)
    while waiting:
        address = next(iter(waiting))
        from_page = waiting.pop(address)
        kind = asked(box, "GET", address)
        kinds[kind] = kinds.get(kind, 0) + 1
        if kinds[kind] > MOST_OF_A_KIND:
            continue
        answer = await client.get(address, follow_redirects=True, headers={"Accept": "text/html, */*;q=0.1"})
        if answer.status_code >= 400:
            wrong.setdefault(from_page, []).append(f"{address}: {answer.status_code}")
            continue
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        for method, offer in Offers(address, answer.text).found:
            if method != "GET":
                form = asked(box, method, offer)
                if form is None or not (NEEDED[form] or frozenset()) <= rights:
                    wrong.setdefault(address, []).append(f"{method} {offer}")
            elif offer not in seen and not urlsplit(offer).path.startswith(("/static/", "/ohif")):
                seen.add(offer)
                waiting[offer] = address
    return wrong


async def rights_of(client: httpx.AsyncClient) -> frozenset[Right]:
    return frozenset(map(Right, (await client.get("/profile.json", headers=PROGRAM)).json()["rights"]))


@pytest.mark.parametrize("role", ROLES)
async def test_nothing_is_offered_that_would_be_refused(guarded: Box, role: str) -> None:
    study = await populate(guarded)
    client = await person(guarded, "somebody", role)
    rights = await rights_of(client)
    made = await client.post("/selections", json={"study": study}, headers=PROGRAM)

    wrong = await crawl(
        guarded,
        client,
        rights,
        "/studies",
        "/series",
        f"/selections/{made.json()['id']}",
        f"/studies/{study}",
    )

    assert wrong == {}, orjson.dumps(wrong, option=orjson.OPT_INDENT_2).decode()


async def test_whoever_has_a_link_is_offered_nothing_that_would_be_refused(guarded: Box) -> None:
    study = await populate(guarded)
    rights = frozenset({Right.SEE, Right.IDENTITIES})
    _, secret = await shares.make(
        guarded, "x", scope={"studies": [study]}, rights=rights, opens=f"/studies/{study}",
        expires=timedelta(days=1), account=None, actor=SYSTEM, giver=COMMAND_LINE,
    )  # fmt: skip
    client = stranger(guarded)
    await client.post(f"/shared/{secret}")

    assert await crawl(guarded, client, rights, f"/studies/{study}", "/studies") == {}


async def test_who_has_to_choose_a_password_is_offered_nothing_else(guarded: Box) -> None:
    password = await users.add(guarded, "vera", role="operator", actor=SYSTEM)
    vera = stranger(guarded)
    await vera.post("/login", data={"name": "vera", "password": password})

    page = await vera.get("/profile")
    links = {offer for method, offer in Offers("/profile", page.text).found if method == "GET"}

    assert {one for one in links if not one.startswith("/static/")} <= {
        "/profile",
        "/profile.json",
        "/studies",
    }


async def test_what_an_operator_may_do_is_offered(guarded: Box) -> None:
    study = await populate(guarded)
    olga = await person(guarded, "olga", "operator")

    offers, navigation = await paths(olga, f"/studies/{study}"), await paths(olga, "/studies")

    assert offers >= {"/labels/apply", "/reject", "/correct", "/shares/new", f"/studies/{study}/viewer"}
    assert navigation >= {
        "/upload",
        "/rules",
        "/held",
        "/corrections",
        "/rejected",
        "/status",
        "/shares",
        "/tokens",
    }
    assert "/users" not in navigation


async def test_what_tells_of_the_whole_archive_is_neither_told_nor_offered_to_who_sees_a_part(
    guarded: Box,
) -> None:
    await populate(guarded)
    part = await person(guarded, "paul", "operator", scope={"labels": ["trial"]})

    navigation = await paths(part, "/studies")

    assert navigation.isdisjoint({"/rules", "/status", "/audit"})
    assert "/held" in navigation
    for address in ("/status", "/status.json", "/metrics"):
        answer = await part.get(address)
        assert answer.status_code == 403
        assert "whole archive" in answer.text


async def paths(client: httpx.AsyncClient, address: str) -> set[str]:
    return {urlsplit(offer).path for _, offer in Offers(address, (await client.get(address)).text).found}
