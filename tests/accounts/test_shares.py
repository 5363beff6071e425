"""Share links: what whoever has one sees, and when it ends."""

import logging
from datetime import timedelta

import httpx
import pytest

from dicomweb_box.accounts import users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from tests.accounts.people import PROGRAM, key_of, person, stranger
from tests.builders import new_uid
from tests.web.pages import Page, assert_well_made
from tests.web.test_studies_page import keep

OPEN = "let me in 1"


async def shared(client: httpx.AsyncClient, **fields: object) -> str:
    """The path of a new link."""
    answer = await client.post("/shares", json=fields, headers=PROGRAM)
    assert answer.status_code == 201, answer.text
    return httpx.URL(answer.json()["address"]).path


async def opened(box: Box, path: str, **fields: str) -> httpx.AsyncClient:
    """A stranger's browser in which the link was opened."""
    made = stranger(box)
    answer = await made.post(path, data=fields)
    assert answer.status_code == 303, answer.text
    return made


async def status(client: httpx.AsyncClient, address: str) -> int:
    return (await client.get(address, headers={"Accept": "text/html, */*;q=0.1"})).status_code


async def test_a_link_shows_one_study_and_nothing_else(guarded: Box) -> None:
    study, other = await keep(guarded), await keep(guarded)
    olga = await person(guarded, "olga", "operator")
    path = await shared(olga, study=study)

    asked = await stranger(guarded).get(path)
    guest = await opened(guarded, path)

    assert asked.status_code == 200
    assert_well_made(Page(asked.text))
    assert study not in asked.text
    assert await status(guest, f"/studies/{study}") == 200
    assert await status(guest, f"/dicom-web/studies/{study}/metadata") == 200
    assert await status(guest, f"/studies/{other}") == 404
    assert await status(guest, f"/dicom-web/studies/{other}/metadata") == 404
    found = await guest.get("/dicom-web/studies", headers={"Accept": "application/dicom+json"})
    assert [one["0020000D"]["Value"][0] for one in found.json()] == [study]


async def test_a_link_may_look_and_no_more(guarded: Box) -> None:
    study = await keep(guarded)
    olga = await person(guarded, "olga", "operator")
    guest = await opened(guarded, await shared(olga, study=study))
    taker = await opened(guarded, await shared(olga, study=study, export=True))

    page = await guest.get(f"/studies/{study}")
    for address in ("/upload", "/shares", "/tokens", "/users", f"/reject?study={study}", "/status"):
        assert await status(guest, address) == 403, address
    assert (await guest.post("/labels/apply", data={"study": study, "add": "x"})).status_code == 403
    assert await status(guest, f"/download?study={study}") == 403
    assert await status(taker, f"/download?study={study}") == 200
    archive = f"/dicom-web/studies/{study}?accept=application/zip%3Btransfer-syntax%3D*"
    assert [await status(one, archive) for one in (guest, taker)] == [403, 200]
    assert "Shared with you" in page.text
    assert "/shares/new" not in page.text


async def test_a_link_to_a_series_hides_the_others_of_its_study(guarded: Box) -> None:
    series, other = new_uid(), new_uid()
    study = await keep(guarded, series=series)
    await keep(guarded, study=study, series=other)
    olga = await person(guarded, "olga", "operator")

    guest = await opened(guarded, await shared(olga, series=f"{study}/{series}"))

    assert await status(guest, f"/dicom-web/studies/{study}/series/{series}/metadata") == 200
    assert await status(guest, f"/dicom-web/studies/{study}/series/{other}/metadata") == 404
    listed = await guest.get(
        f"/dicom-web/studies/{study}/series", headers={"Accept": "application/dicom+json"}
    )
    assert [one["0020000E"]["Value"][0] for one in listed.json()] == [series]


