"""Who may ask what: every address of the table by everybody there can be, and nothing outside of the table.

The callers are in `callers`, what they ask about in `stored`.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copy

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box import setting_sources
from dicomweb_box.accounts.rights import EVERY_RIGHT, Right
from dicomweb_box.app import assemble
from dicomweb_box.asgi.auditing import Noted
from dicomweb_box.asgi.guard import Guard, each
from dicomweb_box.asgi.guard import guarded as put_guard
from dicomweb_box.asgi.rights_table import NEEDED
from dicomweb_box.box import Box, open_box
from tests.accounts import callers, rights_document
from tests.accounts.asking import Answer, ask
from tests.accounts.callers import Caller
from tests.accounts.stored import Object, Stored, fill, names_objects
from tests.databases import ScratchServer

OBJECTS = re.compile(
    r"GET (/wado|/dicom-web/.*(/(metadata|bulkdata|pixeldata|frames|rendered|thumbnail)\b.*|instances/\{\w+\}"
    r"|series/\{\w+\}|studies/\{\w+\}))$"
)
"""Addresses that give objects, or parts of them."""
PROGRAM = {"Accept": "*/*"}
BROWSER = {"Accept": "text/html,application/xhtml+xml"}
BODIES = {"POST /login": f"name=viewer+Roe&password={callers.PASSWORD.replace(' ', '+')}".encode()}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
WHOLE = re.compile(
    r"\w+ (/(rules|roles|peers|query|worklist|audit|status)\b.*|/metrics|/labels/\{label_id\}(/delete)?"
    r"|/dicom-web/proxy/.*)"
)
"""What concerns everybody, and is only for those who have the whole archive."""
KEPT = (
    "study",
    "instance",
    "change",
    "label",
    "rule",
    "account",
    "role",
    "token",
    "session",
    "peer",
    "scheduled_step",
)
SAMPLE = (
    "GET /healthz",
    "GET /login",
    "GET /profile",
    "GET /dicom-web/studies",
    "GET /dicom-web/studies/{study}",
    "GET /studies/{study_uid}",
    "GET /labels/apply",
    "GET /status",
    "POST /dicom-web/studies",
    "DELETE /dicom-web/studies/{study}/series/{series}",
)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A box with accounts, and everybody who may ask it."""

    box: Box
    app: Starlette
    stored: Stored
    let_in: list[Caller]
    refused: list[Caller]
    scoped: dict[str, Caller]

    async def ask(self, asked: str, caller: Caller, of: Object, accept: dict[str, str] = PROGRAM) -> Answer:
        """The answer to a method and path of the table."""
        method, path = asked.split(" ")
        headers = accept | (FORM if asked in BODIES else {}) | caller.headers
        address = self.stored.address(path, of)
        return await ask(self.app, method, address, headers, body=BODIES.get(asked, b""))

    async def state(self) -> list[object]:
        """What no refused request may move."""
        row = await self.box.database.fetch_one(
            ", ".join(
                ["select (select max(id) from change)", *(f"(select count(*) from {one})" for one in KEPT)]
            )
        )
        return list(row or ())


@asynccontextmanager
async def opened(data: Path, database_url: str) -> AsyncIterator[Matrix]:
    """A matrix over a fresh database."""
    # All of it comes from one address, and many a proof in it is wrong: as fast as this is asked, it would be
    # held up as guessing (tests/asgi/test_shares.py).
    flags = {"data": str(data), "database_url": database_url, "no_auth": False, "client_rate": 1_000_000}
    async with open_box(setting_sources.load(flags, {})) as box:
        app = assemble(box)
        whole = await callers.token(box, "whole")
        stored = await fill(box, app, callers.bearer(whole))
        scopes = {
            "by label": {"labels": ["trial"]},
            "by source": {"sources": ["north"]},
            "by study": {"studies": [stored.inside.study]},
            "by all of them": {"labels": ["Trial"], "sources": ["north"], "studies": [stored.inside.study]},
            "empty": {"studies": []},
        }
        scoped = await callers.scoped(box, scopes)
        all_of_it = Caller(name="scope whole", headers=callers.bearer(whole), rights=EVERY_RIGHT)
        yield Matrix(
            box=box,
            app=app,
            stored=stored,
            let_in=[*await callers.roles(box), *await callers.single_rights(box), all_of_it, *scoped],
            refused=await callers.refused(box),
            scoped={one.name: one for one in (all_of_it, *scoped)},
        )


