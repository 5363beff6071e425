"""Who may come in, by which proof, and for how long."""

import base64

import httpx

from dicomweb_box.accounts import tokens, users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box

GOOD = "correct horse battery"
JSON = {"Accept": "application/dicom+json"}


async def logged_in(box: Box, client: httpx.AsyncClient, *, role: str = "viewer", name: str = "vera") -> None:
    await users.add(box, name, role=role, password=GOOD, must_change=False, actor=SYSTEM)
    answer = await client.post("/login", data={"name": name, "password": GOOD})
    assert answer.status_code == 303


def basic(name: str, password: str) -> dict[str, str]:
    return JSON | {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def test_nobody_is_led_to_the_form_and_from_there_to_where_they_wanted(
    guarded: Box, client: httpx.AsyncClient
) -> None:
    asked = await client.get("/studies?limit=5")
    form = await client.get(asked.headers["location"])
    await users.add(guarded, "vera", role="viewer", password=GOOD, must_change=False, actor=SYSTEM)
    come_in = await client.post("/login", data={"name": "Vera", "password": GOOD, "next": "/studies?limit=5"})

    assert asked.headers["location"] == "/login?next=%2Fstudies%3Flimit%3D5"
    assert 'value="/studies?limit=5"' in form.text
    assert come_in.headers["location"] == "/studies?limit=5"
    assert (await client.get("/studies?limit=5")).status_code == 200


async def test_nobody_is_led_to_another_site(guarded: Box, client: httpx.AsyncClient) -> None:
    await users.add(guarded, "vera", role="viewer", password=GOOD, must_change=False, actor=SYSTEM)

    for onward in ("//evil.example", "/\\evil.example", "https://evil.example", "/\n/evil.example", ""):
        answer = await client.post("/login", data={"name": "vera", "password": GOOD, "next": onward})
        assert answer.headers["location"] == "/studies"


async def test_programs_are_told_to_prove_who_they_are(client: httpx.AsyncClient) -> None:
    answer = await client.get("/dicom-web/studies", headers=JSON)

    assert (answer.status_code, answer.json()) == (401, {"error": "Log in first."})
    assert answer.headers["www-authenticate"].startswith("Basic")


async def test_a_viewer_whose_log_in_has_ended_is_told_without_a_window_of_the_browser(
    client: httpx.AsyncClient,
) -> None:
    for mode, challenge in (("cors", "Bearer"), ("no-cors", "Bearer"), ("navigate", "Basic")):
        answer = await client.get("/dicom-web/studies", headers=JSON | {"Sec-Fetch-Mode": mode})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith(challenge)


async def test_over_https_a_cookie_that_another_host_can_set_is_no_log_in(
    guarded: Box, client: httpx.AsyncClient
) -> None:
    await logged_in(guarded, client)
    secret = client.cookies["dicomweb_box"]
    secure = httpx.AsyncClient(
        transport=client._transport, base_url="https://localhost", headers={"Accept": "text/html"}
    )

    plain = await secure.get("/studies", headers={"Cookie": f"dicomweb_box={secret}"})
    prefixed = await secure.get("/studies", headers={"Cookie": f"__Host-dicomweb_box={secret}"})

    assert (plain.status_code, prefixed.status_code) == (303, 200)


async def test_the_first_password_is_good_for_choosing_another_alone(
    guarded: Box, client: httpx.AsyncClient
) -> None:
    printed = await users.first_administrator(guarded)
    assert printed is not None
    await client.post("/login", data={"name": "admin", "password": printed})

    assert (await client.get("/studies")).headers["location"] == "/profile"
    refused = await client.get("/dicom-web/studies", headers=basic("admin", printed))
    chosen = await client.post("/profile/password", data={"password": printed, "new": GOOD, "again": GOOD})

    assert refused.status_code == 401
    assert chosen.status_code == 303
    assert (await client.get("/studies")).status_code == 200
    assert await users.first_administrator(guarded) is None


async def test_a_password_is_printed_anew_until_somebody_has_used_one(guarded: Box) -> None:
    first, second = await users.first_administrator(guarded), await users.first_administrator(guarded)

    assert first is not None
    assert second is not None
    assert first != second


async def test_logging_out_ends_it_for_the_server_too(guarded: Box, client: httpx.AsyncClient) -> None:
    await logged_in(guarded, client)
    cookie = client.cookies["dicomweb_box"]

    await client.post("/logout")

    client.cookies.set("dicomweb_box", cookie)
    assert (await client.get("/studies")).status_code == 303


async def test_what_is_not_used_for_long_ends(guarded: Box, client: httpx.AsyncClient) -> None:
    await logged_in(guarded, client)
    await guarded.database.write(
        lambda w: w.execute("update session set seen_at = '2026-01-01T00:00:00+00:00'")
    )
    client_of_another_process = httpx.AsyncClient(
        transport=client._transport, base_url="http://localhost", cookies=client.cookies
    )

    answer = await client_of_another_process.get("/studies", headers={"Accept": "text/html"})

    assert answer.status_code == 303


async def test_basic_and_bearer_are_taken_on_every_path(guarded: Box, client: httpx.AsyncClient) -> None:
    await users.add(guarded, "vera", role="viewer", password=GOOD, must_change=False, actor=SYSTEM)
    _, secret = await tokens.create(guarded, "notebook", rights=["read"], actor=SYSTEM, expires=None)

    for headers in (basic("vera", GOOD), JSON | {"Authorization": f"Bearer {secret}"}, basic("x", secret)):
        assert (await client.get("/dicom-web/studies", headers=headers)).json() == []
        assert (await client.get("/studies.json", headers=headers)).status_code == 200


async def test_what_is_revoked_disabled_or_wrong_is_refused_at_once(
    guarded: Box, client: httpx.AsyncClient
) -> None:
    await users.add(guarded, "boss", role="administrator", password=GOOD, must_change=False, actor=SYSTEM)
    await users.add(guarded, "vera", role="viewer", password=GOOD, must_change=False, actor=SYSTEM)
    key, secret = await tokens.create(guarded, "notebook", rights=["read"], actor=SYSTEM, expires=None)
    bearer = JSON | {"Authorization": f"Bearer {secret}"}
    for headers in (basic("vera", GOOD), bearer):
        assert (await client.get("/dicom-web/studies", headers=headers)).status_code == 200

    await tokens.revoke(guarded, key, actor=SYSTEM)
    await users.set_disabled(guarded, "vera", disabled=True, actor=SYSTEM)

    for headers in (basic("vera", GOOD), bearer, basic("boss", "wrong"), {"Authorization": "Negotiate x"}):
        assert (await client.get("/dicom-web/studies", headers=headers)).status_code == 401


async def test_a_right_that_is_missing_is_named(guarded: Box, client: httpx.AsyncClient) -> None:
    await logged_in(guarded, client)

    answer = await client.get("/labels/apply?study=1.2", headers={"Accept": "application/json"})

    assert answer.status_code == 403
    assert answer.json() == {"error": "This needs the right “label”."}
    assert "/labels/apply" not in (await client.get("/studies")).text
