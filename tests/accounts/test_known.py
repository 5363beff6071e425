"""What a process remembers of credentials: for how long, how much, and what makes it forget."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from dicomweb_box import setting_sources
from dicomweb_box.accounts import credentials, tokens, users
from dicomweb_box.accounts import known as memory
from dicomweb_box.accounts.access import NOBODY, SYSTEM, Actor, Identity, Scope
from dicomweb_box.accounts.known import changed, known
from dicomweb_box.accounts.rights import Right
from dicomweb_box.box import Box, open_box
from tests.accounts.callers import account, log_in, role, token, with_password

SOMEBODY = Identity(actor=Actor(name="bob", kind="user"), scope=Scope(), rights=frozenset({Right.SEE}))


@pytest.fixture
async def another(guarded: Box) -> AsyncIterator[Box]:
    """The same archive as another process has it open."""
    flags = {
        "data": str(guarded.settings.data),
        "database_url": guarded.settings.database_address,
        "no_auth": False,
    }
    async with open_box(setting_sources.load(flags, {})) as opened:
        yield opened


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let so much of this process's time pass."""
    real = time.monotonic
    monkeypatch.setattr(memory.time, "monotonic", lambda: real() + seconds)


async def test_what_another_process_revokes_is_forgotten_within_a_second(
    guarded: Box, another: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = await tokens.create(guarded, "notebook", rights=["read"], actor=SYSTEM, expires=None)
    assert await credentials.by_token(another, secret) is not None

    await tokens.revoke(guarded, key, actor=SYSTEM)

    assert await credentials.by_token(guarded, secret) is None
    later(monkeypatch, memory.LOOK_EVERY + 0.01)
    assert await credentials.by_token(another, secret) is None


async def test_a_disabled_owner_takes_tokens_and_log_ins_along(
    guarded: Box, another: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    await account(guarded, "alice", "administrator")
    cookie = await account(guarded, "bob", "viewer")
    secret = await token(guarded, "of bob", account="bob")
    for box in (guarded, another):
        assert await credentials.by_token(box, secret) is not None
        assert await credentials.by_session(box, cookie) is not None

    await users.set_disabled(guarded, "bob", disabled=True, actor=SYSTEM)

    later(monkeypatch, memory.LOOK_EVERY + 0.01)
    for box in (guarded, another):
        assert await credentials.by_token(box, secret) is None
        assert await credentials.by_session(box, cookie) is None


async def test_what_was_looked_up_before_a_change_is_not_remembered_after_it(guarded: Box) -> None:
    found = known(guarded)
    assert await found.get(b"key") is None
    since = found.age
    await guarded.database.write(changed)
    found.forget()
    assert await found.get(b"key") is None

    found.keep(b"key", SOMEBODY, since=since, seconds=60)

    assert await found.get(b"key") is None


async def test_it_remembers_for_so_long_and_no_longer(guarded: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    found = known(guarded)
    assert await found.get(b"key") is None
    found.keep(b"key", SOMEBODY, since=found.age, seconds=60)
    found.keep(b"idle", SOMEBODY, since=found.age, seconds=600, idle=90)
    assert await found.get(b"key") is SOMEBODY

    later(monkeypatch, 61)

    assert await found.get(b"key") is None
    assert await found.get(b"idle") is SOMEBODY
    later(monkeypatch, 61 + 91)
    assert await found.get(b"idle") is None


async def test_it_remembers_so_many_and_no_more(guarded: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST", 3)
    found = known(guarded)
    await found.get(b"")

    for number in range(10):
        found.keep(bytes([number]), SOMEBODY, since=found.age, seconds=60)

    assert list(found.found) == [bytes([7]), bytes([8]), bytes([9])]


async def test_a_token_is_good_to_its_last_second_and_not_after(guarded: Box) -> None:
    _, secret = await tokens.create(
        guarded, "short", rights=["read"], actor=SYSTEM, expires=timedelta(hours=1)
    )
    assert await credentials.by_token(guarded, secret) is not None
    ends = (datetime.now(UTC) + timedelta(seconds=1)).isoformat(timespec="seconds")
    await guarded.database.write(lambda w: w.execute("update token set ends_at = :at", {"at": ends}))
    known(guarded).forget()

    assert await credentials.by_token(guarded, secret) in (None, *_kept(guarded))
    (kept,) = known(guarded).found.values() or [None]

    assert kept is None or kept.until - time.monotonic() <= 1


def _kept(box: Box) -> list[Identity]:
    return [one.identity for one in known(box).found.values()]


async def test_when_something_was_last_used_is_written_in_the_end(guarded: Box) -> None:
    _, secret = await tokens.create(guarded, "notebook", rights=["read"], actor=SYSTEM, expires=None)
    cookie = await account(guarded, "bob", "viewer")
    await guarded.database.write(
        lambda w: w.execute("update session set seen_at = '2026-01-01T00:00:00+00:00', ends_at = '2999'")
    )
    assert await credentials.by_token(guarded, secret) is not None
    assert await credentials.by_session(guarded, cookie) is None

    await known(guarded)._write()

    (one,) = await tokens.every(guarded)
    assert one.used_at is not None
    assert abs(datetime.fromisoformat(one.used_at) - datetime.now(UTC)) < timedelta(seconds=60)


async def test_a_token_never_has_more_than_its_owner_has_now(guarded: Box) -> None:
    await account(guarded, "alice", "administrator")
    await role(guarded, "looks", ["see"])
    await account(guarded, "bob", "operator")
    secret = await token(guarded, "of bob", account="bob", scope={"studies": ["1.2", "1.3"]})
    before = await credentials.by_token(guarded, secret)

    await users.change(guarded, "bob", role="looks", scope={"studies": ["1.3", "1.4"]}, actor=SYSTEM)

    after = await credentials.by_token(guarded, secret)
    assert before is not None
    assert Right.DELETE in before.rights
    assert Right.ADMINISTER not in before.rights
    assert after is not None
    assert after.rights == {Right.SEE}
    assert after.scope.studies == {"1.3"}
    assert after.scope.identities is False


async def test_a_log_in_without_its_second_factor_is_nobodys(guarded: Box) -> None:
    cookie = await account(guarded, "bob", "viewer")
    await guarded.database.write(lambda w: w.execute("update session set complete = 0"))

    assert await credentials.by_session(guarded, cookie) is None


async def test_a_password_is_remembered_for_the_name_it_belongs_to(guarded: Box) -> None:
    await with_password(guarded, "bob", "viewer")
    password = "correct horse battery"
    assert await credentials.by_password(guarded, "bob", password, address="1") is not None

    for name in ("bobb", "bo", "b"):
        assert await credentials.by_password(guarded, name, password, address="2") is None
    assert await credentials.by_password(guarded, "BOB", password, address="3") is not None


async def test_a_new_password_ends_what_the_old_one_opened(guarded: Box) -> None:
    await with_password(guarded, "bob", "viewer")
    cookie, old = await log_in(guarded, "bob"), "correct horse battery"
    assert await credentials.by_password(guarded, "bob", old, address="1") is not None
    assert await credentials.by_session(guarded, cookie) is not None

    await users.set_password(guarded, "bob", "another horse battery", must_change=False, actor=SYSTEM)

    assert await credentials.by_password(guarded, "bob", old, address="1") is None
    assert await credentials.by_session(guarded, cookie) is None


def test_nobody_has_no_right_and_sees_nothing() -> None:
    assert not NOBODY.rights
    assert NOBODY.scope.studies == frozenset()
    assert not NOBODY.scope.whole
