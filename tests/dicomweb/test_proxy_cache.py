"""What was fetched of a peer is bounded, and never part of the archive."""

from dataclasses import replace
from datetime import timedelta

import httpx

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.archive import check, proxied, status
from dicomweb_box.archive.inventory import count, latest
from dicomweb_box.archive.reindex import reindex
from dicomweb_box.archive.remove import drain_removals
from dicomweb_box.box import Box
from dicomweb_box.outbound import peers
from tests.dicomweb.proxied import path, proxy
from tests.outbound.remote import north, study


async def test_the_archive_shows_nothing_of_it(box: Box) -> None:
    theirs = study(3)
    async with proxy(box, *theirs) as (_, client):
        await client.get(f"/studies/{theirs[0].StudyInstanceUID}")
        assert await box.database.fetch_value("select count(*) from instance") == 3

        own = httpx.URL("http://localhost/")
        for where in ("dicom-web/studies", "dicom-web/series", "dicom-web/instances"):
            assert (await client.get(own.join(where))).json() == []
            assert (await client.get(own.join(f"{where}/count"))).json() == {"count": 0}
        for where in (f"dicom-web{path(theirs[0])}", f"dicom-web{path(theirs[0])}/metadata"):
            assert (await client.get(own.join(where))).status_code == 404
        assert theirs[0].StudyInstanceUID not in (await client.get(own.join("studies"))).text
        assert (await client.get(own.join(f"studies/{theirs[0].StudyInstanceUID}"))).status_code == 404

    numbers = await status.numbers(box)
    assert (numbers.studies, numbers.waiting, numbers.changes) == (0, 0, 0)
    await count(box)
    found = await latest(box)
    assert (found.studies, found.instances, [number for _, number in found.arrived]) == (0, 0, [0])


async def test_a_check_and_a_rebuilt_index_leave_it_out(box: Box) -> None:
    theirs = study(2)
    async with proxy(box, *theirs) as (_, client):
        await client.get(f"/studies/{theirs[0].StudyInstanceUID}")
        report = await check.check(box)
        assert (report.instances, report.sound) == (0, True)

        await reindex(box)

    assert await box.database.fetch_value("select count(*) from instance") == 0
    await drain_removals(box)
    assert list(box.blobs.keys()) == []


async def test_a_peer_of_the_same_name_does_not_inherit_it(box: Box) -> None:
    (one,) = study(1)
    async with proxy(box, one) as (there, client):
        assert (await client.get(path(one))).status_code == 200
        await peers.remove(box, "north", actor=SYSTEM)
        there.held.clear()
        await north(box, there, proxy=True)

        assert (await client.get(path(one))).status_code == 404


async def test_the_audit_tells_who_read_and_of_which_peer(box: Box) -> None:
    (one,) = study(1)
    async with proxy(box, one) as (_, client):
        await client.get(path(one))
    await reads(box).write(all_of_it=True)

    rows = await box.database.fetch_all("select action, study_uid, about from audit order by id")
    told = [(row["action"], row["study_uid"], row["about"]) for row in rows if row["action"] == "retrieve"]
    assert told == [("retrieve", one.StudyInstanceUID, '{"peer": "north"}')]
    assert "store" not in {row["action"] for row in rows}


# The cache


async def test_what_was_used_longest_ago_goes_first(box: Box) -> None:
    first, second = study(2), study(2)
    async with proxy(box, *first, *second) as (_, client):
        for one in (first[0], second[0]):
            await client.get(f"/studies/{one.StudyInstanceUID}")
        held = await proxied.size(box)
        small = replace(box, settings=replace(box.settings, proxy_cache=held - 1))
        assert await proxied.make_room(small) == 0  # both are in use

        await box.database.write(
            lambda w: w.execute(
                "update proxied_study set used_at = '2020-01-0' || case when study_uid = :first"
                " then '1' else '2' end",
                {"first": first[0].StudyInstanceUID},
            )
        )
        assert await proxied.make_room(small) == 1

        rows = await box.database.fetch_all("select study_uid from study")
        assert [row["study_uid"] for row in rows] == [second[0].StudyInstanceUID]


async def test_what_came_a_day_ago_goes(box: Box) -> None:
    theirs = study(2)
    async with proxy(box, *theirs) as (_, client):
        await client.get(path(theirs[0]))
        later = replace(box, clock=lambda: box.clock() + timedelta(minutes=6))
        assert await proxied.make_room(later) == 0
        tomorrow = replace(box, clock=lambda: box.clock() + timedelta(days=1, minutes=6))
        assert await proxied.make_room(tomorrow) == 1

    assert await box.database.fetch_value("select count(*) from instance") == 0
    assert await box.database.fetch_value("select count(*) from study_day where study_count > 0") == 0


async def test_what_somebody_who_died_stored_is_known_and_goes_too(box: Box) -> None:
    theirs = study(2)
    async with proxy(box, *theirs) as (_, client):
        await client.get(path(theirs[0]))
    await box.database.write(lambda w: w.execute("delete from proxied_study"))

    assert await proxied.make_room(box) == 0
    assert await box.database.fetch_value("select count(*) from proxied_study") == 1
