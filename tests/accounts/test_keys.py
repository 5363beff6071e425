"""Master keys: made once, shown never, rotated; what they seal only they open, for one purpose."""

import asyncio
import hashlib
import os
import stat
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from dicomweb_box import setting_sources, settings
from dicomweb_box.accounts import key_rotation, key_sources, keys, users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box, open_box
from dicomweb_box.errors import BadSetting, Damaged
from tests.conftest import MakeBox, MakeDatabaseUrl

ONE, TWO = (key_sources.spelled(hashlib.sha256(name).digest()) for name in (b"one", b"two"))
SECRET = b"JBSWY3DPEHPK3PXP"


def beside(box: Box, **changes: object) -> AbstractAsyncContextManager[Box]:
    """Another process's box on the same database and folder."""
    flags = {"data": box.settings.data, "database_url": box.settings.database_url, **changes}
    return open_box(setting_sources.load(flags, {}))


def file_of(box: Box) -> Path:
    return key_sources.key_file(box.settings)


async def account_with(box: Box, secret: bytes, name: str = "vera") -> str:
    await users.add(box, name, role="viewer", actor=SYSTEM)
    key = await box.database.fetch_value("select id from account where name = :name", {"name": name})
    text = await keys.seal(box, f"second factor {key}", secret)
    await box.database.write(
        lambda w: w.execute(
            "update account set second_factor = :text where id = :key", {"text": text, "key": key}
        )
    )
    return str(key)


async def kept(box: Box, key: str) -> str:
    return str(
        await box.database.fetch_value("select second_factor from account where id = :key", {"key": key})
    )


async def test_what_is_sealed_is_opened_for_its_purpose_alone(box: Box) -> None:
    text = await keys.seal(box, "second factor vera", SECRET)

    assert await keys.unseal(box, "second factor vera", text) == SECRET
    assert SECRET.decode() not in text
    assert text != await keys.seal(box, "second factor vera", SECRET)
    with pytest.raises(Damaged):
        await keys.unseal(box, "second factor bob", text)


@pytest.mark.parametrize(
    "wrong", ["", "k1", "k1.x.y", "k2.{rest}", "{text}A", "{cut}", "{flipped}", "k1..", "k1.é.é"]
)
async def test_what_is_not_sealed_is_not_opened(box: Box, wrong: str) -> None:
    text = await keys.seal(box, "p", SECRET)
    flipped = text[:-3] + ("A" if text[-3] != "A" else "B") + text[-2:]
    given = wrong.format(text=text, rest=text[3:], cut=text[:-9], flipped=flipped)

    with pytest.raises(Damaged):
        await keys.unseal(box, "p", given)


async def test_the_key_file_is_made_once_and_for_our_eyes_alone(box: Box) -> None:
    async with beside(box) as other:
        texts = await asyncio.gather(keys.seal(box, "p", SECRET), keys.seal(other, "p", SECRET))
        assert [await keys.unseal(box, "p", text) for text in texts] == [SECRET, SECRET]

    assert stat.S_IMODE(file_of(box).stat().st_mode) == 0o600
    assert stat.S_IMODE(file_of(box).parent.stat().st_mode) == 0o700
    assert [path.name for path in file_of(box).parent.iterdir()] == ["box.key"]


async def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    chosen = settings.Settings(data=tmp_path)
    await asyncio.gather(*(asyncio.to_thread(key_sources.make, chosen) for _ in range(16)))

    found = key_sources.find(chosen)
    assert found is not None
    assert len(found.keys) == 1
    assert len(list((tmp_path / "keys").iterdir())) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
async def test_a_key_file_that_others_may_read_is_refused(box: Box, mode: int) -> None:
    await keys.seal(box, "p", SECRET)
    file_of(box).chmod(mode)

    async with beside(box) as other:
        with pytest.raises(BadSetting, match="can be read by others: chmod 600"):
            await keys.seal(other, "p", SECRET)


async def test_a_key_folder_that_others_may_write_is_refused(box: Box) -> None:
    await keys.seal(box, "p", SECRET)
    file_of(box).parent.chmod(0o770)

    async with beside(box) as other:
        with pytest.raises(BadSetting, match="can be written by others: chmod 700"):
            await keys.seal(other, "p", SECRET)


async def test_no_second_key_is_made_where_the_first_is_missing(box: Box) -> None:
    await keys.seal(box, "p", SECRET)
    file_of(box).unlink()

    async with beside(box) as other:
        with pytest.raises(BadSetting, match="is not there, and secrets are sealed with it"):
            await keys.seal(other, "p", SECRET)
    assert not file_of(box).exists()


async def test_the_keys_of_another_box_are_refused_by_name(box: Box) -> None:
    await keys.seal(box, "p", SECRET)

    async with beside(box, key=ONE) as other:
        with pytest.raises(BadSetting, match="setting key has not the key") as caught:
            await keys.seal(other, "p", SECRET)
    assert ONE[7:] not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("hunter2hunter2", "something that is no key"),
        (ONE[:-1], "something that is no key"),
        (ONE.removeprefix("dwbkey_"), "something that is no key"),
        (f"{ONE} {ONE}", "a key twice"),
        ("# nothing", "no key"),
        (key_sources.spelled(b"\0" * 32), "not random"),
    ],
)
async def test_what_is_no_key_is_refused_and_not_repeated(make_box: MakeBox, given: str, said: str) -> None:
    async with make_box(key=given) as box:
        with pytest.raises(BadSetting, match=said) as caught:
            await keys.seal(box, "p", SECRET)

    assert given[7:] not in str(caught.value) or given.startswith("#")


