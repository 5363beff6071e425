"""A durable blob's rows, in a transaction shared with those who wait, and what its sender is told of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import index
from dicomweb_box.archive.arrival import recompressed
from dicomweb_box.archive.digests import dataset_equal
from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.archive.series_dictionary import Dictionaries
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import GroupCommit, Writer
from dicomweb_box.errors import FailureReason


class RowWriter(GroupCommit[index.Arrival, index.Result]):
    """This process's group commit of arrived instances."""

    under_way = 0
    """Instances that are being stored now; of several, none is written alone: they are to share."""

    def now_if_alone(self, arrival: index.Arrival) -> index.Result | None:
        """What became of an arrival whose rows are written now, in the calling thread; None: not yet."""
        done = self.now(arrival) if self.under_way == 1 else None
        return None if done is None else done[0]


async def _apply(box: Box, w: Writer, arrivals: Sequence[index.Arrival]) -> Sequence[index.Result]:
    """The rows of a group, and in the same transaction who brought how much of which study."""
    results = await index.apply(w, arrivals)
    told = Counter(
        (one.by.name, one.by.kind, one.by.address, one.study_uid, isinstance(result, index.Held))
        for one, result in zip(arrivals, results, strict=True)
        if one.by is not None and isinstance(result, index.Indexed | index.Held)
    )
    for (name, kind, address, study_uid, held), count in told.items():
        entry = audit.Entry(
            actor=Actor(name=name, kind=kind, address=address),
            action=Action.STORE,
            study=study_uid,
            about={"held": count} if held else {},
            count=count,
        )
        await audit.record(w, box, entry)
    return results


def row_writer(box: Box) -> RowWriter:
    """The one of this process; ask for it on the event loop."""
    return box.resource(RowWriter, lambda box: RowWriter(box.database, partial(_apply, box)))


async def make_searchable(box: Box, arrival: index.Arrival, result: index.Result | None = None) -> Outcome:
    """Write the rows of a durable blob, unless this result came of it already; the outcome is durable too.

    A data set held already gives its blob up.
    """
    dictionaries = box.resource(Dictionaries, Dictionaries)
    key = (arrival.realm, arrival.study_uid, arrival.series_uid)
    while True:
        if result is None:
            result = await row_writer(box)(arrival)
        if isinstance(result, index.StaleDictionary):
            arrival = await in_thread(box, recompressed, dictionaries.learn(key, result.dictionary), arrival)
        elif isinstance(result, index.SameDigest):
            if await in_thread(box, dataset_equal, box, arrival.columns, result):
                return await _again(box, arrival, result)
            arrival = replace(arrival, different=True)
        else:
            break
        result = None
    if isinstance(result, index.Outside):
        await in_thread(box, box.blobs.delete, arrival.columns["blob_key"])
        return replace(_held(arrival, _NOT_YOURS), held=False, reason=FailureReason.NOT_AUTHORIZED)
    if isinstance(result, index.Held):
        return _held(arrival, _REJECTED if result.rejected else _OTHER)
    if result.dictionary is not None:
        dictionaries.learn(key, result.dictionary)
    return _stored(arrival, replaced=result.replaced)


async def _again(box: Box, arrival: index.Arrival, twin: index.SameDigest) -> Outcome:
    """The same data set as before: nothing to keep. A held one stays held, and its sender is told
    so again.
    """
    await in_thread(box, box.blobs.delete, arrival.columns["blob_key"])
    if twin.state == "held":
        return _held(arrival)
    if twin.state == "rejected":
        return _refused_as_rejected(arrival)
    return _stored(arrival, already=True)


def _stored(arrival: index.Arrival, *, already: bool = False, replaced: bool = False) -> Stored:
    return Stored(
        study_uid=arrival.study_uid,
        series_uid=arrival.series_uid,
        instance_uid=arrival.instance_uid,
        sop_class_uid=arrival.columns["sop_class_uid"],
        already=already,
        replaced=replaced,
        warnings=tuple(filter(None, arrival.columns["warnings"].split("\n"))),
    )


_OTHER = "another data set is served under this SOP Instance UID; this one is held for a decision"
_REJECTED = "the instance of this SOP Instance UID was rejected here; this other one is held for a decision"
_NOT_YOURS = "it belongs to what is outside of the part of the archive that you may store into"
_STAYS_REJECTED = "this instance was rejected here and stays so until a person restores it"


def _held(arrival: index.Arrival, message: str = _OTHER) -> Refused:
    return Refused(
        reason=FailureReason.DUPLICATE_INSTANCE,
        message=message,
        study_uid=arrival.study_uid,
        sop_class_uid=arrival.columns["sop_class_uid"],
        instance_uid=arrival.instance_uid,
        sha256=arrival.columns["sha256"].hex(),
        held=True,
    )


def _refused_as_rejected(arrival: index.Arrival) -> Refused:
    return replace(_held(arrival, _STAYS_REJECTED), held=False)
