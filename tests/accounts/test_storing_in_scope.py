"""What somebody who sees a part of the archive may bring into it."""

from dataclasses import replace

import pytest

from dicomweb_box.accounts.access import EVERYTHING, SYSTEM, Actor, Scope
from dicomweb_box.archive import given_labels, ingest, labelling, reject, upload_chunks, uploads
from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.archive.query import search
from dicomweb_box.box import Box
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.errors import FailureReason, NotFound
from tests.builders import make_instance, new_uid, pieces

ALICE = Actor(name="alice", kind="user")


async def bring(box: Box, source: str, scope: Scope = EVERYTHING, **what: str) -> Outcome:
    received = await ingest.receive(box, pieces(make_instance(**what)))
    return await ingest.store(box, received, source=source, actor=SYSTEM, scope=scope)


def is_refused(outcome: Outcome) -> bool:
    return isinstance(outcome, Refused) and outcome.reason == FailureReason.NOT_AUTHORIZED


async def seen(box: Box, scope: Scope) -> set[str]:
    query, _ = from_parameters("instance", [], {})
    page = await search(box, query, scope=scope, actor=SYSTEM)
    return {row.decode().split('"00080018":{"vr":"UI","Value":["')[1].split('"')[0] for row in page.rows}


async def test_nothing_is_put_into_a_study_that_is_not_seen(box: Box) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    await bring(box, "a", study=study, series=series, instance=instance)
    mine = Scope(sources=frozenset({"b"}))

    assert is_refused(await bring(box, "b", mine, study=study))
    assert is_refused(await bring(box, "b", mine, series=series, study=study))
    assert is_refused(await bring(box, "b", mine, instance=instance))  # in another study
    assert is_refused(await bring(box, "a", mine))  # it would not be seen
    assert isinstance(await bring(box, "b", mine), Stored)
    assert await seen(box, Scope(sources=frozenset({"a"}))) == {instance}


async def test_a_part_by_studies_says_the_same_of_what_is_not_there(box: Box) -> None:
    study, other, missing = new_uid(), new_uid(), new_uid()
    await bring(box, "a", study=study)
    await bring(box, "a", study=other)
    mine = Scope(studies=frozenset({study}))

    refused = [await bring(box, "b", mine, study=uid) for uid in (other, missing)]
    assert all(map(is_refused, refused))
    assert len({one.message for one in refused if isinstance(one, Refused)}) == 1
    assert isinstance(await bring(box, "b", mine, study=study), Stored)


async def test_what_is_not_seen_is_not_replaced_nor_told_to_be_there_already(box: Box) -> None:
    uids = {"study": new_uid(), "series": new_uid(), "instance": new_uid()}
    await bring(box, "a", **uids)
    mine = Scope(labels=(frozenset({"trial"}),))

    assert is_refused(await bring(box, "b", mine, **uids))
    assert is_refused(await bring(box, "b", mine, **uids, PatientName="Other^Body"))
    target = reject.Target(study_uid=uids["study"])
    why = reject.Why(reason="113001")
    await reject.reject(box, target, why, scope=EVERYTHING, actor=SYSTEM)
    assert is_refused(await bring(box, "b", mine, **uids))


async def test_several_instances_of_one_sender_come_in_before_they_are_seen(box: Box) -> None:
    study, series = new_uid(), new_uid()
    mine = Scope(labels=(frozenset({"trial"}),))

    for _ in range(2):
        assert isinstance(await bring(box, "a", mine, study=study, series=series), Stored)
    assert await seen(box, mine) == set()


async def test_an_upload_labels_what_it_brought_and_not_the_rest_of_a_study(box: Box) -> None:
    study, theirs, mine = new_uid(), new_uid(), new_uid()
    scope = Scope(labels=(frozenset({"trial"}),))
    await bring(box, "a", study=study, series=theirs)
    await labelling.change(box, [(study, theirs)], add=["trial"], scope=EVERYTHING, actor=SYSTEM)
    await bring(box, "a", study=study)

    session = await uploads.begin(box, "", given=["Trial", "more"], scope=scope, actor=ALICE)
    made = make_instance(study=study, series=mine)
    file = await upload_chunks.take(box, session.id, "a.dcm", pieces(made), scope=scope, actor=ALICE)

    assert file.state == "stored"
    held = await given_labels.of_studies(box, [study], scope=EVERYTHING, actor=SYSTEM)
    assert {at: [one.name for one in named] for at, named in held.items()} == {
        (study, theirs): ["trial"],
        (study, mine): ["more", "trial"],
    }
    other = await upload_chunks.take(
        box, session.id, "b.dcm", pieces(make_instance(study=await elsewhere(box))), scope=scope, actor=ALICE
    )
    assert other.state == "refused"


async def elsewhere(box: Box) -> str:
    study = new_uid()
    await bring(box, "a", study=study)
    return study


async def test_an_upload_is_of_who_began_it_and_of_administrators(box: Box) -> None:
    session = await uploads.begin(box, "Alice's", scope=EVERYTHING, actor=ALICE)
    bob = Actor(name="bob", kind="user")
    program = Actor(name="alice", kind="token")

    for other in (bob, program):
        with pytest.raises(NotFound):
            await uploads.session(box, session.id, scope=EVERYTHING, actor=other)
    administrator = replace(bob, administers=True)
    for may in (ALICE, administrator):
        assert (await uploads.session(box, session.id, scope=EVERYTHING, actor=may)).name == "Alice's"
    with pytest.raises(NotFound):
        await uploads.session(box, session.id, scope=Scope(labels=(frozenset(),)), actor=administrator)


@pytest.mark.parametrize(
    "scope",
    [
        EVERYTHING,
        Scope(studies=frozenset({"1.2"})),
        Scope(sources=frozenset(), labels=(frozenset({"a", "b"}), frozenset())),
    ],
)
def test_a_scope_is_kept_with_an_upload(scope: Scope) -> None:
    assert uploads.scope_of(uploads.kept_scope(scope), "main") == scope
