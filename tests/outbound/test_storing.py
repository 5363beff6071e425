"""Instances stored to a peer: in what it takes, over fresh associations where one ends, told one by one."""

import io
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, MRImageStorage
from pynetdicom import AllStoragePresentationContexts

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING
from dicomweb_box.archive import retrieve_keys
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.retrieve_keys import Found, Keys
from dicomweb_box.box import Box
from dicomweb_box.dicom.transcode import JPEG_LOSSLESS
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.storing import Originator, Result, store_to
from tests.archive.test_corrections import correct, keep
from tests.archive.test_dataset_body import read
from tests.builders import make_dataset, new_uid, part10
from tests.dicom.test_explicit import dataset_offset
from tests.outbound.receiver import NATIVE, peer_of, receiving
from tests.waiting import until

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
J2K = "1.2.840.10008.1.2.4.90"


async def filled(box: Box, count: int = 1, **attributes: Any) -> Found:
    """A study of so many small instances."""
    study, series = new_uid(), new_uid()
    for number in range(1, count + 1):
        ds = make_dataset(study=study, series=series, InstanceNumber=number, **attributes)
        await keep(box, part10(ds))
    return await found(box, study)


async def found(box: Box, study: str) -> Found:
    return await retrieve_keys.find(
        box, Keys(level="study", study_uids=(study,)), scope=EVERYTHING, actor=ANONYMOUS
    )


async def sent(box: Box, peer: Peer, what: Found | AsyncIterator[Instance], **more: Any) -> list[Result]:
    source = what.instances() if isinstance(what, Found) else what
    return [result async for result in store_to(box, peer, source, **more)]


@pytest.mark.dicom("PS3.4 B.2.1")
@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, ExplicitVRBigEndian, J2K])
async def test_a_receiver_that_takes_the_stored_syntax_gets_the_stored_bytes(box: Box, syntax: str) -> None:
    data = (
        (SHIPPED / "examples_jpeg2k.dcm").read_bytes()
        if syntax == J2K
        else part10(make_dataset(), transfer_syntax=syntax)
    )
    stored = await keep(box, data)

    with receiving(syntaxes=(*NATIVE, syntax)) as receiver:
        results = await sent(box, await peer_of(box, receiver), await found(box, stored.study_uid))

    assert [(one.verdict, one.words, one.transfer_syntax_uid) for one in results] == [
        ("stored", "stored", str(syntax))
    ]
    assert receiver.taken[0].dataset == data[dataset_offset(data) :]
    assert receiver.taken[0].originator == (None, None)


@pytest.mark.dicom("PS3.5 10.1")
@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
async def test_a_receiver_of_the_default_transfer_syntax_alone_gets_everything_in_it(
    box: Box, syntax: str
) -> None:
    path = SHIPPED / "JPEG2000.dcm"
    stored = await keep(box, path.read_bytes())

    with receiving(syntaxes=(syntax,)) as receiver:
        results = await sent(box, await peer_of(box, receiver), await found(box, stored.study_uid))

    assert [one.transfer_syntax_uid for one in results] == [syntax]
    ds = read(receiver.taken[0].dataset, syntax)
    assert ds.PatientName == pydicom.dcmread(path).PatientName
    assert len(ds.PixelData) == ds.Rows * ds.Columns * 2


async def test_a_peer_for_uncompressed_alone_is_not_even_offered_another_syntax(box: Box) -> None:
    stored = await keep(box, (SHIPPED / "JPEG2000.dcm").read_bytes())

    with receiving(syntaxes=(*NATIVE, J2K, "1.2.840.10008.1.2.4.91")) as receiver:
        peer = await peer_of(box, receiver, syntaxes="uncompressed")
        results = await sent(box, peer, await found(box, stored.study_uid))

    assert [one.transfer_syntax_uid for one in results] == [EXPLICIT_LITTLE]
    assert receiver.associations == [2]


async def test_a_receiver_of_one_compression_alone_gets_it_encoded(box: Box) -> None:
    instances = await filled(box, 2)

    with receiving(syntaxes=(JPEG_LOSSLESS,)) as receiver:
        results = await sent(box, await peer_of(box, receiver), instances)

    assert [(one.verdict, one.transfer_syntax_uid) for one in results] == [("stored", JPEG_LOSSLESS)] * 2
    assert len(receiver.associations) == 2  # what is cheap to give was asked for first