async def test_a_selection_is_shared_as_it_is_now(guarded: Box) -> None:
    first, second, third = await keep(guarded), await keep(guarded), await keep(guarded)
    olga = await person(guarded, "olga", "operator")
    made = await olga.post("/selections", json={"study": [first, second]}, headers=PROGRAM)
    key = made.json()["id"]
    path = await shared(olga, selection=key)
    await olga.post(f"/selections/{key}/members", json={"study": third}, headers=PROGRAM)

    guest = await opened(guarded, path)

    assert [await status(guest, f"/studies/{one}") for one in (first, second, third)] == [200, 200, 404]


async def test_a_password_is_asked_for_and_guessing_is_slowed_down(guarded: Box) -> None:
    study = await keep(guarded)
    olga = await person(guarded, "olga", "operator")
    path = await shared(olga, study=study, password=OPEN)
    guest = stranger(guarded)

    without = await guest.post(path)
    wrong = [(await guest.post(path, data={"password": "guess"})).status_code for _ in range(6)]
    right = await stranger(guarded).post(path, data={"password": OPEN})

    assert without.status_code == 401
    assert "This is not its password." in without.text
    assert wrong[0] == 401
    assert wrong[-1] == 429
    assert right.status_code == 429  # the same address
    assert await status(guest, f"/studies/{study}") == 303


async def test_the_right_password_opens_it(guarded: Box) -> None:
    study = await keep(guarded)
    olga = await person(guarded, "olga", "operator")

    guest = await opened(guarded, await shared(olga, study=study, password=OPEN), password=OPEN)

    assert await status(guest, f"/studies/{study}") == 200


async def test_a_link_ends_for_each_reason(guarded: Box) -> None:
    study = await keep(guarded)
    alice = await person(guarded, "alice", "administrator")

    async def revoke(olga: httpx.AsyncClient, name: str) -> None:
        (one,) = (await olga.get("/shares.json", headers=PROGRAM)).json()
        await olga.post(f"/shares/{one['id']}/revoke")

    async def disable(olga: httpx.AsyncClient, name: str) -> None:
        await alice.post(f"/users/{await key_of(guarded, name)}/enabled", json={"enabled": False})

    async def take_the_right(olga: httpx.AsyncClient, name: str) -> None:
        await users.change(guarded, name, role="viewer", actor=SYSTEM)

    async def end(olga: httpx.AsyncClient, name: str) -> None:
        past = {"ends": (guarded.clock() - timedelta(hours=1)).isoformat(timespec="seconds")}
        await guarded.database.write(lambda w: w.execute("update share set ends_at = :ends", past))

    for number, reason in enumerate((revoke, disable, take_the_right, end)):
        olga = await person(guarded, f"olga{number}", "operator")
        path = await shared(olga, study=study)
        guest = await opened(guarded, path)
        if reason is not end:  # who looked lately is remembered for minutes, which is what ends by itself
            assert await status(guest, f"/studies/{study}") == 200
        await reason(olga, f"olga{number}")

        assert await status(guest, f"/studies/{study}") == 303, reason.__name__
        assert await status(stranger(guarded), path) == 404, reason.__name__
        assert (await stranger(guarded).post(path)).status_code == 404, reason.__name__


async def test_a_link_shows_no_more_than_its_owner_may_see_by_then(guarded: Box) -> None:
    study = await keep(guarded)
    await users.add(guarded, "alice", role="administrator", actor=SYSTEM)
    olga = await person(guarded, "olga", "operator")
    guest = await opened(guarded, await shared(olga, study=study))

    await users.change(guarded, "olga", scope={"labels": ["trial"]}, actor=SYSTEM)

    assert await status(guest, f"/studies/{study}") == 404


async def test_whoever_has_logged_in_beside_it_is_themselves_again_when_it_is_closed(guarded: Box) -> None:
    study, other = await keep(guarded), await keep(guarded)
    olga = await person(guarded, "olga", "operator")
    path = await shared(olga, study=study)

    await olga.post(path)
    as_guest = await status(olga, f"/studies/{other}")
    closed = await olga.post("/logout")

    assert as_guest == 404
    assert closed.headers["location"] == "/login"
    assert await status(olga, f"/studies/{other}") == 200


