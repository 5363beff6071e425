"""What is left of an upload where a process died, a browser went away or the disk was full."""

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from dicomweb_box.archive import upload_settling
from dicomweb_box.archive.partial_files import PartialFile
from dicomweb_box.archive.reindex import reindex
from dicomweb_box.box import Box
from dicomweb_box.errors import OutOfResources
from tests.builders import make_instance, new_uid
from tests.web.uploading import (
    JSON,
    announced,
    begun,
    begun_with_one,
    counts,
    partial_files,
    patch,
    sent,
    session_of,
)


async def test_what_a_dead_process_wrote_behind_the_durable_bytes_is_cut_away(
    client: httpx.AsyncClient, box: Box
) -> None:
    _, data, file = await begun_with_one(client)
    await patch(client, file, data[:100])
    [partly] = partial_files(box)
    with partly.open("ab") as torn:
        torn.write(b"rest of a chunk that broke off")

    assert (await patch(client, file, data[100:], 100)).json()["state"] == "stored"


async def test_a_file_whose_bytes_are_not_here_any_more_begins_anew(
    client: httpx.AsyncClient, box: Box
) -> None:
    session, data, file = await begun_with_one(client)
    await patch(client, file, data[:100])
    partial_files(box)[0].unlink()

    lost = await patch(client, file, data[100:], 100)

    assert (lost.status_code, lost.headers["upload-offset"]) == (409, "0")
    assert (await session_of(client, session))["received_size"] == 0
    assert (await patch(client, file, data)).json()["state"] == "stored"


async def test_a_file_that_arrived_before_its_process_died_is_stored_by_the_worker(
    client: httpx.AsyncClient, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, data, file = await begun_with_one(client)
    await patch(client, file, data[:100])

    async def dies(*arguments: Any, **more: Any) -> None:
        raise KeyError("as if the process ended here")

    with monkeypatch.context() as patched:
        patched.setattr(upload_settling, "settle", dies)
        assert (await patch(client, file, data[100:], 100)).status_code == 500
    assert (await client.get(file["address"])).json()["state"] == "arrived"

    assert await upload_settling.settle_arrived(box) == 1
    assert (await client.get(file["address"])).json()["state"] == "stored"
    assert counts(await session_of(client, session)) == (1, 1, 1, 0, 0, 0)


async def test_a_session_removed_meanwhile_takes_its_partial_files_along(
    client: httpx.AsyncClient, box: Box
) -> None:
    session, data, file = await begun_with_one(client)
    await patch(client, file, data[:100])

    assert (await client.delete(session, headers=JSON)).status_code == 200

    assert partial_files(box) == []
    for answer in (
        await patch(client, file, data[100:], 100),
        await client.get(f"{session}.json"),
        await client.post(f"{session}/files", json={"files": [{"path": "a", "size": 1}]}, headers=JSON),
        await client.delete(session, headers=JSON),
    ):
        assert answer.status_code == 404
    assert partial_files(box) == []


async def test_what_never_became_complete_is_given_up_after_a_week_and_begins_again(
    client: httpx.AsyncClient, box: Box
) -> None:
    session, data, file = await begun_with_one(client)
    await patch(client, file, data[:100])

    assert await upload_settling.expire(box) == 0
    later = replace(box, clock=lambda: box.clock() + upload_settling.KEPT + timedelta(hours=1))
    assert await upload_settling.expire(later) == 1

    assert partial_files(box) == []
    assert (await client.get(file["address"])).json()["state"] == "expired"
    shown = await session_of(client, session)
    assert (shown["active"], shown["refused"], shown["received_size"]) == (False, 1, 0)
    again = await announced(client, session, "a.dcm", len(data))
    assert (again["id"], again["state"], again["received"]) == (file["id"], "waiting", 0)
    assert (await patch(client, again, data)).json()["state"] == "stored"
    assert counts(await session_of(client, session)) == (1, 1, 1, 0, 0, 0)


async def test_partial_files_that_no_record_knows_are_deleted_after_a_week(box: Box) -> None:
    stray = box.settings.data / "uploads" / "gone" / "file"
    fresh = box.settings.data / "uploads" / "new" / "file"
    for path in (stray, fresh):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    os.utime(stray, (0, 0))

    await upload_settling.expire(box)

    assert partial_files(box) == [fresh]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_full_disk_is_507_and_the_file_goes_on_later(
    client: httpx.AsyncClient, box: Box, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    _, data, file = await begun_with_one(client)
    offset = 0 if whole else 100
    if not whole:
        await patch(client, file, data[:100])

    def full(*arguments: Any) -> None:
        raise OutOfResources("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(box.blobs, "put", full)
        patched.setattr(PartialFile, "write", full)
        answer = await patch(client, file, data[offset:], offset)
        assert (answer.status_code, list(answer.json())) == (507, ["error"])
    assert (await client.head(file["address"])).headers["upload-offset"] == str(offset)

    assert (await patch(client, file, data[offset:], offset)).json()["state"] == "stored"


async def test_records_outlive_a_rebuilt_index(client: httpx.AsyncClient, box: Box) -> None:
    study = new_uid()
    session = await begun(client)
    await sent(client, session, "a.dcm", make_instance(study=study))

    await reindex(box)

    shown = await session_of(client, session)
    assert (shown["stored"], shown["studies"]) == (1, [study])
