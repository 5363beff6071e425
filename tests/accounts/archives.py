"""Invented archives, and in plain Python what a scope shows of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
from dicomweb_box.archive import ingest, labelling, reject, rule_runs, rules
from dicomweb_box.box import Box
from tests.builders import make_instance, new_uid, pieces

SOURCES, NAMES = ("north", "south"), ("one", "two")
EVERYBODY: dict[str, Any] = {"scope": EVERYTHING, "actor": SYSTEM}


@dataclass
class Instance:
    """One instance; rejected ones are kept in mind."""

    source: str
    uid: str = field(default_factory=new_uid)
    held: bool = False
    rejected: bool = False


@dataclass
class Series:
    """One series."""

    modality: str
    instances: list[Instance]
    labels: set[str]
    uid: str = field(default_factory=new_uid)

    @property
    def served(self) -> list[Instance]:
        return [one for one in self.instances if not one.rejected]


@dataclass
class Study:
    """One study."""

    patient: str
    series: list[Series]
    labels: set[str]
    reject: str
    """What of it is rejected: "", "study", "series" (its first) or "instance" (the first of that)."""
    uid: str = field(default_factory=new_uid)


_LABELS = st.sets(st.sampled_from(NAMES))


@st.composite
def _series(draw: st.DrawFn) -> Series:
    sources = draw(st.lists(st.sampled_from(SOURCES), min_size=1, max_size=2))
    held = draw(st.booleans())
    instances = [Instance(source, held=held and number == 0) for number, source in enumerate(sources)]
    return Series(draw(st.sampled_from(("CT", "MR"))), instances, draw(_LABELS))


@st.composite
def _study(draw: st.DrawFn) -> Study:
    series = draw(st.lists(_series(), min_size=2, max_size=3))
    rejected = draw(st.sampled_from(("", "", "", "study", "series", "instance")))
    return Study(draw(st.sampled_from(("P1", "P2", "P3"))), series, draw(_LABELS), rejected)


Scoped = dict[str, list[str]]
"""A partial scope as a token keeps it."""


@st.composite
def _scope(draw: st.DrawFn, studies: list[Study]) -> Scoped:
    parts = draw(st.sets(st.sampled_from(("studies", "sources", "labels")), min_size=1, max_size=2))
    choices = {
        "studies": [study.uid for study in studies],
        "sources": list(SOURCES),
        "labels": ["ONE", "two", "ruled", "nobody's"],
    }
    return {
        part: draw(st.lists(st.sampled_from(choices[part]), min_size=draw(st.integers(0, 1)), unique=True))
        for part in sorted(parts)
    }


@st.composite
def archives(draw: st.DrawFn) -> tuple[list[Study], list[Scoped]]:
    """A few studies, and scopes that show some of them."""
    studies = draw(st.lists(_study(), min_size=2, max_size=3))
    return studies, draw(st.lists(_scope(studies), min_size=3, max_size=3))


async def store(box: Box, study: Study) -> None:
    """Put a study into the archive, with labels, held versions and what is rejected of it."""
    for series in study.series:
        for one in series.instances:
            await _store(box, study, series, one, one.source)
            if one.held:
                await _store(box, study, series, one, "elsewhere", PatientComments="another version")
        await labelling.change(box, [(study.uid, series.uid)], add=sorted(series.labels), **EVERYBODY)
    await labelling.change(box, [(study.uid, "")], add=sorted(study.labels), **EVERYBODY)
    await _reject(box, study)


async def _store(box: Box, study: Study, series: Series, one: Instance, source: str, **more: str) -> None:
    uids = {"study": study.uid, "series": series.uid, "instance": one.uid}
    made = make_instance(**uids, PatientID=study.patient, Modality=series.modality, **more)
    await ingest.store(box, await ingest.receive(box, pieces(made)), source=source, actor=SYSTEM)


async def _reject(box: Box, study: Study) -> None:
    if not study.reject:
        return
    first = study.series[0]
    gone = {"study": study.series, "series": [first], "instance": [first]}[study.reject]
    target = reject.Target(
        study_uid=study.uid,
        series_uid=None if study.reject == "study" else first.uid,
        instance_uid=first.instances[0].uid if study.reject == "instance" else None,
    )
    await reject.reject(box, target, reject.Why(reason="113001"), **EVERYBODY)
    for series in gone:
        for one in series.instances[:1] if study.reject == "instance" else series.instances:
            one.rejected = True


async def rule(box: Box) -> None:
    """Label each series of MR by a rule."""
    found = await rules.every(box, **EVERYBODY)
    if not found:
        wanted = rules.Wanted(name="MR", conditions=(("Modality", "MR"),), level="series", label="Ruled")
        await rules.make(box, wanted, **EVERYBODY)
        found = await rules.every(box, **EVERYBODY)
    await rules.run_again(box, found[0].id, **EVERYBODY)
    await rule_runs.run_to_end(box, found[0])


@dataclass(frozen=True)
class Model:
    """What a scope shows."""

    studies: list[Study]
    scope: dict[str, list[str]]

    def sees(self, study: Study, series: Series, *, of_rejected: bool = False) -> bool:
        """Whether a series is visible; where what is rejected of it is asked for, by that as well."""
        instances = series.instances if of_rejected else series.served
        sources = {one.source for one in instances}
        held = (
            study.labels | series.labels | ({"ruled"} if series.modality == "MR" and series.served else set())
        )
        return (
            bool(instances)
            and ("studies" not in self.scope or study.uid in self.scope["studies"])
            and ("sources" not in self.scope or sources <= set(self.scope["sources"]))
            and (
                "labels" not in self.scope or bool(held & {name.casefold() for name in self.scope["labels"]})
            )
        )

    def visible(self) -> dict[str, list[Series]]:
        """The visible series by the UID of their study."""
        found = {
            study.uid: [series for series in study.series if self.sees(study, series)]
            for study in self.studies
        }
        return {uid: series for uid, series in found.items() if series}

    def patients(self) -> dict[str, int]:
        """How many visible studies each patient has."""
        seen = self.visible()
        of = [study.patient for study in self.studies if study.uid in seen]
        return {patient: of.count(patient) for patient in of}

    def labels(self) -> dict[str, tuple[int, int]]:
        """By label, of how many visible studies and series it is."""
        seen = self.visible()
        found: dict[str, tuple[int, int]] = {}
        for study in self.studies:
            if study.uid not in seen:
                continue
            for name in study.labels:
                found[name] = (found.get(name, (0, 0))[0] + 1, found.get(name, (0, 0))[1])
            for series in seen[study.uid]:
                for name in series.labels | ({"ruled"} if series.modality == "MR" else set()):
                    found[name] = (found.get(name, (0, 0))[0], found.get(name, (0, 0))[1] + 1)
        return found

    def held(self) -> set[str]:
        """The instances that have a held version and are visible."""
        series = (one for found in self.visible().values() for one in found)
        return {one.uid for found in series for one in found.served if one.held}

    def rejected(self) -> set[str]:
        """The studies of which the act of rejecting is visible: where all that it took out is."""
        return {study.uid for study in self.studies if study.reject and self._sees_rejected(study)}

    def _sees_rejected(self, study: Study) -> bool:
        touched = [series for series in study.series if any(one.rejected for one in series.instances)]
        return all(self.sees(study, series, of_rejected=True) for series in touched)

    def outside(self) -> Iterator[tuple[Study, Series, bool]]:
        """Served series that are not visible, each with its study and whether something of that is."""
        seen = self.visible()
        for study in self.studies:
            for series in study.series:
                if series.served and series not in seen.get(study.uid, []):
                    yield study, series, study.uid in seen
