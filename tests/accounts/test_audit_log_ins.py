"""Is it recorded who came in, who was refused, and from where?"""

import base64

import httpx

from dicomweb_box.accounts import audit_reads, users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box

GOOD = "correct horse battery"


async def told(box: Box) -> list[tuple[str, str, str, str, str]]:
    await audit_reads.reads(box).write(all_of_it=True)
    rows = await box.database.fetch_all(
        "select actor, kind, address, action, outcome from audit"
        " where action in ('log in', 'log out', 'end session') order by id"
    )
    return [tuple(row) for row in rows]  # type: ignore[misc]


async def test_log_ins_and_log_outs_are_recorded(guarded: Box, client: httpx.AsyncClient) -> None:
    await users.add(guarded, "Vera", role="viewer", password=GOOD, must_change=False, actor=SYSTEM)
    await client.post("/login", data={"name": "vera", "password": "wrong"})
    await client.post("/login", data={"name": "vera", "password": GOOD})
    await client.post("/logout")

    assert await told(guarded) == [
        ("Vera", "user", "127.0.0.1", "log in", "refused"),
        ("Vera", "user", "127.0.0.1", "log in", "success"),
        ("Vera", "user", "127.0.0.1", "log out", "success"),
    ]


async def test_what_was_typed_as_a_name_is_kept_only_if_it_is_one(
    guarded: Box, client: httpx.AsyncClient
) -> None:
    await client.post("/login", data={"name": "my secret password", "password": ""})

    assert await told(guarded) == [("", "anonymous", "127.0.0.1", "log in", "refused")]


async def test_a_program_that_proves_itself_again_and_again_comes_in_once(
    guarded: Box, client: httpx.AsyncClient
) -> None:
    await users.add(guarded, "vera", role="viewer", password=GOOD, must_change=False, actor=SYSTEM)
    proof = {"Authorization": "Basic " + base64.b64encode(f"vera:{GOOD}".encode()).decode()}
    for _ in range(3):
        await client.get("/dicom-web/studies", headers=proof)

    assert await told(guarded) == [("vera", "user", "127.0.0.1", "log in", "success")]


async def test_wrong_tokens_and_too_many_tries_are_noted(guarded: Box, client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await client.get("/dicom-web/studies", headers={"Authorization": "Bearer dwb_wrong"})
    assert await told(guarded) == [("", "anonymous", "127.0.0.1", "log in", "refused")]

    for _ in range(8):
        answer = await client.post("/login", data={"name": "vera", "password": "wrong"})
    assert answer.status_code == 429
    assert len(await told(guarded)) == 1 + 6 + 1
