"""Whatever part of an archive a peer may see: nothing of C-FIND, C-GET and C-MOVE tells of the rest."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from hypothesis import given

from dicomweb_box.outbound.services import EVERY_SERVICE
from dicomweb_box.upper_layer import commands
from tests.accounts.archives import Model, Scoped, Series, Study, archives
from tests.accounts.dimse_door import OFFERED, Answered, Door, decoded, opened
from tests.accounts.scope_examples import EXAMPLES, fill, listen
from tests.accounts.stored import Object
from tests.accounts.test_dimse_matrix import ABOUT_OBJECTS, LEVELS, STUDY_ROOT_FIND
from tests.builders import new_uid
from tests.conftest import MakeBox

PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
# Of who asks, and when, not of what is asked for.
_NOT_COUNTED = re.compile(r"\b(peer|mark|audit\w*|refused_caller)\b")
BY_UID = {(uid, command): (uid, command, offer) for uid, command, offer in OFFERED}
FIND, FIND_PATIENTS = (BY_UID[uid, commands.C_FIND_RQ] for uid in (STUDY_ROOT_FIND, PATIENT_ROOT_FIND))
GET = next(one for one in ABOUT_OBJECTS if one[1] == commands.C_GET_RQ and one[0].endswith("2.2.3"))


class Seen:
    """A box with all that was put into it, asked over DIMSE, and the statements it was asked."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.studies: list[Study] = []
        self.asked: list[str] = []
        self.peers = 0


@pytest.fixture
async def seen(make_box: MakeBox) -> AsyncIterator[Seen]:
    """An empty box with accounts."""
    async with make_box(no_auth=False) as box, opened(box) as door:
        found = Seen(door)
        listen(box, found.asked)
        yield found


@given(made=archives())
@EXAMPLES
async def test_nothing_tells_of_what_is_outside_of_a_scope(
    seen: Seen, made: tuple[list[Study], list[Scoped]]
) -> None:
    archive, scopes = made
    await fill(seen.door.box, archive)
    seen.studies += archive  # each example finds what those before it left
    for scope in scopes:
        seen.peers += 1
        title = await seen.door.peer(f"PEER{seen.peers}", may=EVERY_SERVICE, scope=scope)
        part = Part(seen, Model(seen.studies, scope), title)
        await part.tells_what_is_inside()
        await part.tells_nothing_of_what_is_outside()


@dataclass(frozen=True)
class Part:
    """The archive as a peer with a scope asks it."""

    seen: Seen
    model: Model
    title: str

    async def tells_what_is_inside(self) -> None:
        visible = self.model.visible()
        assert await self.found("STUDY", "StudyInstanceUID", Object(study="")) == set(visible)
        for study in self.seen.studies:
            series = visible.get(study.uid, [])
            of = Object(study=study.uid, series="", instance="")
            assert await self.found("SERIES", "SeriesInstanceUID", of) == {one.uid for one in series}
            for one in study.series:
                of = Object(study=study.uid, series=one.uid, instance="")
                expected = {each.uid for each in one.served} if one in series else set()
                assert await self.found("IMAGE", "SOPInstanceUID", of) == expected
            await self.retrieves(study, series)
        keys = {"StudyInstanceUID": "", "PatientID": ""}
        answered = await self.seen.door.ask(
            self.title, FIND_PATIENTS, Object(study=""), level="PATIENT", keys=keys
        )
        patients = [decoded(one).PatientID for one in answered.identifiers if one]
        assert sorted(patients) == sorted(self.model.patients())

    async def found(self, level: str, keyword: str, of: Object) -> set[str]:
        """UIDs that a search finds, none of them twice."""
        answered = await self.seen.door.ask(self.title, FIND, of, level=level)
        assert answered.status == 0, (level, answered)
        uids = [str(decoded(one)[keyword].value) for one in answered.identifiers if one]
        assert len(uids) == len(set(uids))
        return set(uids)

    async def retrieves(self, study: Study, series: list[Series]) -> None:
        answered = await self.seen.door.ask(self.title, GET, Object(study=study.uid), level="STUDY")
        assert answered.status == 0
        assert sorted(answered.given) == sorted(one.uid for each in series for one in each.served)

    async def tells_nothing_of_what_is_outside(self) -> None:
        # First those of studies that are seen in part.
        for study, series, known in sorted(self.model.outside(), key=lambda one: not one[2])[:2]:
            there = Object(study=study.uid, series=series.uid, instance=series.served[0].uid)
            missing = Object(study=study.uid if known else new_uid())
            for offered in ABOUT_OBJECTS:
                for level in LEVELS[1 if known else 0 :]:
                    keys = {"PatientID": study.patient}
                    found, asked = await self.work(offered, there, level, keys)
                    other, others = await self.work(offered, missing, level, keys)
                    assert found.given == other.given == ()
                    assert found.told(there) == other.told(missing), (offered, level, self.model.scope)
                    assert asked == others, (offered, level, self.model.scope)

    async def work(
        self, offered: tuple[str, int, object], of: Object, level: str, keys: dict[str, str]
    ) -> tuple[Answered, list[str]]:
        """What comes of a request, and the statements that it took."""
        del self.seen.asked[:]
        answered = await self.seen.door.ask(self.title, offered, of, level=level, keys=keys)  # type: ignore[arg-type]
        return answered, [sql for sql in self.seen.asked if not _NOT_COUNTED.search(sql)]
