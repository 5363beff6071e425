"""Answers that are remembered say nothing that is no longer so."""

from dicomweb_box.box import Box
from tests.builders import make_instance, new_uid
from tests.dicomweb.doors import client_of, post

NATIVE = {"Accept": "application/octet-stream"}


async def test_a_frame_asked_for_again_follows_replacement_and_removal(box: Box) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    path = f"/studies/{study}/series/{series}/instances/{instance}"
    one, other = bytes(range(32)), bytes(range(32, 64))

    async def store(pixels: bytes) -> None:
        await post(
            box,
            make_instance(study=study, series=series, instance=instance, PixelData=pixels),
            content_type="application/dicom",
        )

    await store(one)
    async with client_of(box) as client:
        first = [(await client.get(f"{path}/frames/1", headers=NATIVE)).content for _ in range(2)]
        metadata = [(await client.get(f"{path}/metadata")).json() for _ in range(2)]
        await store(other)
        second = await client.get(f"{path}/frames/1", headers=NATIVE)
        await client.delete(path)
        gone = [(await client.get(f"{path}{tail}")).status_code for tail in ("", "/frames/1", "/metadata")]

    assert first == [one, one]
    assert metadata[0] == metadata[1]
    assert second.content == other
    assert gone == [404, 404, 404]


async def test_one_address_has_an_answer_for_each_accept(box: Box) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    await post(
        box,
        make_instance(study=study, series=series, instance=instance),
        content_type="application/dicom",
    )
    path = f"/studies/{study}/series/{series}/instances/{instance}/frames/1"

    async with client_of(box) as client:
        kinds = [
            (await client.get(path, headers={"Accept": accept})).headers["content-type"].partition(";")[0]
            for accept in ("application/octet-stream", 'multipart/related; type="*/*"') * 2
        ]
        refused = await client.get(path, headers={"Accept": "text/html"})

    assert kinds == ["application/octet-stream", "multipart/related"] * 2
    assert refused.status_code == 406
