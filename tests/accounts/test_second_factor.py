"""A second factor: set up with a code, asked at each log-in, good once, and what helps who has lost it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pyotp
import pytest

from dicomweb_box import setting_sources
from dicomweb_box.accounts import guessing, key_rotation, second_factor, users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.app import assemble
from dicomweb_box.box import Box, open_box
from dicomweb_box.errors import NotFound
from tests.accounts.conftest import ORIGIN
from tests.accounts.test_logging_in import GOOD, JSON, basic, logged_in
from tests.conftest import MakeBox, MakeDatabaseUrl

PROGRAM = {"Accept": "application/json"}
PATH = "/profile/second-factor"


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, 8, 0, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def guarded(make_database_url: MakeDatabaseUrl, tmp_path: Any, clock: Clock) -> Any:
    """A box with accounts whose clock stands still."""
    given = {"data": str(tmp_path / "box"), "database_url": make_database_url()}
    async with open_box(setting_sources.load(given, {}), clock=clock) as box:
        yield box


def browser(box: Box) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(assemble(box), raise_app_exceptions=False)
    return httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"Accept": "text/html", **ORIGIN}
    )


async def enrolled(client: httpx.AsyncClient, clock: Clock) -> tuple[pyotp.TOTP, list[str]]:
    """What the other device makes codes with, and the recovery codes."""
    offer = (await client.get(f"{PATH}.json")).json()
    device = pyotp.TOTP(offer["secret"])
    answer = await client.post(
        PATH,
        json={"offer": offer["offer"], "code": device.at(clock()), "password": GOOD},
        headers=PROGRAM,
    )
    assert answer.status_code == 201, answer.text
    clock.pass_by(30)
    return device, answer.json()["recovery_codes"]


async def first_step(client: httpx.AsyncClient, name: str = "vera") -> httpx.Response:
    return await client.post("/login", data={"name": name, "password": GOOD, "next": "/labels"})


async def second_step(client: httpx.AsyncClient, code: str) -> httpx.Response:
    return await client.post("/login/code", data={"code": code, "next": "/labels"})


async def test_a_code_is_asked_after_the_password_and_lets_in(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    device, _ = await enrolled(client, clock)
    async with browser(guarded) as other:
        password = await first_step(other)
        between = [await other.get(path) for path in ("/studies", "/profile", "/labels")]
        form = await other.get(password.headers["location"])
        come_in = await second_step(other, device.at(clock()))

        assert password.headers["location"] == "/login/code?next=%2Flabels"
        assert {answer.status_code for answer in between} == {303}
        assert 'autocomplete="one-time-code"' in form.text
        assert (come_in.status_code, come_in.headers["location"]) == (303, "/labels")
        assert (await other.get("/labels")).status_code == 200


async def test_the_cookie_of_the_first_step_is_good_for_nothing_afterwards(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    device, _ = await enrolled(client, clock)
    async with browser(guarded) as other, browser(guarded) as thief:
        await first_step(other)
        seen = other.cookies["dicomweb_box"]
        await second_step(other, device.at(clock()))
        clock.pass_by(30)
        thief.cookies.set("dicomweb_box", seen)

        assert (await thief.get("/labels")).status_code == 303
        assert (await second_step(thief, device.at(clock()))).headers["location"] == "/login"


async def test_a_code_is_good_once_even_for_another_browser(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    device, _ = await enrolled(client, clock)
    async with browser(guarded) as one, browser(guarded) as other:
        await first_step(one)
        await first_step(other)
        code = device.at(clock())

        assert (await second_step(one, code)).status_code == 303
        assert (await second_step(other, code)).status_code == 401
        assert (await second_step(other, device.at(clock() - timedelta(seconds=30)))).status_code == 401
        assert (await second_step(other, device.at(clock() + timedelta(seconds=30)))).status_code == 303


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 303), (0, 303), (1, 303), (2, 401)])
async def test_a_clock_may_be_off_by_one_step(
    guarded: Box, client: httpx.AsyncClient, clock: Clock, steps: int, status: int
) -> None:
    await logged_in(guarded, client)
    device, _ = await enrolled(client, clock)
    clock.pass_by(300)
    async with browser(guarded) as other:
        await first_step(other)

        assert (await second_step(other, device.at(clock(), counter_offset=steps))).status_code == status


@pytest.mark.parametrize(
    "spelled", [str, str.upper, lambda code: code.replace("-", " "), lambda code: f" {code} "]
)
async def test_a_recovery_code_is_good_once_however_it_is_typed(
    guarded: Box, client: httpx.AsyncClient, clock: Clock, spelled: Callable[[str], str]
) -> None:
    await logged_in(guarded, client)
    _, codes = await enrolled(client, clock)
    async with browser(guarded) as one, browser(guarded) as other:
        await first_step(one)
        await first_step(other)

        assert len(set(codes)) == 10
        assert (await second_step(one, spelled(codes[3]))).status_code == 303
        assert (await second_step(other, codes[3])).status_code == 401
        assert (await one.get(f"{PATH}.json")).json() == {"second_factor": True, "recovery_codes": 9}
        assert "9 of 10" in (await one.get(PATH)).text


@pytest.mark.parametrize("code", ["", "000000", "12345", "１２３４５６", "é", "a" * 5000, "' or 1=1 --"])
async def test_a_wrong_code_is_told_and_lets_nobody_in(
    guarded: Box, client: httpx.AsyncClient, clock: Clock, code: str
) -> None:
    await logged_in(guarded, client)
    await enrolled(client, clock)
    async with browser(guarded) as other:
        await first_step(other)
        answer = await second_step(other, code)

        assert answer.status_code == 401
        assert "not right" in answer.text
        assert (await other.get("/labels")).status_code == 303


async def test_guessing_codes_is_slowed_down_though_the_password_is_right_each_time(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    device, _ = await enrolled(client, clock)
    async with browser(guarded) as thief:
        statuses = []
        for _ in range(guessing.FREE["pair"] + 2):
            await first_step(thief)
            statuses.append((await second_step(thief, "000000")).status_code)
        right = await second_step(thief, device.at(clock()))

        assert statuses[-1] == 429
        assert (right.status_code, int(right.headers["retry-after"]) > 0) == (429, True)
        clock.pass_by(3600)
        await first_step(thief)
        assert (await second_step(thief, device.at(clock()))).status_code == 303


async def test_the_second_step_has_to_follow_soon(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    device, _ = await enrolled(client, clock)
    async with browser(guarded) as other:
        await first_step(other)
        clock.pass_by(601)

        assert (await other.get("/login/code")).headers["location"] == "/login"
        assert (await second_step(other, device.at(clock()))).headers["location"] == "/login"


async def test_it_is_set_up_by_a_page_with_a_picture_and_codes_shown_once(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    form = (await client.get(PATH)).text
    offer = re.search(r'name="offer" value="([^"]+)"', form)
    secret = re.search(r'<code class="secret">([A-Z2-7 ]+)</code>', form)
    assert offer is not None
    assert secret is not None
    device = pyotp.TOTP(secret[1].replace(" ", ""))
    given = {"offer": offer[1], "password": GOOD}

    wrong = await client.post(PATH, data={**given, "code": "000000"})
    unproved = await client.post(PATH, data={**given, "code": device.at(clock()), "password": "no"})
    done = await client.post(PATH, data={**given, "code": device.at(clock())})

    assert 'src="data:image/svg+xml' in form
    for answer in (wrong, unproved):
        assert answer.status_code == 422
        assert secret[1] in answer.text  # the device need not be set up again
    codes = re.findall(r'<code class="secret">([a-z0-9-]+)</code>', done.text)
    assert (done.status_code, len(codes)) == (200, 10)
    assert codes[0] not in (await client.get(PATH)).text
    assert "Recovery codes, or take it off" in (await client.get("/profile")).text


async def test_an_offer_holds_for_its_account_and_for_a_while(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    offer = (await client.get(f"{PATH}.json")).json()
    device = pyotp.TOTP(offer["secret"])
    async with browser(guarded) as other:
        await logged_in(guarded, other, name="bob")
        given = {"offer": offer["offer"], "code": device.at(clock()), "password": GOOD}
        foreign = await other.post(PATH, json=given, headers=PROGRAM)
    clock.pass_by(3000)
    late = await client.post(PATH, json=given | {"code": device.at(clock())}, headers=PROGRAM)

    assert (foreign.status_code, late.status_code) == (400, 400)
    assert "begin again" in foreign.json()["error"]
    assert not (await users.account(guarded, "bob")).second_factor


async def test_setting_it_up_ends_every_other_log_in(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    async with browser(guarded) as other:
        await first_step(other)
        assert (await other.get("/labels")).status_code == 200
        await enrolled(client, clock)

        assert (await other.get("/labels")).status_code == 303
        assert (await client.get("/labels")).status_code == 200


async def test_programs_are_refused_the_password_alone_at_once(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    before = await client.get("/dicom-web/studies", headers=basic("vera", GOOD))
    await enrolled(client, clock)
    after = await client.get("/dicom-web/studies", headers=basic("vera", GOOD))

    assert (before.status_code, after.status_code) == (200, 401)
    assert "token" in after.json()["error"]


async def test_it_is_taken_off_with_the_password(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    await enrolled(client, clock)

    refused = await client.post(f"{PATH}/remove", data={"password": "no"})
    renewed = await client.post(f"{PATH}/codes", json={"password": GOOD}, headers=PROGRAM)
    removed = await client.post(f"{PATH}/remove", data={"password": GOOD})

    assert (refused.status_code, removed.headers["location"]) == (422, "/profile")
    assert len(renewed.json()["recovery_codes"]) == 10
    assert await guarded.database.fetch_value("select count(*) from recovery_code") == 0
    async with browser(guarded) as other:
        assert (await first_step(other)).headers["location"] == "/labels"


async def test_old_recovery_codes_are_good_no_more(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    _, old = await enrolled(client, clock)
    new = (await client.post(f"{PATH}/codes", json={"password": GOOD}, headers=PROGRAM)).json()[
        "recovery_codes"
    ]
    async with browser(guarded) as other:
        await first_step(other)

        assert (await second_step(other, old[0])).status_code == 401
        assert (await second_step(other, new[0])).status_code == 303


async def test_an_administrator_takes_it_off_who_has_lost_it(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    await enrolled(client, clock)

    await second_factor.reset(guarded, "Vera", actor=SYSTEM)

    assert (await client.get("/labels")).status_code == 303
    assert (await first_step(client)).headers["location"] == "/labels"
    with pytest.raises(NotFound):
        await second_factor.reset(guarded, "nobody", actor=SYSTEM)


@pytest.mark.parametrize(
    ("asked", "role", "led"),
    [
        ("optional", "administrator", False),
        ("administrators", "viewer", False),
        ("administrators", "administrator", True),
        ("everybody", "viewer", True),
    ],
)
async def test_who_must_have_one_is_led_to_set_it_up_first(
    make_box: MakeBox, asked: str, role: str, led: bool
) -> None:
    async with make_box(no_auth=False, second_factor=asked) as box, browser(box) as client:
        await logged_in(box, client, role=role)
        page = await client.get("/studies")
        program = await client.get("/dicom-web/studies", headers=JSON)
        by_password = await client.get("/dicom-web/studies", headers=basic("vera", GOOD))

        if not led:
            assert {page.status_code, program.status_code, by_password.status_code} == {200}
            return
        assert page.headers["location"] == PATH
        assert (program.status_code, by_password.status_code) == (403, 401)
        assert "until it is set up nothing else" in (await client.get(PATH)).text
        offer = (await client.get(f"{PATH}.json")).json()
        code = pyotp.TOTP(offer["secret"]).at(box.clock())
        await client.post(PATH, data={"offer": offer["offer"], "code": code, "password": GOOD})
        assert (await client.get("/studies")).status_code == 200


async def test_its_secret_is_sealed_and_in_no_answer(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    device, codes = await enrolled(client, clock)
    kept = await guarded.database.fetch_value("select second_factor from account where name = 'vera'")
    digests = await guarded.database.fetch_all("select digest from recovery_code")
    shown = [await client.get(path) for path in ("/profile", "/profile.json", PATH, f"{PATH}.json")]

    everything = " ".join(
        [str(kept), *(row["digest"] for row in digests), *(answer.text for answer in shown)]
    )
    assert device.secret not in everything
    assert not any(code in everything for code in codes)
    assert kept not in " ".join(answer.text for answer in shown)
    assert (await key_rotation.rotate(guarded)).sealed == 1
    async with browser(guarded) as other:
        await first_step(other)
        assert (await second_step(other, device.at(clock()))).status_code == 303


async def test_what_happens_to_it_is_in_the_audit(
    guarded: Box, client: httpx.AsyncClient, clock: Clock
) -> None:
    await logged_in(guarded, client)
    _, codes = await enrolled(client, clock)
    async with browser(guarded) as other:
        await first_step(other)
        await second_step(other, "000000")
        await second_step(other, codes[0])
    await second_factor.reset(guarded, "vera", actor=SYSTEM)

    rows = await guarded.database.fetch_all(
        "select action, outcome, about from audit order by moment, sequence"
    )
    acts = [(row["action"], row["outcome"]) for row in rows]
    assert acts.count(("log in", "refused")) == 1
    assert acts.count(("log in", "success")) == 2  # not the password alone
    told = " ".join(row["about"] for row in rows)
    assert '"second factor": "set up"' in told
    assert '"second factor": "reset"' in told
    assert codes[0] not in told