async def test_links_are_listed_with_their_uses_for_their_owner_and_administrators(guarded: Box) -> None:
    study = await keep(guarded)
    alice, olga = await person(guarded, "alice", "administrator"), await person(guarded, "olga", "operator")
    omar = await person(guarded, "omar", "operator")
    path = await shared(olga, study=study, name="Second opinion")
    await stranger(guarded).get(path)
    await opened(guarded, path)

    (own,) = (await olga.get("/shares.json", headers=PROGRAM)).json()
    page = await alice.get("/shares")

    assert (own["name"], own["uses"], own["password"]) == ("Second opinion", 1, False)
    assert "Second opinion" in page.text
    assert path not in page.text
    assert_well_made(Page(page.text))
    assert (await omar.get("/shares.json", headers=PROGRAM)).json() == []
    assert (await omar.delete(f"/shares/{own['id']}", headers=PROGRAM)).status_code == 404
    assert_well_made(Page((await alice.get(f"/shares/{own['id']}/revoke")).text))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"expires": "366d"}, 400),
        ({"password": "short"}, 400),
        ({"opens": "elsewhere"}, 400),
        ({"study": "1.2.3"}, 404),
        ({"name": "x" * 65}, 400),
    ],
)
async def test_a_link_that_cannot_be_is_refused(guarded: Box, fields: dict[str, object], code: int) -> None:
    study = await keep(guarded)
    olga = await person(guarded, "olga", "operator")

    answer = await olga.post("/shares", json={"study": study} | fields, headers=PROGRAM)

    assert answer.status_code == code
    if code == 400:
        form = await olga.post("/shares", data={"study": study} | fields)
        assert form.status_code == 422
        assert_well_made(Page(form.text))


async def test_who_may_not_share_makes_no_link(guarded: Box) -> None:
    study = await keep(guarded)
    bob = await person(guarded, "bob", "viewer")

    assert (await bob.post("/shares", json={"study": study}, headers=PROGRAM)).status_code == 403
    assert await status(bob, f"/shares/new?study={study}") == 403


async def test_the_secret_is_told_once_and_to_nobody_else(
    guarded: Box, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    study = await keep(guarded)
    olga = await person(guarded, "olga", "operator")
    form = await olga.get(f"/shares/new?study={study}")
    told = await olga.post("/shares", data={"study": study, "password": OPEN})
    path = httpx.URL(Page(told.text).one("code").text).path
    secret = path.removeprefix("/shared/")

    asked = await stranger(guarded).get(path)
    await stranger(guarded).post(path, data={"password": "guess"})
    guest = await opened(guarded, path, password=OPEN)
    rows = await guarded.database.fetch_all("select * from share")

    assert_well_made(Page(form.text))
    assert_well_made(Page(told.text))
    assert asked.headers.get_list("referrer-policy") == ["strict-origin"]
    assert secret not in repr([tuple(row) for row in rows])
    assert OPEN not in repr([tuple(row) for row in rows])
    ours = [one for one in caplog.records if not one.name.startswith(("httpx", "httpcore"))]
    assert secret not in repr([one.getMessage() for one in ours])
    assert secret not in repr(guest.cookies)
    noted = await guarded.database.fetch_all("select * from audit")
    assert secret not in repr([tuple(row) for row in noted])


async def test_a_patient_counts_what_is_shared_alone(guarded: Box) -> None:
    study, series = new_uid(), new_uid()
    await keep(guarded, StudyInstanceUID=study, SeriesInstanceUID=series, PatientID="4711")
    await keep(guarded, StudyInstanceUID=study, PatientID="4711")
    olga = await person(guarded, "olga", "operator")
    guest = await opened(guarded, await shared(olga, series=f"{study}/{series}"))

    (patient,) = (await guest.get("/patients.json")).json()["patients"]
    (whole,) = (await olga.get("/patients.json")).json()["patients"]

    assert (patient["study_count"], patient["instance_count"]) == (1, 1)
    assert whole["instance_count"] == 2
    assert 0 < patient["size"] < whole["size"]