async def test_what_a_receiver_takes_in_no_way_fails_and_the_rest_goes_on(box: Box) -> None:
    study = new_uid()
    await keep(box, part10(make_dataset(study=study, SeriesNumber=1)))
    await keep(box, part10(make_dataset(study=study, SeriesNumber=2, SOPClassUID=MRImageStorage)))

    with receiving(classes=(str(MRImageStorage),)) as receiver:
        results = await sent(box, await peer_of(box, receiver), await found(box, study))

    assert [(one.verdict, one.again) for one in results] == [("failed", False), ("stored", False)]
    assert results[0].words == "the receiver takes none of the transfer syntaxes it can be given in"


async def test_corrected_values_are_what_is_sent(box: Box) -> None:
    stored = await keep(box, part10(make_dataset()))
    await correct(box, stored.study_uid, PatientID="P77")

    with receiving() as receiver:
        await sent(box, await peer_of(box, receiver), await found(box, stored.study_uid))

    assert read(receiver.taken[0].dataset, EXPLICIT_LITTLE).PatientID == "P77"


@pytest.mark.dicom("PS3.8 9.3.2.2")
async def test_more_contexts_than_an_association_holds_are_spread_over_several(box: Box) -> None:
    study = new_uid()
    classes = [str(one.abstract_syntax) for one in AllStoragePresentationContexts[:70]]
    for uid in classes:
        await keep(box, part10(make_dataset(study=study, SOPClassUID=uid)))

    with receiving(classes=classes) as receiver:
        what = await found(box, study)
        results = await sent(box, await peer_of(box, receiver), what, kinds=what.kinds)

    assert [one.verdict for one in results] == ["stored"] * 70
    assert receiver.associations == [128, 12]


async def test_an_instance_that_an_association_ends_at_is_sent_over_a_fresh_one(box: Box) -> None:
    instances = await filled(box, 6)

    def answer(number: int, event: Any) -> int:
        if number == 3:
            event.assoc.abort()
        return 0

    with receiving(answer=answer) as receiver:
        results = await sent(box, await peer_of(box, receiver), instances)

    assert [one.verdict for one in results] == ["stored"] * 6
    assert len(receiver.associations) == 2


async def test_an_instance_that_associations_end_at_twice_fails_alone(box: Box) -> None:
    instances = await filled(box, 4)

    def answer(number: int, event: Any) -> int:
        if number in (2, 3):
            event.assoc.abort()
        return 0

    with receiving(answer=answer) as receiver:
        results = await sent(box, await peer_of(box, receiver), instances)

    assert [(one.verdict, one.again) for one in results] == [
        ("stored", False),
        ("failed", True),
        ("stored", False),
        ("stored", False),
    ]


async def test_a_peer_that_ends_every_association_is_left_alone(box: Box) -> None:
    instances = await filled(box, 9)

    def answer(number: int, event: Any) -> int:
        event.assoc.abort()
        return 0

    with receiving(answer=answer) as receiver:
        results = await sent(box, await peer_of(box, receiver), instances)

    assert [(one.verdict, one.again) for one in results] == [("failed", True)] * 9
    assert receiver.asked <= 8


@pytest.mark.dicom("PS3.7 C.5")
@pytest.mark.parametrize(
    ("status", "verdict", "again", "words"),
    [
        (0xA700, "failed", True, "the receiver is out of resources (A700)"),
        (0xA900, "failed", False, "the receiver finds that the data set does not match its SOP class (A900)"),
        (0xC123, "failed", False, "the receiver cannot understand the data set (C123)"),
        (0x0124, "failed", False, "the receiver does not let us store (0124)"),
        (0xB000, "warning", False, "stored, with attributes coerced (B000)"),
    ],
)
async def test_the_status_of_each_is_told_in_words(
    box: Box, status: int, verdict: str, again: bool, words: str
) -> None:
    instances = await filled(box, 3)

    with receiving(answer=lambda number, _: status if number == 2 else 0) as receiver:
        results = await sent(box, await peer_of(box, receiver), instances)

    assert [one.verdict for one in results] == ["stored", verdict, "stored"]
    assert (results[1].status, results[1].again, results[1].words) == (status, again, words)


