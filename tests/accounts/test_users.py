"""Accounts as administrators make, change and disable them."""

import re

import pytest

from dicomweb_box.accounts import users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from tests.accounts.people import GOOD, PROGRAM, basic, key_of, person, stranger
from tests.web.pages import Page, assert_well_made


async def test_an_account_is_made_with_a_password_that_is_shown_once(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")

    made = await alice.post("/users", data={"name": "Bob", "role": "viewer", "full_name": "Bob Reader"})
    key = await key_of(guarded, "bob")
    again = await alice.get(f"/users/{key}")

    assert made.status_code == 201
    password = re.search(r'id="secret">([^<]+)<', made.text)
    assert password is not None
    assert password[1] not in again.text
    assert "no-store" in made.headers["cache-control"]
    bob = stranger(guarded)
    assert (await bob.post("/login", data={"name": "bob", "password": password[1]})).status_code == 303
    assert (await bob.get("/studies")).headers["location"] == "/profile"


async def test_a_program_administers_by_the_same_addresses(guarded: Box) -> None:
    await person(guarded, "alice", "administrator")
    program, headers = stranger(guarded), basic("alice", GOOD)

    made = await program.post(
        "/users", json={"name": "bob", "role": "viewer", "labels": ["trial"]}, headers=headers
    )
    key = made.json()["id"]
    changed = await program.post(f"/users/{key}", json={"role": "operator", "part": "whole"}, headers=headers)
    named = await program.get(f"/users/{key}.json", headers=headers)

    assert (made.status_code, made.json()["scope"]) == (201, {"labels": ["trial"]})
    assert "password" in made.json()
    assert (changed.json()["role"], changed.json()["scope"]) == ("operator", {})
    assert "password" not in named.json()
    assert [one["name"] for one in (await program.get("/users.json", headers=headers)).json()] == [
        "alice",
        "bob",
    ]


async def test_what_is_not_posted_of_an_account_stays(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")
    await users.add(guarded, "bob", role="viewer", scope={"labels": ["trial"]}, actor=SYSTEM)
    key = await key_of(guarded, "bob")

    await alice.post(f"/users/{key}", json={"full_name": "Bob"}, headers=PROGRAM)

    bob = await users.account(guarded, "bob")
    assert (bob.role, bob.scope, bob.full_name) == ("viewer", {"labels": ["trial"]}, "Bob")


async def test_a_part_of_nothing_is_not_taken_for_the_whole(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")
    await users.add(guarded, "bob", role="viewer", scope={"labels": ["trial"]}, actor=SYSTEM)
    key = await key_of(guarded, "bob")

    answer = await alice.post(f"/users/{key}", data={"role": "viewer", "part": "some", "labels": "\n"})

    assert answer.status_code == 422
    assert "Name the labels, sources or studies" in answer.text
    assert (await users.account(guarded, "bob")).scope == {"labels": ["trial"]}


@pytest.mark.parametrize("wrong", [{"name": "a:b"}, {"name": ""}, {"name": "alice"}, {"role": "king"}])
async def test_an_account_that_cannot_be_comes_back_as_its_form(guarded: Box, wrong: dict[str, str]) -> None:
    alice = await person(guarded, "alice", "administrator")
    fields = {"name": "bob", "role": "viewer", "full_name": "Bob & Co"} | wrong

    form = await alice.post("/users", data=fields)
    program = await alice.post("/users", json=fields, headers=PROGRAM)

    assert form.status_code == 422
    assert 'value="Bob &amp; Co"' in form.text
    assert 'role="alert"' in form.text
    assert program.status_code in (400, 409)


async def test_a_disabled_account_is_out_at_once_and_may_come_back(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")
    bob = await person(guarded, "bob", "viewer")
    key = await key_of(guarded, "bob")
    assert (await bob.get("/studies")).status_code == 200

    await alice.post(f"/users/{key}/enabled", data={"enabled": "false"})
    out = await bob.get("/studies")
    await alice.post(f"/users/{key}/enabled", data={"enabled": "true"})
    again = await stranger(guarded).post("/login", data={"name": "bob", "password": GOOD})

    assert out.headers["location"].startswith("/login")
    assert again.headers["location"] == "/studies"


async def test_a_reset_password_ends_log_ins_and_has_to_be_changed(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")
    bob = await person(guarded, "bob", "viewer")
    key = await key_of(guarded, "bob")

    answer = await alice.post(f"/users/{key}/password", headers=PROGRAM)

    assert (await bob.get("/studies")).headers["location"].startswith("/login")
    assert (await stranger(guarded).post("/login", data={"name": "bob", "password": GOOD})).status_code == 401
    fresh = stranger(guarded)
    await fresh.post("/login", data={"name": "bob", "password": answer.json()["password"]})
    assert (await fresh.get("/studies")).headers["location"] == "/profile"


async def test_log_ins_are_listed_and_ended_but_for_ones_own(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")
    bob = await person(guarded, "bob", "viewer")
    key, own = await key_of(guarded, "bob"), await key_of(guarded, "alice")
    listed = await alice.get(f"/users/{key}.json", headers=PROGRAM)

    await alice.post(f"/users/{key}/sessions/end")
    await alice.post(f"/users/{own}/sessions/end")

    assert len(listed.json()["sessions"]) == 1
    assert (await bob.get("/studies")).status_code == 303
    assert (await alice.get("/studies")).status_code == 200


async def test_a_lost_second_factor_is_taken_off(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")
    bob = await person(guarded, "bob", "viewer")
    key = await key_of(guarded, "bob")
    sealed = "update account set second_factor = 'sealed' where id = :id"
    await guarded.database.write(lambda w: w.execute(sealed, {"id": key}))
    offered = "Take the second factor away" in (await alice.get(f"/users/{key}")).text

    await alice.post(f"/users/{key}/second-factor/reset")

    assert offered
    assert not (await users.account(guarded, "bob")).second_factor
    assert (await bob.get("/studies")).status_code == 303
    assert "Take the second factor away" not in (await alice.get(f"/users/{key}")).text


async def test_the_last_administrator_stays(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")
    own = await key_of(guarded, "alice")

    for address, fields in (
        (f"/users/{own}", {"role": "viewer"}),
        (f"/users/{own}", {"part": "some", "labels": "trial"}),
        (f"/users/{own}/enabled", {"enabled": "false"}),
        ("/roles/administrator", {"rights": "see"}),
    ):
        answer = await alice.post(address, json=fields, headers=PROGRAM)
        assert (answer.status_code, answer.json()) == (
            409,
            {"error": "Somebody must stay who may administer the box."},
        )
    assert (await alice.get("/users")).status_code == 200


async def test_nobody_but_administrators_sees_accounts(guarded: Box) -> None:
    await users.add(guarded, "alice", role="administrator", password=GOOD, actor=SYSTEM)
    bob = await person(guarded, "bob", "operator")
    key = await key_of(guarded, "alice")

    for address in ("/users", "/users.json", "/users/new", f"/users/{key}", "/roles", "/roles/viewer"):
        assert (await bob.get(address)).status_code == 403
    assert (await bob.post(f"/users/{key}/password", headers=PROGRAM)).status_code == 403
    assert (
        await bob.post("/users", json={"name": "x", "role": "viewer"}, headers=PROGRAM)
    ).status_code == 403


async def test_an_administrator_of_a_part_gives_no_more_than_that_part(guarded: Box) -> None:
    await person(guarded, "alice", "administrator")
    part = {"scope": {"labels": ["trial", "pilot"]}}
    carol = await person(guarded, "carol", "administrator", **part)
    await users.add(guarded, "bob", role="viewer", actor=SYSTEM)
    bob, own = await key_of(guarded, "bob"), await key_of(guarded, "carol")

    async def refused(address: str, fields: dict[str, object]) -> bool:
        return (await carol.post(address, json=fields, headers=PROGRAM)).status_code == 403

    assert await refused("/users", {"name": "dan", "role": "viewer"})
    assert await refused("/users", {"name": "dan", "role": "viewer", "labels": ["other"]})
    assert await refused(f"/users/{own}", {"part": "whole"})
    assert await refused(f"/users/{bob}", {"role": "operator"})
    assert await refused(f"/users/{bob}/password", {})
    assert await refused(f"/users/{bob}", {"part": "some", "labels": "trial"})
    assert await refused(f"/users/{bob}", {"full_name": "Somebody Else"})
    assert await refused(f"/users/{bob}/enabled", {"enabled": "false"})
    assert await refused(f"/users/{bob}/sessions/end", {})
    assert await refused("/roles", {"name": "mine", "rights": ["see"]})
    assert await refused("/roles/viewer", {"rights": ["see", "delete"]})
    made = await carol.post(
        "/users", json={"name": "dan", "role": "viewer", "labels": ["trial"]}, headers=PROGRAM
    )
    assert made.status_code == 201
    assert (await users.account(guarded, "bob")).role == "viewer"


async def test_the_right_to_the_vault_is_given_by_who_has_it(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")

    refused = await alice.post("/roles", json={"name": "keeper", "rights": ["see", "vault"]}, headers=PROGRAM)
    form = await alice.get("/roles/new")

    assert (refused.status_code, refused.json()) == (
        403,
        {"error": "Only who has the right “vault” may give it."},
    )
    assert 'value="vault"' not in form.text
    assert 'value="peers"' in form.text


async def test_each_page_of_accounts_is_well_made(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")
    await users.add(guarded, "bob", role="viewer", scope={"labels": ["trial"]}, actor=SYSTEM)
    bob, own = await key_of(guarded, "bob"), await key_of(guarded, "alice")

    for address in (
        "/users", "/users/new", f"/users/{bob}", f"/users/{own}", "/roles", "/roles/new", "/roles/viewer",
        "/roles/viewer/delete", "/tokens", "/tokens/new", "/profile",
    ):  # fmt: skip
        answer = await alice.get(address)
        assert answer.status_code == 200, address
        assert_well_made(Page(answer.text))
    assert_well_made(Page((await alice.post("/users", data={"name": "eve", "role": "viewer"})).text))
