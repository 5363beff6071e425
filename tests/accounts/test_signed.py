"""Signed addresses: what they open, and for how long."""

import logging
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest

from dicomweb_box.accounts import signed
from dicomweb_box.box import Box
from tests.accounts.people import GOOD, PROGRAM, basic, key_of, person, stranger
from tests.conftest import MakeBox
from tests.web.test_studies_page import keep

ANY = {"Accept": "*/*"}


async def sign(client: httpx.AsyncClient, path: str, **more: object) -> str:
    """The signed address, without its server."""
    answer = await client.post("/signed", json={"path": path} | more, headers=PROGRAM)
    assert answer.status_code == 200, answer.text
    return answer.json()["url"].removeprefix("http://localhost")


async def status(box: Box, address: str, method: str = "GET") -> int:
    return (await stranger(box).request(method, address, headers=ANY)).status_code


async def test_it_opens_one_address_without_any_header(guarded: Box) -> None:
    study = await keep(guarded)
    vera = await person(guarded, "vera", "viewer")

    plain = await sign(vera, f"/dicom-web/studies/{study}/metadata")
    search = await sign(vera, f"/dicom-web/studies?StudyInstanceUID={study}&limit=1")

    assert await status(guarded, plain) == 200
    assert await status(guarded, plain, "HEAD") == 200
    found = await stranger(guarded).get(search, headers={"Accept": "application/dicom+json"})
    assert [one["0020000D"]["Value"][0] for one in found.json()] == [study]


async def test_nothing_of_it_can_be_changed(guarded: Box) -> None:
    study, other = await keep(guarded), await keep(guarded)
    vera = await person(guarded, "vera", "viewer")
    address = await sign(vera, f"/dicom-web/studies?StudyInstanceUID={study}")
    later = str(int(address.partition("expires=")[2].partition("&")[0]) + 1)
    expires = address.partition("expires=")[2].partition("&")[0]

    for changed in (
        address.replace(study, other),
        address.replace("/studies", "/series"),
        address.replace(expires, later),
        address.replace("StudyInstanceUID", "limit=1&StudyInstanceUID"),
        address + "&limit=1",
        address[:-1],
        address.replace("signature=s", "signature=a"),
        address.replace(f"expires={expires}&", ""),
        address.partition("signature=")[0] + "signature=x.%C3%A9",
    ):
        assert await status(guarded, changed) == 401, changed
    assert await status(guarded, address.replace("/studies?", "/studies?"), "POST") == 401
    assert await status(guarded, address) == 200


async def test_it_ends(guarded: Box) -> None:
    vera = await person(guarded, "vera", "viewer")
    for seconds in (0, 3601, "soon", -1):
        answer = await vera.post(
            "/signed", json={"path": "/dicom-web/studies", "seconds": seconds}, headers=PROGRAM
        )
        assert answer.status_code == 400
    address = await sign(vera, "/dicom-web/studies", seconds=1)
    found = signed.taken_apart(*urlsplit(address)[2:4])
    assert found is not None
    assert int(found.expires) - guarded.clock().timestamp() <= 1
    old = await sign_as_of(guarded, vera, timedelta(minutes=-10))
    assert await status(guarded, old) == 401


async def sign_as_of(box: Box, client: httpx.AsyncClient, shift: timedelta) -> str:
    """An address as it was signed so long ago, for five minutes."""
    clock = box.clock
    object.__setattr__(box, "clock", lambda: clock() + shift)
    try:
        return await sign(client, "/dicom-web/studies")
    finally:
        object.__setattr__(box, "clock", clock)


async def test_it_dies_with_what_had_it_signed(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")
    vera, bob = await person(guarded, "vera", "viewer"), await person(guarded, "bob", "viewer")
    token = (await bob.post("/tokens", json={"name": "x", "rights": ["see"]}, headers=PROGRAM)).json()
    bearer = {"Authorization": f"Bearer {token['secret']}"}
    program = stranger(guarded)
    by_token = (
        await program.post("/signed", json={"path": "/dicom-web/studies"}, headers=PROGRAM | bearer)
    ).json()["url"]
    by_password = (
        await program.post("/signed", json={"path": "/dicom-web/studies"}, headers=basic("bob", GOOD))
    ).json()["url"]
    by_session = await sign(vera, "/dicom-web/studies")
    for address in (by_token, by_password, by_session):
        assert await status(guarded, address) == 200

    await bob.post(f"/tokens/{token['id']}/revoke")
    await vera.post("/logout")

    assert [await status(guarded, one) for one in (by_token, by_password, by_session)] == [401, 200, 401]
    await alice.post(f"/users/{await key_of(guarded, 'bob')}/enabled", json={"enabled": False})
    assert await status(guarded, by_password) == 401


async def test_it_gives_no_more_than_its_owner_may(guarded: Box) -> None:
    study = await keep(guarded)
    rita = await person(guarded, "rita", "researcher")

    address = await sign(rita, f"/dicom-web/studies/{study}/metadata")

    assert await status(guarded, address) == 403


@pytest.mark.parametrize(
    "path",
    ["", "/studies", "/users", "//dicom-web/studies", "/dicom-web", "/wadox", "/dicom-web/a b",
     "/dicom-web/é", "/dicom-web/studies#x", "/dicom-web/studies?expires=1&signature=a.b",
     "/dicom-web/" + "x" * 5000],
)  # fmt: skip
async def test_only_addresses_of_the_services_are_signed(guarded: Box, path: str) -> None:
    vera = await person(guarded, "vera", "viewer")

    assert (await vera.post("/signed", json={"path": path}, headers=PROGRAM)).status_code == 400


async def test_pages_take_no_signature(guarded: Box) -> None:
    vera = await person(guarded, "vera", "viewer")
    address = await sign(vera, "/dicom-web/studies")

    assert await status(guarded, "/studies?" + address.partition("?")[2]) == 401


async def test_an_unguarded_box_answers_the_same_way(make_box: MakeBox) -> None:
    async with make_box() as box:
        study = await keep(box)
        answer = await stranger(box).post(
            "/signed", json={"path": f"/dicom-web/studies?StudyInstanceUID={study}"}, headers=PROGRAM
        )
        address = answer.json()["url"].removeprefix("http://localhost")

        assert await status(box, address) == 200
        assert await status(box, f"{address}&expires=1&signature=a.b") == 200


async def test_a_signature_is_in_no_log(guarded: Box, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    vera = await person(guarded, "vera", "viewer")
    address = await sign(vera, "/dicom-web/studies")
    secret = address.partition("signature=")[2]

    await status(guarded, address)
    await status(guarded, address + "x")

    ours = [one for one in caplog.records if not one.name.startswith(("httpx", "httpcore"))]
    assert secret not in repr([one.getMessage() for one in ours])
    noted = await guarded.database.fetch_all("select * from audit")
    assert secret not in repr([tuple(row) for row in noted])
