"""What is measured: each work by name, how it is asked, and what it should come to."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench import dimse_retrieval, objects
from bench.load import JPEG, JSON, Ask
from bench.objects import Made, make

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
OCTETS = 'multipart/related; type="application/octet-stream"'
FIRST_INDEXED, CT_SERIES, META_STUDY, SERIES_40, FRAMES, CODECS, FRESH = (n * 1_000_000 for n in range(1, 8))
IN_CT_SERIES, IN_META_STUDY, IN_SERIES_40 = 500, 160, 76


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is aimed at, if anything: a ratio to the other server's rate, CPU ms, milliseconds at most."""

    ratio: float | None = None
    cpu: float | None = None
    codec: str | None = None
    """The CPU ms are those beside this codec's, which is timed in the same run."""
    most: float | None = None


@dataclass(frozen=True, kw_only=True)
class First:
    """Objects stored anew before each measurement, each of whose `tails` is then asked for once."""

    template: Callable[[], bytes]
    count: int
    tails: Sequence[str]
    accept: str


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A viewer that opens a series: `fresh`, stored a moment ago, or looked at before."""

    fresh: bool
    series: int = 4
    instances: int = 40


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """A study that is asked for by DIMSE, once in each measurement."""

    service: dimse_retrieval.Service
    study_uid: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """One row: a read (`ask`, `first`, `visit`, `retrieval`, `found`) or a store."""

    name: str
    target: Target
    ask: Ask | None = None
    first: First | None = None
    visit: Visit | None = None
    retrieval: Retrieval | None = None
    found: Sequence[str] = ()
    """Patient IDs that are searched for by C-FIND, one after another over one association."""
    template: Callable[[], bytes] | None = None
    connections: int = 1
    batch: int = 1
    dimse: bool = False
    """Whether it is stored by C-STORE, over so many associations."""
    unit: str = "/s"


def datasets(studies: int) -> Iterator[tuple[str, int, Iterator[Made]]]:
    """What is in each server before reads are measured: name, instances a request, objects."""
    yield "index", 100, (
        make(objects.tiny(), study=FIRST_INDEXED + n, series=FIRST_INDEXED + n, instance=FIRST_INDEXED + n)
        for n in range(studies)
    )  # fmt: skip
    yield "series of 500", 25, _series(objects.ct, CT_SERIES, IN_CT_SERIES)
    yield "study of 160", 25, _series(objects.small, META_STUDY, IN_META_STUDY)
    yield "series of 40 MB", 25, _series(objects.ct, SERIES_40, IN_SERIES_40)
    yield "200 frames", 1, _series(objects.frames200, FRAMES, 1)
    for n, codec in enumerate(objects.COMPRESSED):
        yield codec, 1, _series(lambda codec=codec: objects.compressed(codec), CODECS + n, 1)


def _series(template: Callable[[], bytes], number: int, count: int) -> Iterator[Made]:
    return (make(template(), study=number, series=number, instance=number + n) for n in range(count))


def _path(number: int) -> str:
    return f"/studies/{objects.uid(1, number)}/series/{objects.uid(2, number)}"


def _instance(number: int, n: int = 0) -> str:
    return f"{_path(number)}/instances/{objects.uid(3, number + n)}"


def works(studies: int) -> list[Work]:
    """Every row of the table, reads before stores, so that the index has its size when it is searched."""
    return [
        *_searches(studies), *_metadata(), *_retrievals(), *_decoded(), *_rendered(), *_visits(),
        *_by_dimse(studies), *_stores(),
    ]  # fmt: skip


def _searches(studies: int) -> list[Work]:
    some = [FIRST_INDEXED + n for n in range(0, studies, max(1, studies // 64))]
    fields = [_said(number) for number in some]
    low = Target(ratio=1, cpu=1.5)
    asked = {
        "QIDO, exact PatientID": ([f"PatientID={f['patient']}" for f in fields], Target(ratio=1, cpu=0.5)),
        "QIDO, prefix of the name": ([f"PatientName={f['name'][:3]}*" for f in fields], low),
        "QIDO, infix of the name": ([f"PatientName=*{f['name'][2:5]}*" for f in fields], low),
        "QIDO, a week": ([f"StudyDate={_week(f['date'])}" for f in fields], low),
        "QIDO, a week and a modality": (
            [f"StudyDate={_week(f['date'])}&ModalitiesInStudy={f['modality']}" for f in fields], low
        ),
        "QIDO, first page": (["limit=25"], low),
        "QIDO, deep page": ([f"limit=25&offset={studies * 9 // 10}"], low),
    }  # fmt: skip
    return [
        Work(name=name, target=target, ask=Ask(paths=[f"/studies?{q}" for q in queries], accept=JSON))
        for name, (queries, target) in asked.items()
    ]


def _metadata() -> list[Work]:
    study = f"/studies/{objects.uid(1, META_STUDY)}/metadata"
    instances = [_instance(CT_SERIES, n) + "/metadata" for n in range(0, IN_CT_SERIES, 10)]
    return [
        Work(
            name="metadata of a study of 160",
            target=Target(ratio=1, cpu=1),
            ask=Ask(paths=[study], accept=JSON),
        ),
        Work(
            name="metadata of a series of 500",
            target=Target(ratio=1, cpu=2),
            ask=Ask(paths=[_path(CT_SERIES) + "/metadata"], accept=JSON),
        ),
        Work(
            name="metadata of an instance",
            target=Target(ratio=1, cpu=0.3),
            ask=Ask(paths=instances, accept=JSON),
        ),
    ]


def _retrievals() -> list[Work]:
    instances = [_instance(CT_SERIES, n) for n in range(0, IN_CT_SERIES, 10)]
    made = [
        Work(
            name="instance, as stored",
            target=Target(ratio=1, cpu=0.35),
            ask=Ask(paths=instances, accept=AS_STORED),
        ),
        Work(
            name="series of 40 MB, as stored",
            target=Target(ratio=3, cpu=25),
            ask=Ask(paths=[_path(SERIES_40)], accept=AS_STORED),
        ),
        Work(
            name="frame, native",
            target=Target(ratio=1, cpu=0.25),
            ask=Ask(paths=[f"{path}/frames/1" for path in instances], accept=OCTETS),
        ),
        Work(
            name="frame of 200",
            target=Target(ratio=1, cpu=0.25),
            ask=Ask(paths=[f"{_instance(FRAMES)}/frames/{n}" for n in range(1, 201, 7)], accept=OCTETS),
        ),
    ]
    for n, codec in enumerate(objects.COMPRESSED):
        ask = Ask(paths=[f"{_instance(CODECS + n)}/frames/1"], accept=OCTETS + "; transfer-syntax=*")
        made.append(Work(name=f"frame, {codec} as stored", target=Target(ratio=1, cpu=0.2), ask=ask))
    return made


def _decoded() -> list[Work]:
    """Compressed frames as native ones: asked for the first time, and again."""
    made = []
    for n, codec in enumerate(objects.COMPRESSED):
        tails = ["/frames/1"]
        first = First(
            template=lambda codec=codec: objects.compressed(codec), count=24, tails=tails, accept=OCTETS
        )
        again = Ask(paths=[f"{_instance(CODECS + n)}/frames/1"], accept=OCTETS)
        made += [
            Work(
                name=f"frame, {codec} decoded, first ask",
                target=Target(ratio=1, cpu=1, codec=codec),
                first=first,
            ),
            Work(name=f"frame, {codec} decoded, again", target=Target(ratio=1), ask=again),
        ]
    return made


def _rendered() -> list[Work]:
    cts = [_instance(CT_SERIES, n) for n in range(0, IN_CT_SERIES, 10)]
    j2k = First(template=lambda: objects.compressed("j2k"), count=24, tails=["/rendered"], accept=JPEG)
    frames = First(
        template=objects.frames200,
        count=1,
        tails=[f"/frames/{n}/rendered" for n in range(1, 201, 20)],
        accept=JPEG,
    )
    return [
        Work(
            name="rendered JPEG, CT, first ask",
            target=Target(ratio=1, cpu=1.2),
            first=First(template=objects.ct, count=100, tails=["/rendered"], accept=JPEG),
        ),
        Work(
            name="rendered JPEG, CT, again",
            target=Target(ratio=1, cpu=0.2),
            ask=Ask(paths=[f"{path}/rendered" for path in cts], accept=JPEG),
        ),
        Work(name="rendered JPEG, frame of 200, first ask", target=Target(ratio=1, cpu=1.5), first=frames),
        Work(
            name="rendered JPEG of a J2K frame, first ask",
            target=Target(ratio=1, cpu=2, codec="j2k"),
            first=j2k,
        ),
        Work(
            name="rendered JPEG of a J2K frame, again",
            target=Target(ratio=1, cpu=0.2),
            ask=Ask(paths=[f"{_instance(CODECS)}/rendered"], accept=JPEG),
        ),
        Work(
            name="thumbnail, again",
            target=Target(ratio=1, cpu=0.2),
            ask=Ask(paths=[f"{path}/thumbnail" for path in cts], accept=JPEG),
        ),
    ]


def _visits() -> list[Work]:
    return [
        Work(
            name="first image of a series just stored",
            target=Target(most=12),
            visit=Visit(fresh=True),
            unit=" ms",
        ),
        Work(
            name="first image of a series seen before",
            target=Target(most=6),
            visit=Visit(fresh=False),
            unit=" ms",
        ),
    ]


def _by_dimse(studies: int) -> list[Work]:
    some = range(0, studies, max(1, studies // 64))
    aims: tuple[tuple[dimse_retrieval.Service, float], ...] = (("C-GET", 1), ("C-MOVE", 1.5))
    return [
        Work(
            name="C-FIND, a patient's studies",
            target=Target(ratio=1),
            found=[_said(FIRST_INDEXED + n)["patient"] for n in some],
        ),
        *(_retrieved(service, ratio) for service, ratio in aims),
    ]


def _retrieved(service: dimse_retrieval.Service, ratio: float) -> Work:
    return Work(
        name=f"{service}, 500 instances",
        target=Target(ratio=ratio),
        retrieval=Retrieval(service=service, study_uid=objects.uid(1, CT_SERIES), count=IN_CT_SERIES),
        unit=" inst/s",
    )


def _stores() -> list[Work]:
    small = {"template": objects.small, "unit": " inst/s"}
    ct = {"template": objects.ct, "unit": " inst/s"}
    return [
        Work(name="STOW, 1 connection × 1", target=Target(ratio=1.5, cpu=1.2), **ct),
        Work(
            name="STOW, 8 connections × 50", target=Target(ratio=2.5, cpu=1.0), connections=8, batch=50, **ct
        ),
        Work(name="STOW, 11 kB, 4 × 100", target=Target(ratio=3, cpu=0.6), connections=4, batch=100, **small),
        Work(
            name="STOW, 105 MB multi-frame",
            target=Target(ratio=3),
            template=objects.frames200,
            unit=" inst/s",
        ),
        *(
            Work(
                name=f"C-STORE, {count} association{'s' if count > 1 else ''}",
                target=Target(ratio=1.5, cpu=1.5),
                connections=count,
                dimse=True,
                **ct,
            )
            for count in (1, 4)
        ),
    ]


_fresh = itertools.count(FRESH)


def fresh(template: Callable[[], bytes], together: int = 50) -> Iterator[Made]:
    """Objects that no server has seen, so many to a study."""
    for number in _fresh:
        group = FRESH + number // together
        yield make(template(), study=group, series=group, instance=number)


def fresh_series(template: Callable[[], bytes], count: int) -> list[Made]:
    """A series that no server has seen, in a study of its own."""
    numbers = list(itertools.islice(_fresh, count))
    return [
        make(template(), study=FRESH + numbers[0], series=FRESH + numbers[0], instance=n) for n in numbers
    ]


def _said(study: int) -> dict[str, str]:
    """What `make` puts into a study of this number."""
    data = make(objects.tiny(), study=study, series=study, instance=study).data
    import io

    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    return {
        "patient": str(dataset.PatientID),
        "name": str(dataset.PatientName),
        "date": str(dataset.StudyDate),
        "modality": str(dataset.Modality),
    }


def _week(date: str) -> str:
    day = int(date[6:])
    first = max(1, min(day, 22))
    return f"{date[:6]}{first:02d}-{date[:6]}{first + 6:02d}"