@pytest.fixture(scope="module")
async def matrix(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    folder = tmp_path_factory.mktemp("matrix")
    copy(migrated_sqlite, folder / "index.db")
    async with opened(folder / "data", f"sqlite:///{folder / 'index.db'}") as made:
        yield made


@pytest.fixture(scope="module")
async def postgresql(
    scratch_server: ScratchServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Matrix]:
    name = scratch_server.create()
    async with opened(tmp_path_factory.mktemp("matrix"), scratch_server.url(name)) as made:
        yield made
    scratch_server.drop(name)


def asked_for(app: Starlette) -> Iterator[str]:
    """Method and path of every route that the application has."""
    for route, path in each(app.router.routes):
        for method in route.methods or ("GET",):
            if method != "HEAD":
                yield f"{method} {path}"


# What is in the table


async def test_every_route_has_a_line_in_the_table_and_every_line_a_route(matrix: Matrix) -> None:
    assert sorted(asked_for(matrix.app)) == sorted(NEEDED)


async def test_the_document_tells_what_the_roles_of_a_new_box_may(guarded: Box) -> None:
    rows = await guarded.database.fetch_all("select name, rights from role order by name")

    for row in rows:
        rights = ", ".join(f"`{right}`" for right in json.loads(row["rights"]))
        assert f"\n| `{row['name']}` | {rights} |\n" in rights_document.DOCUMENT.read_text()


async def test_every_route_stands_behind_the_guard(matrix: Matrix) -> None:
    for route, path in each(matrix.app.router.routes):
        assert isinstance(route.app, Noted), path
        assert isinstance(route.app.app, Guard), path


async def test_a_route_without_a_line_cannot_be_wired() -> None:
    async def new() -> Response:
        return Response()

    with pytest.raises(KeyError):
        put_guard([Route("/new", new)])


def test_nothing_that_changes_something_is_open_but_coming_in_and_leaving() -> None:
    changing = {asked for asked, needed in NEEDED.items() if needed is None and not asked.startswith("GET ")}

    assert changing == {
        "POST /login",
        "POST /login/code",
        "POST /logout",
        "POST /shared/{secret}",
        "OPTIONS /dicom-web/",
    }


def test_what_gives_objects_tells_who_patients_are() -> None:
    objects = [asked for asked in NEEDED if OBJECTS.match(asked)]

    assert len(objects) > 20
    for asked in objects:
        if not asked.endswith(("/series", "/instances", "/count")):
            assert {Right.SEE, Right.IDENTITIES} <= (NEEDED[asked] or set()), asked


def test_nothing_asks_for_a_right_without_that_to_see_but_what_is_not_in_the_archive() -> None:
    kept_apart = {Right.OPERATE, Right.ADMINISTER, Right.AUDIT, Right.PEERS, Right.VAULT}

    for asked, needed in NEEDED.items():
        if needed:
            assert Right.SEE in needed or needed <= kept_apart, asked


# Who may ask it


async def refuses(matrix: Matrix, asked: str) -> None:
    """Who may not ask is answered 401 or 403, and changes nothing."""
    before = await matrix.state()
    for caller in (*matrix.refused, *matrix.let_in):
        wanted = caller.expected(NEEDED[asked])
        if wanted is None:
            continue
        answer = await matrix.ask(asked, caller, matrix.stored.inside)
        # A wrong password often enough: who tries it again has to wait.
        assert answer.status in ((401, 429) if caller.wrong else (wanted,)), (caller.name, asked, answer)
        assert (answer.status == 401) == ("www-authenticate" in answer.headers)
        if caller.name in ("anonymous", "role viewer") and asked.startswith("GET "):
            head = await matrix.ask(asked.replace("GET ", "HEAD "), caller, matrix.stored.inside)
            assert head.status == wanted, (caller.name, asked, head)
    assert await matrix.state() == before


async def lets_through(matrix: Matrix, asked: str) -> None:
    """Who may ask gets an answer that is about the thing."""
    changes = not asked.startswith(("GET ", "OPTIONS "))
    # What is there stays there for the next caller.
    of = Object() if changes else matrix.stored.inside
    everybody = (*matrix.refused, *matrix.let_in)
    # Each password is 50 ms of work: some are enough.
    for caller in everybody[::6] if asked == "POST /login" else everybody:
        if caller.expected(NEEDED[asked]) is None and not (asked == "POST /logout" and caller.known):
            answer = await matrix.ask(asked, caller, of)
            if asked == "POST /login/code" and answer.status == 401:
                continue  # it asks for a proof of its own: that of the first factor
            if not (answer.status == 403 and WHOLE.fullmatch(asked) and caller in matrix.scoped.values()):
                assert answer.status not in (401, 403, 405), (caller.name, asked, answer)
            assert answer.status < 500, (caller.name, asked, answer)


@pytest.mark.parametrize("asked", NEEDED)
async def test_each_address_is_for_those_who_have_its_rights(matrix: Matrix, asked: str) -> None:
    await refuses(matrix, asked)
    await lets_through(matrix, asked)


@pytest.mark.parametrize("asked", SAMPLE)
async def test_postgresql_gives_the_same_answers(postgresql: Matrix, asked: str) -> None:
    await refuses(postgresql, asked)
    await lets_through(postgresql, asked)


@pytest.mark.parametrize("asked", NEEDED)
async def test_a_browser_of_nobody_is_led_to_the_form(matrix: Matrix, asked: str) -> None:
    if NEEDED[asked] is None:
        return
    path = asked.split(" ")[1]
    for caller in matrix.refused:
        if caller.wrong:
            continue
        answer = await matrix.ask(asked, caller, matrix.stored.inside, BROWSER)
        if path.startswith(("/dicom-web", "/wado")):
            assert answer.status == 401
        else:
            assert answer.status == 303
            assert answer.headers["location"].startswith("/login?next=")


@pytest.mark.parametrize("path", sorted({asked.split(" ")[1] for asked in NEEDED}))
async def test_a_method_that_an_address_does_not_take_is_refused(matrix: Matrix, path: str) -> None:
    # `/labels/apply` is also the address of a label: DELETE is taken there.
    filled = matrix.stored.address(path, matrix.stored.inside).partition("?")[0]
    taken = {asked.split(" ")[0] for asked in NEEDED if pattern(asked.split(" ")[1]).fullmatch(filled)}
    nobody = matrix.refused[0]
    assert nobody.name == "anonymous"
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"} - taken:
        for caller in (nobody, matrix.scoped["scope whole"]):
            answer = await matrix.ask(f"{method} {path}", caller, matrix.stored.inside)
            assert answer.status == 405, (method, caller.name, answer)


def pattern(path: str) -> re.Pattern[str]:
    """What a path of the table matches."""
    return re.compile(
        re.sub(r"\\{\w+(:path)?\\}", lambda found: ".*" if found[1] else "[^/]+", re.escape(path))
    )


# What part of the archive


@pytest.mark.parametrize("asked", [one for one in NEEDED if names_objects(one.split(" ")[1])])
async def test_what_is_outside_of_the_scope_is_not_there(matrix: Matrix, asked: str) -> None:
    outside, invented = matrix.stored.outside, Object()
    before = await matrix.state()
    for name, caller in matrix.scoped.items():
        if name == "scope whole":
            continue
        answer, none = await matrix.ask(asked, caller, outside), await matrix.ask(asked, caller, invented)
        assert answer.status == none.status, (name, asked, answer, none)
        assert plain(answer, outside) == plain(none, invented), (name, asked)
    assert await matrix.state() == before
    if asked.startswith("GET ") and "{sha256}" not in asked:  # nothing is held here
        seen = await matrix.ask(asked, matrix.scoped["scope whole"], outside)
        assert plain(seen, outside) != plain(none, invented), "who sees everything sees no more"


@pytest.mark.parametrize(
    "asked",
    [
        one
        for one in NEEDED
        if one.startswith("GET ") and names_objects(one.split(" ")[1]) and not WHOLE.fullmatch(one)
    ],
)
async def test_what_is_inside_of_the_scope_is_answered_as_to_who_sees_everything(
    matrix: Matrix, asked: str
) -> None:
    whole = await matrix.ask(asked, matrix.scoped["scope whole"], matrix.stored.inside)
    for name, caller in matrix.scoped.items():
        if name not in ("scope whole", "scope empty"):
            answer = await matrix.ask(asked, caller, matrix.stored.inside)
            assert answer.status == whole.status, (name, asked, answer)


def plain(answer: Answer, of: Object) -> bytes:
    """The body with an object's UIDs left out."""
    body = answer.body
    for uid in (of.instance, of.series, of.study):
        body = body.replace(uid.encode(), b"uid")
    return body
