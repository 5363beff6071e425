"""Tokens as people make and revoke them."""

import re
from datetime import datetime, timedelta

import httpx

from dicomweb_box.accounts import tokens
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from tests.accounts.people import PROGRAM, person, stranger
from tests.web.pages import Page, assert_well_made


def bearer(secret: str) -> dict[str, str]:
    return PROGRAM | {"Authorization": f"Bearer {secret}"}


async def made_by(client: httpx.AsyncClient, **fields: object) -> httpx.Response:
    given = {"name": "notebook", "rights": ["see"]} | fields
    return await client.post("/tokens", json=given, headers=PROGRAM)


async def test_a_token_is_shown_once_with_examples_and_works(guarded: Box) -> None:
    bob = await person(guarded, "bob", "viewer")

    told = await bob.post("/tokens", data={"name": "notebook", "rights": ["see", "identities"]})
    listed = await bob.get("/tokens")

    found = re.search(r'id="secret">(dwb_[^<]+)<', told.text)
    assert found is not None
    assert told.status_code == 201
    assert_well_made(Page(told.text))
    assert f'curl -H "Authorization: Bearer {found[1]}"' in told.text
    assert found[1] not in listed.text
    assert "notebook" in listed.text
    assert (await stranger(guarded).get("/dicom-web/studies", headers=bearer(found[1]))).status_code == 200


async def test_it_ends_after_ninety_days_where_nothing_else_is_said(guarded: Box) -> None:
    bob = await person(guarded, "bob", "viewer")

    usual, short = (await made_by(bob)).json(), (await made_by(bob, expires="12h")).json()

    def life(token: dict[str, str]) -> timedelta:
        return datetime.fromisoformat(token["ends_at"]) - datetime.fromisoformat(token["made_at"])

    assert (life(usual), life(short)) == (timedelta(days=90), timedelta(hours=12))
    assert (await made_by(bob, expires="never")).status_code == 400


async def test_nobody_makes_a_token_of_more_than_their_own(guarded: Box) -> None:
    bob = await person(guarded, "bob", "viewer", scope={"labels": ["trial"]})

    more = await made_by(bob, rights=["see", "delete"])
    whole = await made_by(bob, part="whole")
    other = await made_by(bob, labels=["other"])
    within = await made_by(bob, labels=["Trial"])

    assert more.json() == {"error": "Only who has the right “delete” may give it."}
    assert [answer.status_code for answer in (more, whole, other, within)] == [403, 403, 403, 201]
    assert (await bob.post("/tokens", data={"name": "x", "rights": "delete"})).status_code == 422


async def test_a_revoked_token_is_refused_at_once(guarded: Box) -> None:
    bob = await person(guarded, "bob", "viewer")
    token, program = (await made_by(bob)).json(), stranger(guarded)
    assert (await program.get("/studies.json", headers=bearer(token["secret"]))).status_code == 200

    asked = await bob.get(f"/tokens/{token['id']}/revoke")
    await bob.post(f"/tokens/{token['id']}/revoke")

    assert_well_made(Page(asked.text))
    assert (await program.get("/studies.json", headers=bearer(token["secret"]))).status_code == 401


async def test_each_sees_their_own_and_administrators_all(guarded: Box) -> None:
    alice, bob = await person(guarded, "alice", "administrator"), await person(guarded, "bob", "viewer")
    key, _ = await tokens.create(guarded, "of the box", rights=["see"], actor=SYSTEM, expires=None)
    own = (await made_by(bob)).json()["id"]
    hers = (await made_by(alice, name="hers")).json()["id"]

    async def names(client: httpx.AsyncClient) -> set[str]:
        return {one["name"] for one in (await client.get("/tokens.json", headers=PROGRAM)).json()}

    assert await names(bob) == {"notebook"}
    assert await names(alice) == {"notebook", "of the box", "hers"}
    for foreign in (key, hers):
        assert (await bob.post(f"/tokens/{foreign}/revoke", headers=PROGRAM)).status_code == 404
        assert (await bob.get(f"/tokens/{foreign}/revoke")).status_code == 404
    assert (await alice.delete(f"/tokens/{own}", headers=PROGRAM)).status_code == 200
    assert "of everybody" in (await alice.get("/tokens")).text


async def test_a_token_makes_and_revokes_no_others(guarded: Box) -> None:
    bob = await person(guarded, "bob", "viewer")
    token, program = (await made_by(bob)).json(), stranger(guarded)
    _, loose = await tokens.create(guarded, "of the box", rights=["see"], actor=SYSTEM, expires=None)

    for secret in (token["secret"], loose):
        answer = await program.post(
            "/tokens", json={"name": "another", "rights": ["see"]}, headers=bearer(secret)
        )
        assert answer.status_code == 403
        gone = await program.post(f"/tokens/{token['id']}/revoke", headers=bearer(secret))
        assert gone.status_code == 403


async def test_who_sees_a_part_makes_tokens_for_that_part_without_naming_it(guarded: Box) -> None:
    bob = await person(guarded, "bob", "viewer", scope={"labels": ["trial"]})

    form = await bob.get("/tokens/new")
    made = await made_by(bob)

    assert_well_made(Page(form.text))
    assert ">trial</textarea>" in form.text
    assert (made.status_code, made.json()["scope"]) == (201, {"labels": ["trial"]})
