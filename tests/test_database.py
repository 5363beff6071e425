"""The same words mean the same on SQLite and PostgreSQL."""

from dicomweb_box.database import Database


async def test_it_counts(database: Database):
    assert await database.fetch_value("select count(*) from study") == 0