async def test_keys_come_from_a_command(make_box: MakeBox, tmp_path: Path) -> None:
    (tmp_path / "kms").write_text(f"{TWO}\n{ONE}\n")
    async with make_box(key_command=f"cat '{tmp_path}/kms'") as box:
        text = await keys.seal(box, "p", SECRET)
        assert await keys.unseal(box, "p", text) == SECRET
        assert not file_of(box).exists()
        assert (await keys.ring(box)).names[0] == keys.name_in(text)


@pytest.mark.parametrize(
    ("command", "said"),
    [("false", "code 1"), ("/nowhere/kms", "cannot be run"), ("true", "no key"), ("'", "cannot be run")],
)
async def test_a_command_that_fails_is_named(make_box: MakeBox, command: str, said: str) -> None:
    async with make_box(key_command=command) as box:
        with pytest.raises(BadSetting, match=said):
            await keys.derived(box, "p")


async def test_what_is_derived_differs_by_purpose_and_stays(box: Box) -> None:
    async with beside(box) as other:
        assert await keys.derived(box, "audit") == await keys.derived(other, "audit")
    assert await keys.derived(box, "audit") != await keys.derived(box, "links")
    assert len(await keys.derived(box, "audit")) == 32


async def test_a_rotation_seals_everything_anew_and_older_keys_still_prove(box: Box) -> None:
    vera, before = await account_with(box, SECRET), await keys.derived(box, "audit")
    sealed_before = await kept(box, vera)

    rotated = await key_rotation.rotate(box)

    text = await kept(box, vera)
    assert (rotated.sealed, keys.name_in(text)) == (1, rotated.key)
    assert text != sealed_before
    assert await keys.unseal(box, f"second factor {vera}", text) == SECRET
    assert await keys.unseal(box, f"second factor {vera}", sealed_before) == SECRET
    assert await keys.derived(box, "audit") != before
    assert (await keys.derived_all(box, "audit"))[1:] == [before]
    assert stat.S_IMODE(file_of(box).stat().st_mode) == 0o600


async def test_a_process_that_runs_hears_of_a_rotation(box: Box) -> None:
    vera = await account_with(box, SECRET)
    async with beside(box) as running:
        await keys.ring(running)
        await key_rotation.rotate(box)

        assert await keys.unseal(running, f"second factor {vera}", await kept(box, vera)) == SECRET
        assert keys.name_in(await keys.seal(running, "p", b"")) == (await keys.ring(box)).names[0]


async def test_an_interrupted_rotation_goes_on_without_a_third_key(box: Box) -> None:
    await account_with(box, SECRET)
    found = key_sources.find(box.settings)
    assert found is not None
    key_sources.prepend(box.settings, found.keys)  # and then the machine stopped

    assert (await key_rotation.rotate(box)).sealed == 1
    assert [one.sealed for one in (await key_rotation.check(box)).keys] == [1, 0]


async def test_a_rotation_that_cannot_open_one_secret_changes_none(box: Box) -> None:
    vera, bob = await account_with(box, SECRET), await account_with(box, b"other", name="bob")
    before = await kept(box, vera)
    await box.database.write(
        lambda w: w.execute(
            "update account set second_factor = :text where id = :bob", {"text": before, "bob": bob}
        )
    )

    with pytest.raises(Damaged):
        await key_rotation.rotate(box)

    assert await kept(box, vera) == before
    assert (await key_rotation.check(box)).lost == (f"account second_factor {bob}",)


async def test_keys_that_are_kept_elsewhere_are_rotated_there_first(box: Box) -> None:
    async with beside(box, key=ONE) as before:
        vera = await account_with(before, SECRET)
        with pytest.raises(BadSetting, match="put a new key before the others in setting key"):
            await key_rotation.rotate(before)
    async with beside(box, key=f"{TWO},{ONE}") as after:
        assert (await key_rotation.rotate(after)).sealed == 1
    async with beside(box, key=TWO) as alone:
        assert await keys.unseal(alone, f"second factor {vera}", await kept(alone, vera)) == SECRET


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dicomweb_box", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}, check=False
    )


def test_the_command_line_never_shows_a_key(make_database_url: MakeDatabaseUrl, tmp_path: Path) -> None:
    environment = {
        "DICOMWEB_BOX_DATABASE_URL": make_database_url(),
        "DICOMWEB_BOX_DATA": str(tmp_path / "box"),
    }

    check = run("key", "check", **environment)
    rotated = run("key", "rotate", **environment)
    shown = run("settings", **environment, DICOMWEB_BOX_KEY=ONE)
    given = run("settings", "--key", ONE, **environment)
    wrong = run("key", "check", **environment, DICOMWEB_BOX_KEY="dwbkey_" + ONE[:20])

    said = "".join(one.stdout + one.stderr for one in (check, rotated, shown, wrong))
    assert (check.returncode, rotated.returncode, given.returncode, wrong.returncode) == (0, 0, 2, 2)
    assert "sealed anew 0" in rotated.stdout
    assert "key = ***" in shown.stdout
    assert ONE[7:20] not in said
    assert "dwbkey_" not in check.stdout + rotated.stdout


def test_what_we_start_does_not_inherit_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DICOMWEB_BOX_KEY", ONE)

    assert setting_sources.load({}, setting_sources.environment()).key == ONE
    assert "DICOMWEB_BOX_KEY" not in os.environ


def test_a_settings_file_with_a_secret_is_for_our_eyes_alone(tmp_path: Path) -> None:
    (tmp_path / "box.toml").write_text(f'key = "{ONE}"')
    (tmp_path / "box.toml").chmod(0o644)

    with pytest.raises(BadSetting, match="holds a secret and can be read by others"):
        setting_sources.load({"data": tmp_path}, {})
    (tmp_path / "box.toml").chmod(0o600)
    assert setting_sources.load({"data": tmp_path}, {}).key == ONE
    assert ONE not in repr(setting_sources.load({"data": tmp_path}, {}))
