"""The pages of accounts in a box that runs without them: what can be prepared there, and what cannot be."""

import httpx

from dicomweb_box.accounts import tokens, users
from dicomweb_box.box import Box
from tests.web.pages import Page, assert_well_made
from tests.web.test_studies_page import keep

PROGRAM = {"Accept": "application/json"}


async def test_accounts_are_prepared_before_they_are_asked_for(box: Box, client: httpx.AsyncClient) -> None:
    empty = await client.get("/users")
    made = await client.post("/users", json={"name": "alice", "role": "administrator"}, headers=PROGRAM)

    assert "without <code>--no-auth</code>" in empty.text
    assert made.status_code == 201
    assert [one.name for one in await users.every(box)] == ["alice"]


async def test_a_token_made_without_accounts_belongs_to_nobody(box: Box, client: httpx.AsyncClient) -> None:
    made = await client.post("/tokens", json={"name": "script", "rights": ["see"]}, headers=PROGRAM)
    page = await client.get("/tokens")

    assert made.status_code == 201
    assert [one.owner for one in await tokens.every(box)] == [None]
    assert_well_made(Page(page.text))


async def test_a_link_made_without_accounts_leads_to_what_it_shares(
    box: Box, client: httpx.AsyncClient
) -> None:
    study = await keep(box)
    made = await client.post("/shares", json={"study": study}, headers=PROGRAM)

    opened = await client.post(httpx.URL(made.json()["address"]).path)

    assert opened.headers["location"] == f"/studies/{study}"


async def test_nobody_has_a_profile_there(client: httpx.AsyncClient) -> None:
    page = await client.get("/profile")

    assert page.status_code == 404
    assert "Only who has an account has a profile." in page.text
    assert "/profile" not in Page((await client.get("/studies")).text).addresses()
