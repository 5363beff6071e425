"""Does `check` see every kind of damage, and does `reindex` bring back the same index?"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING
from dicomweb_box.archive import ingest, remove
from dicomweb_box.archive.check import check
from dicomweb_box.archive.reindex import reindex
from dicomweb_box.box import Box
from tests.archive.test_ingest import store
from tests.builders import make_instance

_TABLES = {
    "study": "study_uid, patient_id, patient_name, study_description, attributes, answer,"
    " modalities, series_count,"
    " instance_count, size, disagreement",
    "series": "series_uid, modality, series_number, attributes, answer, instance_count, size, disagreement",
    "instance": "instance_uid, state, blob_key, size, sha256, dataset_digest, frames,"
    " instance_number, source",
    "study_day": "study_date, study_count",
    "study_modality": "modality, realm, study_date, study_time, study_uid, series_count",
    "series_source": "source, instance_count",
}


async def snapshot(box: Box) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: sorted(tuple(row) for row in await box.database.fetch_all(f"select {columns} from {table}"))
        for table, columns in _TABLES.items()
    }


async def fill(box: Box) -> None:
    for n in range(5):
        await store(
            box,
            make_instance(
                study="1.2.3",
                series=f"1.2.3.{n % 2}",
                instance=f"1.2.3.9.{n}",
                InstanceNumber=n,
                StudyDescription="Chest" if n % 2 else "Thorax",
                SeriesNumber=n % 2,
            ),
            source="first",
        )
    await store(box, make_instance(study="1.2.4", instance="1.2.4.1"), source="first")
    await store(box, make_instance(study="1.2.4", instance="1.2.4.1", PatientID="P9"), source="first")
    await store(box, make_instance(study="1.2.4", instance="1.2.4.1", PatientID="P8"), source="second")


def later(box: Box) -> Any:
    """The same box an hour later, so that no blob counts as under way."""
    import dataclasses

    return dataclasses.replace(box, clock=lambda: datetime.now(UTC) + timedelta(hours=1))


async def test_a_sound_archive_is_sound(box: Box) -> None:
    await fill(box)

    report = await check(later(box))

    assert report.sound
    assert report.instances == 8


async def test_it_names_what_is_missing_damaged_orphaned_and_miscounted(box: Box) -> None:
    await fill(box)
    keys = sorted(key for key, _ in list(box.blobs.keys()))
    path = box.blobs.local_path(keys[1])
    assert path is not None
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    box.blobs.delete(keys[0])
    await box.database.write(
        lambda w: w.execute("update study set instance_count = 99 where study_uid = '1.2.4'")
    )
    orphan = "2020/01/01/0000/0005a1b2c3d4e5-00000000-11111111.dcm"
    box.blobs.put(orphan, [make_instance(study="1.2.5")])

    report = await check(later(box))

    assert report.missing == [keys[0]]
    assert report.damaged == [keys[1]]
    assert report.orphaned == [orphan]
    assert report.miscounted == ["1.2.4"]


async def test_repair_makes_orphans_searchable_and_counts_anew(box: Box) -> None:
    await fill(box)
    box.blobs.put("2020/01/01/0000/0005a1b2c3d4e5-00000000-11111111.dcm", [make_instance(study="1.2.5")])
    await box.database.write(
        lambda w: w.execute("update study set instance_count = 99 where study_uid = '1.2.4'")
    )

    await check(later(box), repair=True)

    assert (await check(later(box))).sound
    assert await box.database.fetch_value("select count(*) from study where study_uid = '1.2.5'") == 1


async def test_a_young_blob_without_a_row_is_a_store_under_way(box: Box) -> None:
    box.blobs.put(ingest.new_key(box.clock(), "first"), [make_instance()])

    assert (await check(box)).sound


async def test_reindex_brings_back_the_same_index(box: Box) -> None:
    await fill(box)
    before = await snapshot(box)

    done = await reindex(box)

    assert done.indexed == 8
    assert done.unreadable == []
    assert await snapshot(box) == before
    assert (await check(later(box))).sound


async def test_reindex_from_the_blobs_alone_decides_as_the_archive_did(box: Box) -> None:
    await fill(box)
    before = await snapshot(box)

    await box.database.write(_lose_everything)
    await reindex(box)

    after = await snapshot(box)
    for table in ("study", "series", "study_day", "study_modality"):
        assert after[table] == before[table], table
    # The sources' names are lost with the database; that they differ is not.
    assert [row[:-1] for row in after["instance"]] == [row[:-1] for row in before["instance"]]


async def _lose_everything(w: Any) -> None:
    for table in ("instance", "series", "study", "study_day"):
        await w.execute(f"delete from {table}")


async def test_reindex_leaves_out_what_was_removed(box: Box) -> None:
    await fill(box)
    await remove.remove(box, "1.2.3", scope=EVERYTHING, actor=ANONYMOUS)

    await reindex(box)

    assert await box.database.fetch_value("select count(*) from study") == 1


async def test_reindex_reports_what_it_cannot_read(box: Box, tmp_path: Path) -> None:
    box.blobs.put("2020/01/01/0000/0005a1b2c3d4e5-00000000-11111111.dcm", [b"not dicom"])

    done = await reindex(box)

    assert done.unreadable == ["2020/01/01/0000/0005a1b2c3d4e5-00000000-11111111.dcm"]
