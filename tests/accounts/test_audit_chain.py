"""Does every change of what was written in the audit show?"""

import shutil
from collections.abc import Sequence

import pytest

from dicomweb_box.accounts import audit, audit_heads, sessions, users
from dicomweb_box.accounts.access import SYSTEM, Actor
from dicomweb_box.accounts.audit import Entry
from dicomweb_box.accounts.audit_chain import COLUMNS, chain_of
from dicomweb_box.accounts.audit_check import verify
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive.check import check
from dicomweb_box.box import Box, open_box
from dicomweb_box.database import Row, Writer
from tests.conftest import MakeBox

ALICE = Actor(name="alice", kind="user", address="192.0.2.7")


async def write(box: Box, count: int = 5) -> None:
    async def work(w: Writer) -> None:
        await audit.record(w, box, Entry(actor=ALICE, action=Action.REJECT, study="1.2.3", count=7))

    for _ in range(count):
        await box.database.write(work)


async def rows(box: Box) -> Sequence[Row]:
    return await box.database.fetch_all("select * from audit order by id")


async def tamper(box: Box, *statements: str, **params: object) -> None:
    """What somebody does who can write in the database as they like."""

    async def work(w: Writer) -> None:
        if w.dialect == "sqlite":
            await w.execute("drop trigger audit_never_changes")
            await w.execute("drop trigger audit_never_goes")
        else:
            await w.execute("drop trigger audit_never_changes on audit")
        for statement in statements:
            await w.execute(statement, {name: params[name] for name in params if f":{name}" in statement})

    await box.database.write(work)


async def reopened(box: Box) -> list[str]:
    """What is found by a process that begins afterwards, with a chain of its own."""
    async with open_box(box.settings) as other:
        await write(other, 1)
        return await verify(other)


async def test_rows_follow_one_another_in_a_chain(box: Box) -> None:
    await write(box)

    found = await rows(box)

    assert [row["sequence"] for row in found] == [1, 2, 3, 4, 5, 6]
    assert {row["chain"] for row in found} == {chain_of(box).id}
    assert (found[0]["action"], found[0]["actor"]) == ("start", "dicomweb_box")
    told = {
        name: found[1][name]
        for name in ("actor", "kind", "address", "action", "outcome", "study_uid", "count")
    }
    assert told == {
        "actor": "alice", "kind": "user", "address": "192.0.2.7", "action": "reject", "outcome": "success",
        "study_uid": "1.2.3", "count": 7,
    }  # fmt: skip
    assert await verify(box) == []
    assert await reopened(box) == []


async def test_the_head_is_beside_the_database_and_for_nobody_else_to_read(box: Box) -> None:
    await write(box)

    head = audit_heads.read(box.settings)[chain_of(box).id]
    last = (await rows(box))[-1]

    assert head is not None
    assert (head.sequence, head.mac) == (last["sequence"], bytes(last["mac"]))
    path = audit_heads.folder(box.settings) / f"{chain_of(box).id}.head"
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_change_that_fails_leaves_no_row_and_no_gap(box: Box) -> None:
    await write(box, 1)

    async def work(w: Writer) -> None:
        await audit.record(w, box, Entry(actor=ALICE, action=Action.ERASE))
        raise RuntimeError("no")

    for _ in range(2):
        with pytest.raises(RuntimeError):
            await box.database.write(work)
    await write(box, 1)

    assert [row["action"] for row in await rows(box)] == ["start", "reject", "reject"]
    assert await verify(box) == []


async def test_the_first_change_may_fail_too(box: Box) -> None:
    async def work(w: Writer) -> None:
        await audit.record(w, box, Entry(actor=ALICE, action=Action.ERASE))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await box.database.write(work)
    assert await verify(box) == []
    await write(box, 1)

    assert [row["sequence"] for row in await rows(box)] == [1, 2]
    assert await reopened(box) == []


async def test_rows_are_neither_changed_nor_deleted_by_the_program(box: Box) -> None:
    await write(box, 1)

    for statement in ("update audit set actor = 'bob'", "delete from audit"):
        with pytest.raises(Exception, match="never"):
            await box.database.write(lambda w, statement=statement: w.execute(statement))
    assert len(await rows(box)) == 2


@pytest.mark.parametrize("column", [name for name in COLUMNS if name not in ("chain", "sequence")])
async def test_a_change_of_any_column_shows(box: Box, column: str) -> None:
    await write(box)
    value = "count + 1" if column == "count" else f"{column} || 'x'"

    await tamper(box, f"update audit set {column} = {value} where sequence = 3")

    chain = chain_of(box).id
    assert await verify(box) == [f"chain {chain}: row 3 is not what was written"]
    assert await reopened(box) == [f"chain {chain}: row 3 is not what was written"]


