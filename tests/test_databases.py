"""The databases that tests are given."""

import asyncpg

from tests.databases import ScratchServer
from tests.emptied import look_at


async def _do(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_a_used_postgresql_database_is_given_again_as_new(scratch_server: ScratchServer) -> None:
    name = scratch_server.create()
    idle = await asyncpg.connect(scratch_server.url(name))
    await _do(
        scratch_server.url(name),
        "delete from role",
        "insert into label values ('1', 'main', 'A', 'a', '', ''), ('2', 'main', 'B', 'b', '', '')",
        "insert into label_member values ('1', '1.2', '', '', 'main', 'who', 'now')",
    )

    scratch_server.drop(name)
    again = scratch_server.create()

    assert again == name
    fresh = await look_at(scratch_server.url("box_template"))
    given = await look_at(scratch_server.url(again))
    assert (given.rows, given.sequences) == (fresh.rows, fresh.sequences)
    assert "label" not in given.rows
    assert "role" in given.rows
    idle.terminate()
    scratch_server.drop(again)


async def test_one_with_another_schema_or_with_statistics_is_not_given_again(
    scratch_server: ScratchServer,
) -> None:
    for change in ("create table more (id integer)", "insert into label values ('1', 'a', 'b', 'c', '', '')"):
        name = scratch_server.create()
        await _do(scratch_server.url(name), change, "analyze")

        scratch_server.drop(name)

        other = scratch_server.create()
        assert other != name
        scratch_server.drop(other)