async def test_a_peer_that_is_not_there_fails_each_at_once_and_may_be_there_later(box: Box) -> None:
    instances = await filled(box, 3)
    with socket.create_server(("127.0.0.1", 0)) as nobody, receiving() as receiver:
        receiver.port = nobody.getsockname()[1]
        nobody.close()

        results = await sent(box, await peer_of(box, receiver), instances)

    assert [(one.verdict, one.status, one.again) for one in results] == [("failed", None, True)] * 3
    assert "could not be reached" in results[0].words


async def test_bytes_that_are_gone_fail_alone(box: Box) -> None:
    instances = await filled(box, 3)
    kept = [one async for one in instances.instances()]
    box.blobs.delete(kept[1].blob_key)

    with receiving() as receiver:
        results = await sent(box, await peer_of(box, receiver), instances)

    assert [one.verdict for one in results] == ["stored", "failed", "stored"]
    assert results[1].words == "it cannot be given: the stored bytes of an instance are missing"
    assert len(receiver.associations) == 1


async def test_several_associations_share_the_instances(box: Box) -> None:
    instances = await filled(box, 12)

    with receiving() as receiver:
        peer = await peer_of(box, receiver, associations=3)
        results = await sent(box, peer, instances, parallel=8)

    assert [one.verdict for one in results] == ["stored"] * 12
    assert sorted(receiver.uids) == sorted([one.instance_uid async for one in instances.instances()])
    assert len(receiver.associations) == 3


async def test_a_peer_that_serves_one_association_at_a_time_gets_all_over_that(box: Box) -> None:
    instances = await filled(box, 8)

    with receiving(most=1) as receiver:
        peer = await peer_of(box, receiver, associations=4, connect_timeout=5)
        results = await sent(box, peer, instances, parallel=4)

    assert [one.verdict for one in results] == ["stored"] * 8


async def test_what_another_association_cannot_do_any_more_is_left_to_the_first(box: Box) -> None:
    instances = await filled(box, 30)
    firsts: list[object] = []
    ended: list[object] = []

    def answer(number: int, event: Any) -> int:
        firsts.append(event.assoc)
        if event.assoc is not firsts[0] and not ended:
            # Out of work for a second association from now on.
            ended.append(event.assoc)
            event.assoc.ae.maximum_associations = 1
            event.assoc.abort()
        if len(firsts) > 1:
            until(lambda: ended)  # the first one goes on once the second has come
        return 0

    with receiving(answer=answer) as receiver:
        peer = await peer_of(box, receiver, connect_timeout=3)
        results = await sent(box, peer, instances, parallel=2)

    assert ended
    assert [one.verdict for one in results] == ["stored"] * 30


@pytest.mark.dicom("PS3.7 9.1.1.1")
async def test_who_asked_for_the_move_is_told_to_the_receiver(box: Box) -> None:
    instances = await filled(box)

    with receiving() as receiver:
        asked_by = Originator(ae_title="WORKSTATION", message_id=77)
        await sent(box, await peer_of(box, receiver), instances, originator=asked_by)

    assert receiver.taken[0].originator == ("WORKSTATION", 77)


async def test_who_takes_no_more_results_stops_the_sending(box: Box) -> None:
    instances = await filled(box, 40)

    with receiving() as receiver:
        peer = await peer_of(box, receiver)
        async with aclosing(store_to(box, peer, instances.instances())) as results:
            async for _ in results:
                break

    assert len(receiver.taken) < 40


async def test_an_instance_of_many_pieces_comes_whole(box: Box) -> None:
    pixels = bytes(range(256)) * (5 << 12)
    ds = make_dataset(Rows=2560, Columns=1024, PixelData=pixels)
    stored = await keep(box, part10(ds))

    with receiving() as receiver:
        await sent(box, await peer_of(box, receiver), await found(box, stored.study_uid))

    assert read(receiver.taken[0].dataset, EXPLICIT_LITTLE).PixelData == pixels
    assert pydicom.dcmread(io.BytesIO(part10(ds))).PixelData == pixels