@pytest.mark.parametrize("sequence", [1, 2, 3, 4, 5])
async def test_a_row_that_was_taken_out_shows(box: Box, sequence: int) -> None:
    await write(box)

    await tamper(box, "delete from audit where sequence = :sequence", sequence=sequence)

    assert await reopened(box) == [f"chain {chain_of(box).id}: row {sequence} is gone"]


@pytest.mark.parametrize("left", [1, 3, 5])
async def test_a_cut_tail_shows(box: Box, left: int) -> None:
    await write(box)

    await tamper(box, "delete from audit where sequence > :left", left=left)

    assert await reopened(box) == [f"chain {chain_of(box).id}: rows {left + 1} to 6 are gone"]


async def test_rows_that_changed_places_show(box: Box) -> None:
    await write(box)

    await tamper(
        box,
        "update audit set sequence = 99 where sequence = 3",
        "update audit set sequence = 3 where sequence = 4",
        "update audit set sequence = 4 where sequence = 99",
    )

    assert await reopened(box) == [f"chain {chain_of(box).id}: row 3 is not what was written"]


async def test_a_row_put_in_shows(box: Box) -> None:
    await write(box)
    columns = ", ".join(name for name in COLUMNS if name != "sequence") + ", mac"

    await tamper(
        box, f"insert into audit (sequence, {columns}) select 7, {columns} from audit where sequence = 6"
    )

    assert await reopened(box) == [f"chain {chain_of(box).id}: row 7 is not what was written"]


async def test_a_whole_chain_that_is_gone_shows(box: Box) -> None:
    await write(box)
    chain = chain_of(box).id

    await tamper(box, "delete from audit", "delete from audit_chain")

    assert await reopened(box) == [f"chain {chain}: all of its rows are gone"]


async def test_a_chain_that_is_gone_with_its_head_is_missed_by_the_next_one(box: Box) -> None:
    await write(box)
    chain = chain_of(box).id
    async with open_box(box.settings) as other:
        await write(other, 1)
        by = chain_of(other).id

    await tamper(box, "delete from audit where chain = :chain", chain=chain)
    (audit_heads.folder(box.settings) / f"{chain}.head").unlink()

    assert await verify(box) == [f"chain {chain}: all of its rows are gone; {by} names it"]


async def test_a_head_that_is_gone_or_damaged_shows(box: Box) -> None:
    await write(box)
    chain = chain_of(box).id
    path = audit_heads.folder(box.settings) / f"{chain}.head"

    path.write_bytes(b"")
    assert await reopened(box) == [f"chain {chain}: its head is damaged"]
    path.unlink()
    assert await reopened(box) == [f"chain {chain}: its head is gone"]


async def test_heads_that_are_gone_with_their_folder_show_where_no_other_machine_can_have_them(
    box: Box,
) -> None:
    await write(box)
    chain = chain_of(box).id

    shutil.rmtree(audit_heads.folder(box.settings))

    found = await reopened(box)
    assert found == ([f"chain {chain}: its head is gone"] if box.database.dialect == "sqlite" else [])


async def test_an_audit_of_which_nothing_is_left_shows_where_somebody_has_logged_in(
    make_box: MakeBox,
) -> None:
    async with make_box(no_auth=False) as box:
        await users.add(box, "vera", role="viewer", password="correct horse battery", actor=SYSTEM)
        assert await sessions.log_in(box, "vera", "correct horse battery", address="192.0.2.7", agent="")
        await tamper(box, "delete from audit", "delete from audit_chain")
        shutil.rmtree(audit_heads.folder(box.settings))

        assert await verify(box) == ["nothing is left of it, though somebody has logged in"]


async def test_a_head_may_lag_behind_by_what_a_kill_lost(box: Box) -> None:
    await write(box)
    path = audit_heads.folder(box.settings) / f"{chain_of(box).id}.head"
    before = path.read_bytes()
    await write(box, 2)

    path.write_bytes(before)

    assert await reopened(box) == []


async def test_a_code_made_without_the_key_does_not_fit(box: Box, make_box: MakeBox) -> None:
    """Rows of another box, whole in themselves, put in the place of ours."""
    await write(box)
    chain = chain_of(box).id
    async with make_box() as other:
        await write(other)
        theirs = await rows(other)
    await tamper(box, *(
        f"update audit set mac = :mac{row['sequence']} where sequence = {row['sequence']}" for row in theirs
    ), **{f"mac{row['sequence']}": bytes(row["mac"]) for row in theirs})  # fmt: skip

    assert await reopened(box) == [f"chain {chain}: row 1 is not what was written"]


async def test_check_says_so(box: Box) -> None:
    await write(box)
    assert (await check(box)).sound

    await tamper(box, "delete from audit where sequence = 4")
    report = await check(box)

    assert not report.sound
    assert report.audit == [f"chain {chain_of(box).id}: row 4 is gone"]
    assert (await rows(box))[-1]["action"] == "alert"
