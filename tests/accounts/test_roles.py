"""Roles as administrators make, change and delete them."""

import pytest

from dicomweb_box.accounts import users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from tests.accounts.people import PROGRAM, person


async def test_a_role_is_made_given_changed_and_holds_at_once(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")
    made = await alice.post("/roles", data={"name": "night  shift", "rights": ["see", "identities"]})
    bob = await person(guarded, "bob", "night shift")
    before = await bob.get("/upload")

    await alice.post("/roles/night shift", data={"rights": ["see", "identities", "store"]})

    assert made.status_code == 303
    assert before.status_code == 403
    assert (await bob.get("/upload")).status_code == 200
    shown = (await alice.get("/roles/night shift.json", headers=PROGRAM)).json()
    assert (shown["rights"], shown["accounts"]) == (["see", "identities", "store"], 1)


async def test_a_role_that_somebody_has_is_not_deleted(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")
    await alice.post("/roles", json={"name": "guest", "rights": ["see"]}, headers=PROGRAM)
    await users.add(guarded, "bob", role="guest", actor=SYSTEM)

    kept = await alice.post("/roles/guest/delete", headers=PROGRAM)
    await users.change(guarded, "bob", role="viewer", actor=SYSTEM)
    gone = await alice.delete("/roles/guest", headers=PROGRAM)

    assert kept.status_code == 409
    assert "1 account has this role" in kept.text
    assert gone.status_code == 200
    assert (await alice.get("/roles/guest")).status_code == 404


@pytest.mark.parametrize(
    ("name", "rights", "status"),
    [
        ("a/b", ["see"], 400),
        ("", ["see"], 400),
        ("new", ["see"], 400),
        ("good", [], 400),
        ("good", ["fly"], 400),
        ("viewer", ["see"], 409),
    ],
)
async def test_a_role_that_cannot_be_is_refused(
    guarded: Box, name: str, rights: list[str], status: int
) -> None:
    alice = await person(guarded, "alice", "administrator")

    program = await alice.post("/roles", json={"name": name, "rights": rights}, headers=PROGRAM)
    form = await alice.post("/roles", data={"name": name, "rights": rights})

    assert program.status_code == status
    assert form.status_code == 422
    assert 'role="alert"' in form.text


async def test_what_is_not_there_is_not_found(guarded: Box) -> None:
    alice = await person(guarded, "alice", "administrator")

    for method, address in (
        ("GET", "/roles/none"), ("POST", "/roles/none"), ("DELETE", "/roles/none"), ("GET", "/users/none"),
        ("POST", "/users/none/password"), ("POST", "/tokens/none/revoke"), ("GET", "/tokens/none/revoke"),
    ):  # fmt: skip
        assert (await alice.request(method, address, headers=PROGRAM)).status_code == 404, address
