"""Files that a program uploads: announced, sent whole or in chunks, gone on with, settled."""

import asyncio
import io
import os
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from dicomweb_box.accounts.access import EVERYTHING, Actor, Scope
from dicomweb_box.archive import importing, upload_chunks, upload_settling, uploads
from dicomweb_box.archive.partial_files import PartialFile
from dicomweb_box.archive.reindex import reindex
from dicomweb_box.box import Box
from dicomweb_box.errors import NotFound, OutOfResources
from tests.builders import make_instance, new_uid, pieces
from tests.web.uploading import (
    JSON,
    announced,
    begun,
    content_digest,
    patch,
    sent,
    session_of,
    zipped,
)


def partial_files(box: Box) -> list[Path]:
    return [path for path in (box.settings.data / "uploads").rglob("*") if path.is_file()]


def counts(session: dict[str, Any]) -> tuple[int, ...]:
    return tuple(session[name] for name in ("files", "received", "stored", "already", "skipped", "refused"))


async def begun_with_one(client: httpx.AsyncClient) -> tuple[str, bytes, dict[str, Any]]:
    """A new session, and one instance that is announced in it."""
    session = await begun(client)
    data = make_instance()
    return session, data, await announced(client, session, "a.dcm", len(data))


async def test_a_small_file_is_stored_by_one_request(client: httpx.AsyncClient, box: Box) -> None:
    study = new_uid()
    session = await begun(client)

    file = await sent(client, session, "folder/one.dcm", make_instance(study=study))

    assert (file["state"], file["stored"], file["received"]) == ("stored", 1, file["size"])
    shown = await session_of(client, session)
    assert counts(shown) == (1, 1, 1, 0, 0, 0)
    assert (shown["studies"], shown["active"]) == ([study], False)
    assert shown["received_size"] == shown["size"] == file["size"]
    assert partial_files(box) == []


async def test_a_file_goes_on_where_its_durable_chunks_end(client: httpx.AsyncClient, box: Box) -> None:
    data = make_instance()
    session = await begun(client)
    file = await announced(client, session, "one.dcm", len(data))

    first = await patch(client, file, data[:100], Upload_Complete="?0")
    asked = await client.head(file["address"])
    again = await announced(client, session, "one.dcm", len(data))
    last = await patch(client, file, data[100:], 100)

    assert (first.status_code, first.headers["upload-offset"]) == (204, "100")
    assert first.headers["upload-complete"] == "?0"
    assert (asked.headers["upload-offset"], asked.headers["upload-length"]) == ("100", str(len(data)))
    assert (again["id"], again["received"]) == (file["id"], 100)
    assert again["chunk"]["offset"] == 0
    assert (last.status_code, last.headers["upload-complete"]) == (200, "?1")
    assert last.json()["state"] == "stored"
    assert partial_files(box) == []


async def test_what_is_here_already_is_told_apart_from_what_is_new(client: httpx.AsyncClient) -> None:
    data = make_instance()
    session = await begun(client)

    await sent(client, session, "a.dcm", data)
    twin = await sent(client, session, "b.dcm", data)

    assert (twin["state"], twin["already"]) == ("already", 1)
    assert counts(await session_of(client, session)) == (2, 2, 1, 1, 0, 0)


async def test_a_file_that_was_sent_is_not_asked_for_again(client: httpx.AsyncClient) -> None:
    data = make_instance()
    session = await begun(client)
    await sent(client, session, "a.dcm", data)

    known = await announced(client, session, "a.dcm", len(data))
    other = await announced(client, session, "a.dcm", len(data), modified="2")

    assert (known["state"], known["received"]) == ("stored", len(data))
    assert other["state"] == "waiting"


@pytest.mark.parametrize("whole", [True, False])
async def test_a_wrong_digest_keeps_nothing(client: httpx.AsyncClient, box: Box, whole: bool) -> None:
    data = make_instance()
    session = await begun(client)
    file = await announced(client, session, "a.dcm", len(data))
    part = data if whole else data[:50]

    answer = await patch(client, file, part, Content_Digest=content_digest(b"other"))

    assert answer.status_code == 400
    assert "Content-Digest" in answer.json()["error"]
    assert (await client.head(file["address"])).headers["upload-offset"] == "0"
    assert (await client.get("/studies.json")).json()["studies"] == []
    assert sum(path.stat().st_size for path in partial_files(box)) == 0
    assert (await patch(client, file, data)).json()["state"] == "stored"


