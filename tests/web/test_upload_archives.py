"""Archives of files that a browser sends: unpacked by the worker, and refused where they are no good."""

import io
import zipfile
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from dicomweb_box.archive import packed, upload_settling
from dicomweb_box.box import Box
from dicomweb_box.errors import OutOfResources
from tests.builders import make_instance, new_uid
from tests.web.uploading import (
    begun,
    counts,
    partial_files,
    sent,
    session_of,
    zipped,
)


async def test_an_archive_is_unpacked_by_the_worker(client: httpx.AsyncClient, box: Box) -> None:
    data = make_instance()
    study = new_uid()
    archive = zipped(
        a__one_dot_dcm=make_instance(study=study),
        a__two_dot_dcm=make_instance(study=study),
        a__again_dot_dcm=data,
        a__notes_dot_txt=b"Words for people, none of them DICOM.",
        a__DICOMDIR=b"any",
        a__cut_dot_dcm=make_instance()[:200],
        a__inner_dot_zip=zipped(x_dot_dcm=make_instance()),
    )
    session = await begun(client)
    await sent(client, session, "again.dcm", data)

    arrived = await sent(client, session, "study.zip", archive)
    assert (arrived["state"], (await session_of(client, session))["active"]) == ("arrived", True)
    assert await upload_settling.settle_arrived(box) == 1

    settled = (await client.get(arrived["address"])).json()
    assert settled["state"] == "unpacked"
    assert [settled[name] for name in ("stored", "already", "skipped", "refused")] == [2, 1, 2, 2]
    shown = await session_of(client, session)
    assert counts(shown) == (2, 2, 3, 1, 2, 2)
    assert study in shown["studies"]
    refused = (await client.get(f"{session}/files.json?state=refused")).json()["files"]
    assert {one["path"] for one in refused} == {"study.zip!a/cut.dcm", "study.zip!a/inner.zip"}
    assert any("archive within an archive" in one["message"] for one in refused)
    assert partial_files(box) == []
    assert await upload_settling.settle_arrived(box) == 0


@pytest.mark.parametrize("cut", ["before", "between", "behind"])
async def test_an_archive_says_so_where_its_list_leaves_members_out(
    client: httpx.AsyncClient, box: Box, cut: str
) -> None:
    session = await begun(client)

    file = await sent(client, session, "study.zip", leaving_out(cut))
    await upload_settling.settle_arrived(box)

    settled = (await client.get(file["address"])).json()
    assert (settled["state"], settled["stored"], settled["refused"]) == ("unpacked", 2, 1)
    [refused] = (await client.get(f"{session}/files.json?state=refused")).json()["files"]
    assert refused["path"] == "study.zip!what its list does not name"
    assert "pack it anew" in refused["message"]


class Pipe(io.BytesIO):
    """Where nobody can go back: sizes are written behind the data."""

    def tell(self) -> int:
        raise OSError("not seekable")


def leaving_out(cut: str) -> bytes:
    """An archive of three instances, one of which its list does not name."""
    made = Pipe()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.dcm", make_instance())
        del archive.filelist[["before", "between", "behind"].index(cut)]
    return made.getvalue()


async def test_an_archive_behind_another_says_so(client: httpx.AsyncClient, box: Box) -> None:
    session = await begun(client)
    both = zipped(a_dot_dcm=make_instance()) + zipped(b_dot_dcm=make_instance())

    file = await sent(client, session, "both.zip", both)
    await upload_settling.settle_arrived(box)

    settled = (await client.get(file["address"])).json()
    assert (settled["stored"], settled["refused"]) == (1, 1)


async def test_a_damaged_archive_is_refused(client: httpx.AsyncClient, box: Box) -> None:
    session = await begun(client)
    archive = zipped(a=make_instance())

    file = await sent(client, session, "a.zip", archive[: len(archive) - 30])
    await upload_settling.settle_arrived(box)

    settled = (await client.get(file["address"])).json()
    assert (settled["state"], settled["message"]) == ("refused", "the archive is damaged")
    assert counts(await session_of(client, session)) == (1, 1, 0, 0, 0, 1)


async def test_an_archive_with_too_many_members_is_refused_before_they_are_listed(
    client: httpx.AsyncClient, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MOST_DIRECTORY", 500)
    session = await begun(client)
    few = await sent(
        client, session, "few.zip", zipped(**{f"{n}_dot_dcm": make_instance() for n in range(5)})
    )
    many = await sent(client, session, "many.zip", zipped(**{f"{n}_dot_txt": b"x" for n in range(50)}))
    await upload_settling.settle_arrived(box)

    assert (await client.get(few["address"])).json()["stored"] == 5
    refused = (await client.get(many["address"])).json()
    assert (refused["state"], "too many members" in refused["message"]) == ("refused", True)


async def test_a_bomb_is_refused_member_by_member(client: httpx.AsyncClient, box: Box) -> None:
    session = await begun(client)
    bomb = zipped(zeros_dot_dcm=bytes(80 << 20), good_dot_dcm=make_instance())
    file = await sent(client, session, "bomb.zip", bomb)
    await upload_settling.settle_arrived(box)

    settled = (await client.get(file["address"])).json()
    assert [settled[name] for name in ("state", "stored", "refused")] == ["unpacked", 1, 1]
    [refused] = (await client.get(f"{session}/files.json?state=refused")).json()["files"]
    assert "times its size" in refused["message"]


async def test_an_archive_waits_for_room_and_is_unpacked_then(
    client: httpx.AsyncClient, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await begun(client)
    file = await sent(client, session, "a.zip", zipped(a_dot_dcm=make_instance()))

    def full(*arguments: Any) -> None:
        raise OutOfResources("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(box.blobs, "put", full)
        assert await upload_settling.settle_arrived(box) == 0
    waiting = (await client.get(file["address"])).json()
    assert (waiting["state"], "storage is full" in waiting["message"]) == ("arrived", True)
    assert await upload_settling.settle_arrived(box) == 0  # only a minute later

    later = replace(box, clock=lambda: box.clock() + timedelta(minutes=2))
    assert await upload_settling.settle_arrived(later) == 1
    assert (await client.get(file["address"])).json()["state"] == "unpacked"
