"""Files that a program uploads: announced, sent whole or in chunks, gone on with, settled."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from dicomweb_box.accounts.access import EVERYTHING, Actor, Scope
from dicomweb_box.archive import upload_chunks, uploads
from dicomweb_box.box import Box
from dicomweb_box.errors import NotFound
from tests.builders import make_instance, new_uid, pieces
from tests.web.uploading import (
    JSON,
    announced,
    begun,
    begun_with_one,
    content_digest,
    counts,
    partial_files,
    patch,
    sent,
    session_of,
)


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