async def test_digests_may_be_sha_512_or_unknown_or_none(client: httpx.AsyncClient) -> None:
    session = await begun(client)
    for number, digest in enumerate(("sha-512", "md5=:AAAA:", "")):
        data = make_instance()
        file = await announced(client, session, f"{number}.dcm", len(data))
        told = content_digest(data, "sha512") if digest == "sha-512" else digest
        assert (await patch(client, file, data, Content_Digest=told)).json()["state"] == "stored"


@pytest.mark.parametrize(
    "headers",
    [
        {"Upload-Offset": "x"},
        {"Upload-Offset": "-1"},
        {"Upload-Offset": ""},
        {"Upload-Complete": "yes"},
        {"Content-Digest": "sha-256=abc"},
        {"Content-Digest": "sha-256=:abc:"},
        {"Content-Digest": "sha-256=:AAAA:"},
        {"Content-Encoding": "gzip"},
    ],
    ids=str,
)
async def test_headers_that_cannot_be_meant_are_refused(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    session = await begun(client)
    file = await announced(client, session, "a.dcm", 100)

    answer = await client.patch(
        file["address"], content=b"x" * 10, headers={"Upload-Offset": "0", **JSON, **headers}
    )

    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")


async def test_a_chunk_out_of_order_is_told_where_the_file_goes_on(client: httpx.AsyncClient) -> None:
    session = await begun(client)
    file = await announced(client, session, "a.dcm", 1000)
    await patch(client, file, b"x" * 100)

    for offset in (0, 50, 200):
        answer = await patch(client, file, b"y" * 10, offset)
        assert (answer.status_code, answer.headers["upload-offset"]) == (409, "100")
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert (told["expected-offset"], told["provided-offset"]) == (100, offset)
        assert str(100) in told["error"]


async def test_more_bytes_than_announced_are_refused(client: httpx.AsyncClient, box: Box) -> None:
    session = await begun(client)
    file = await announced(client, session, "a.dcm", 100)

    async def unsized() -> Any:
        for _ in range(3):
            yield b"x" * 60

    assert (await patch(client, file, b"x" * 101)).status_code == 400
    streamed = await client.patch(file["address"], content=unsized(), headers={"Upload-Offset": "0", **JSON})
    assert streamed.status_code == 400
    assert sum(path.stat().st_size for path in partial_files(box)) == 0
    assert (await client.head(file["address"])).headers["upload-offset"] == "0"


async def test_a_last_chunk_that_is_not_the_last_is_refused(client: httpx.AsyncClient) -> None:
    session = await begun(client)
    file = await announced(client, session, "a.dcm", 100)

    answer = await patch(client, file, b"x" * 60, Upload_Complete="?1")

    assert answer.status_code == 400
    assert "40 bytes are missing" in answer.json()["error"]
    assert (await client.head(file["address"])).headers["upload-offset"] == "0"


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


async def test_what_never_is_an_instance_is_not_asked_for(client: httpx.AsyncClient) -> None:
    session = await begun(client)

    for name in ("CD/DICOMDIR", "CD/Thumbs.db", ".DS_Store", "__MACOSX/._a.dcm", "CD\\desktop.ini"):
        file = await announced(client, session, name, 1234)
        assert (file["state"], file["received"]) == ("skipped", 0)

    shown = await session_of(client, session)
    assert (counts(shown), shown["size"]) == ((5, 0, 0, 0, 5, 0), 0)


async def test_what_is_not_dicom_is_left_out_and_what_is_damaged_refused(client: httpx.AsyncClient) -> None:
    session = await begun(client)

    picture = await sent(client, session, "a.png", b"\x89PNG\r\n\x1a\n" + bytes(500))
    tiny = await sent(client, session, "b.txt", b"hi")
    packed = await sent(client, session, "c.tar.gz", b"\x1f\x8b" + bytes(500))
    cut = await sent(client, session, "d.dcm", make_instance()[:-20])
    empty = await announced(client, session, "e.dcm", 0)

    assert [one["state"] for one in (picture, tiny)] == ["skipped", "skipped"]
    assert [one["state"] for one in (packed, cut, empty)] == ["refused"] * 3
    assert "not opened" in packed["message"]
    assert "the data set" in cut["message"]
    assert "empty" in empty["message"]


@pytest.mark.parametrize(
    "path", ["../../../etc/passwd", "/etc/passwd", "C:\\x\\y.dcm", "é/日本.dcm", "<b>.dcm"]
)
async def test_a_path_is_a_name_and_never_a_place(client: httpx.AsyncClient, box: Box, path: str) -> None:
    session = await begun(client)
    data = make_instance()
    file = await announced(client, session, path, len(data))

    await patch(client, file, data[:10])
    [partly] = partial_files(box)
    assert partly == box.settings.data / "uploads" / session.rpartition("/")[2] / file["id"]
    assert (await patch(client, file, data[10:], 10)).json()["path"] == path


@pytest.mark.parametrize(
    "files",
    [
        [],
        "a",
        [{"path": "a"}],
        [{"size": 1}],
        [{"path": "a", "size": "1"}],
        [{"path": "a", "size": -1}],
        [{"path": "a", "size": True}],
        [{"path": "", "size": 1}],
        [{"path": "a\0b", "size": 1}],
        [{"path": "a" * 10_000, "size": 1}],
        [{"path": "a", "size": 1, "modified": [1]}],
        [{"path": "a", "size": 2**60}],
        [{"path": f"{number}", "size": 1} for number in range(1001)],
    ],
    ids=range(13),
)
async def test_an_announcement_that_cannot_be_meant_is_refused(client: httpx.AsyncClient, files: Any) -> None:
    session = await begun(client)

    answer = await client.post(f"{session}/files", json={"files": files}, headers=JSON)

    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert counts(await session_of(client, session)) == (0, 0, 0, 0, 0, 0)


async def test_two_browsers_that_send_one_file_store_it_once(client: httpx.AsyncClient) -> None:
    session, data, file = await begun_with_one(client)

    answers = await asyncio.gather(*(patch(client, file, data) for _ in range(4)))

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert counts(await session_of(client, session)) == (1, 1, 1, 0, 0, 0)


async def test_two_browsers_that_send_one_chunk_write_it_once(client: httpx.AsyncClient, box: Box) -> None:
    _, data, file = await begun_with_one(client)

    answers = await asyncio.gather(*(patch(client, file, data[:100]) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [204, 409, 409]
    assert [path.stat().st_size for path in partial_files(box)] == [100]
    assert (await patch(client, file, data[100:], 100)).json()["state"] == "stored"


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


async def test_listed_files_come_in_pages_and_by_state(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicomweb_box.web import upload_files

    monkeypatch.setattr(upload_files, "MOST_LISTED", 2)
    session = await begun(client)
    for number in range(3):
        await announced(client, session, f"{number}.dcm", 10)
    await announced(client, session, "DICOMDIR", 10)

    first = (await client.get(f"{session}/files.json?state=waiting")).json()
    second = (await client.get(first["next"])).json()
    bad = await client.get(f"{session}/files.json?state=nothing", headers=JSON)

    assert [one["path"] for one in (*first["files"], *second["files"])] == ["2.dcm", "1.dcm", "0.dcm"]
    assert second["next"] is None
    assert bad.status_code == 400


async def test_an_archive_with_too_many_members_is_refused_before_they_are_listed(
    client: httpx.AsyncClient, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MOST_DIRECTORY", 500)
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


async def test_the_sessions_of_others_are_not_seen_by_who_does_not_see_everything(box: Box) -> None:
    carol, bob = (Actor(name=name, kind="user") for name in ("carol", "bob"))
    few = Scope(studies=frozenset())
    made = await uploads.begin(box, "Carol's", scope=few, actor=carol)

    with pytest.raises(NotFound):
        await uploads.session(box, made.id, scope=few, actor=bob)
    assert (await uploads.sessions(box, before="", limit=9, scope=few, actor=bob))[0] == []
    assert (await uploads.session(box, made.id, scope=few, actor=carol)).name == "Carol's"
    administrator = replace(bob, administers=True)
    assert (await uploads.session(box, made.id, scope=EVERYTHING, actor=administrator)).name == "Carol's"
    with pytest.raises(NotFound):
        await uploads.announce(box, made.id, [uploads.Announced(path="a", size=1)], scope=few, actor=bob)


async def test_a_corrected_file_of_the_same_user_is_served_and_of_another_held(box: Box) -> None:
    async def brought(actor: Actor, data: bytes) -> str:
        session = await uploads.begin(box, "", scope=EVERYTHING, actor=actor)
        file = await upload_chunks.take(box, session.id, "a.dcm", pieces(data), scope=EVERYTHING, actor=actor)
        return f"{file.state} {file.message}"

    carol, bob = (Actor(name=name, kind="user") for name in ("carol", "bob"))
    one, corrected, other = (make_instance(instance="1.2.3", PatientID=name) for name in ("A", "B", "C"))

    assert await brought(carol, one) == "stored "
    assert await brought(carol, corrected) == "stored "
    assert "held for a decision" in await brought(bob, other)


async def test_records_outlive_a_rebuilt_index(client: httpx.AsyncClient, box: Box) -> None:
    study = new_uid()
    session = await begun(client)
    await sent(client, session, "a.dcm", make_instance(study=study))

    await reindex(box)

    shown = await session_of(client, session)
    assert (shown["stored"], shown["studies"]) == (1, [study])
