"""Whatever there is, and whatever part of it somebody may see: nothing tells of the rest."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import given

from dicomweb_box.accounts import tokens
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.rights import Right
from dicomweb_box.app import assemble
from dicomweb_box.archive import selections
from dicomweb_box.asgi.rights_table import NEEDED
from dicomweb_box.box import Box
from tests.accounts.archives import EVERYBODY, Model, Scoped, Series, Study, archives
from tests.accounts.asking import Answer, ask
from tests.accounts.scope_examples import EXAMPLES, fill, listen
from tests.accounts.stored import QUERIES, Object, Stored, names_objects
from tests.builders import new_uid
from tests.conftest import MakeBox

# Of who asks, not of what is asked for.
_NOT_COUNTED = re.compile(r"\b(token|account|role|mark|audit\w*|session|login_failure)\b")
_UNLIKE = ("date", "x-request-id")
_QUERIES = {
    "/dicom-web/studies": "StudyInstanceUID={study}",
    "/dicom-web/series": "SeriesInstanceUID={series}",
    "/dicom-web/instances": "SOPInstanceUID={instance}",
    "/dicom-web/studies/count": "StudyInstanceUID={study}",
    "/dicom-web/instances/count": "SOPInstanceUID={instance}",
    "/studies.json": "q={study}",
}

_SERIES = "series={study}%2F{series}"
POSTS = [
    ("/selections", "study={study}"),
    ("/selections", _SERIES),
    ("/selection", _SERIES),
    ("/labels/apply", "study={study}&add=new"),
    ("/labels/apply", f"{_SERIES}&add=new&remove=one"),
    ("/reject", "study={study}&reason=113001"),
    ("/reject", f"{_SERIES}&reason=113001"),
    ("/erase", "study={study}&number=1"),
    ("/erase", f"{_SERIES}&number=1"),
    ("/studies/{study_uid}/reject", "reason=113001"),
    ("/studies/{study_uid}/series/{series_uid}/reject", "reason=113001&series="),
    ("/studies/{study_uid}/correct", "PatientID=X&reason=mistyped"),
    ("/disagreements/accept", "study={study}"),
]


class Seen:
    """A box with all that was put into it, and the statements it was asked."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.app = assemble(box)
        self.studies: list[Study] = []
        self.asked: list[str] = []


@pytest.fixture
async def seen(make_box: MakeBox) -> AsyncIterator[Seen]:
    """An empty box with accounts."""
    async with make_box(no_auth=False) as box:
        found = Seen(box)
        listen(box, found.asked)
        yield found


@given(made=archives())
@EXAMPLES
async def test_nothing_tells_of_what_is_outside_of_a_scope(
    seen: Seen, made: tuple[list[Study], list[Scoped]]
) -> None:
    archive, scopes = made
    await fill(seen.box, archive)
    seen.studies += archive  # each example finds what those before it left
    there = [study.uid for study in seen.studies if any(series.served for series in study.series)]
    selection = await selections.make(seen.box, selections.Members(studies=tuple(there)), **EVERYBODY)
    for scope in scopes:
        _, secret = await tokens.create(
            seen.box, "asker", rights=list(Right), scope=scope, actor=SYSTEM, expires=None
        )
        part = Part(seen, Model(seen.studies, scope), {"authorization": f"Bearer {secret}"}, selection)
        await part.tells_what_is_inside()
        await part.tells_nothing_of_what_is_outside()


@dataclass(frozen=True)
class Part:
    """The archive as somebody with a scope asks it."""

    seen: Seen
    model: Model
    proof: dict[str, str]
    selection: str

    async def get(self, address: str, accept: str = "application/dicom+json") -> Any:
        answer = await self.ask("GET", address, accept)
        assert answer.status == 200, (address, self.model.scope, answer)
        return orjson.loads(answer.body)

    async def ask(
        self, method: str, address: str, accept: str = "application/json", *, body: str = ""
    ) -> Answer:
        headers = {**self.proof, "accept": accept}
        if body:
            headers["content-type"] = "application/x-www-form-urlencoded"
        return await ask(self.seen.app, method, address, headers, body=body.encode())

    async def tells_what_is_inside(self) -> None:
        visible = self.model.visible()
        await self.searches(visible)
        await self.lists(visible)
        for uid, series in visible.items():
            instances = {one.uid for found in series for one in found.served}
            metadata = await self.get(f"/dicom-web/studies/{uid}/metadata")
            assert uids(metadata, "00080018") == instances
            answer = await self.ask("GET", f"/dicom-web/studies/{uid}", "multipart/related")
            assert {one.uid for one in self.instances() if padded(one.uid) in answer.body} == instances
            drawn = await self.ask("GET", f"/dicom-web/studies/{uid}/thumbnail", "image/png")
            assert drawn.status == 200
            page = await self.ask("GET", f"/studies/{uid}", "text/html")
            assert {one for one in self.every_series() if f'id="series-{one}"'.encode() in page.body} == {
                found.uid for found in series
            }

    def instances(self) -> list[Any]:
        return [one for study in self.seen.studies for series in study.series for one in series.instances]

    def every_series(self) -> set[str]:
        return {series.uid for study in self.seen.studies for series in study.series}

    async def searches(self, visible: dict[str, list[Series]]) -> None:
        rows = await self.get("/dicom-web/studies?limit=200")
        assert uids(rows, "0020000D") == set(visible)
        for row in rows:
            self.assert_counted(row, visible[row["0020000D"]["Value"][0]])
        series = {one.uid: one for found in visible.values() for one in found}
        found = await self.get("/dicom-web/series?limit=200")
        assert uids(found, "0020000E") == set(series)
        for row in found:
            self.assert_counted(row, visible[row["0020000D"]["Value"][0]])
            assert row["00201209"]["Value"] == [len(series[row["0020000E"]["Value"][0]].served)]
        instances = {one.uid for each in series.values() for one in each.served}
        assert uids(await self.get("/dicom-web/instances?limit=500"), "00080018") == instances
        for level, count in (
            ("studies", len(visible)),
            ("series", len(series)),
            ("instances", len(instances)),
        ):
            assert await self.get(f"/dicom-web/{level}/count") == {"count": count}
        for name in ("one", "ruled"):
            labelled = await self.get(f"/dicom-web/series?Labels={name}&limit=200")
            assert uids(labelled, "0020000E") == {
                one.uid for study in self.seen.studies for one in visible.get(study.uid, ())
                if name in study.labels | one.labels or (name == "ruled" and one.modality == "MR")
            }  # fmt: skip
        by_modality = await self.get("/dicom-web/studies?ModalitiesInStudy=MR&limit=200")
        assert uids(by_modality, "0020000D") == {
            uid for uid, found in visible.items() if any(one.modality == "MR" for one in found)
        }

    @staticmethod
    def assert_counted(row: Any, series: Sequence[Series]) -> None:
        assert row["00080061"]["Value"] == sorted({one.modality for one in series})
        assert row["00201206"]["Value"] == [len(series)]
        assert row["00201208"]["Value"] == [sum(len(one.served) for one in series)]

    async def lists(self, visible: dict[str, list[Series]]) -> None:
        series = {one.uid for found in visible.values() for one in found}
        for order in ("-StudyDate", "-changed", "size", "PatientName"):
            listed = await self.get(f"/studies.json?limit=100&orderby={order}")
            assert {one["study_uid"] for one in listed["studies"]} == set(visible)
            assert listed["total"] in (None, {"count": len(visible), "more": False})
        assert {one["series_uid"] for one in (await self.get("/series.json?limit=100"))["series"]} == series
        found = await self.get("/labels.json")
        assert {
            one["name"].casefold(): (one["studies"], one["series"]) for one in found
        } == self.model.labels()
        patients = (await self.get("/patients.json"))["patients"]
        assert {one["id"]: one["study_count"] for one in patients} == self.model.patients()
        kept = await self.get(f"/selections/{self.selection}.json")
        assert set(kept["study"]) == set(visible)
        assert (kept["summary"]["studies"], kept["summary"]["series"]) == (len(visible), len(series))
        held = await self.ask("GET", "/held.json")
        assert {
            one.uid for one in self.instances() if f'"{one.uid}"'.encode() in held.body
        } == self.model.held()
        rejected = await self.get("/rejected.json")
        assert {one["study_uid"] for one in rejected["rejected"]} == self.model.rejected(), self.model.scope

    async def tells_nothing_of_what_is_outside(self) -> None:
        # First those of studies that are seen in part.
        for study, series, known in sorted(self.model.outside(), key=lambda one: not one[2])[:3]:
            there = Object(study=study.uid, series=series.uid, instance=series.served[0].uid)
            missing = Object(study=study.uid if known else new_uid())
            for method, address in addresses():
                if "instance" in address or "series" in address or not known:
                    await self.assert_alike(method, address, there, missing)
            for address, body in POSTS:
                if not known or "series" in body:
                    await self.assert_alike("POST", address, there, missing, body)

    async def assert_alike(
        self, method: str, address: str, there: Object, missing: Object, body: str = ""
    ) -> None:
        """The same answer by the same work for what is outside as for what is not there."""
        found, asked = await self.work(method, address, there, body)
        other, others = await self.work(method, address, missing, body)
        assert found == other, (method, address, self.model.scope)
        assert asked == others, (method, address, self.model.scope)

    async def work(self, method: str, address: str, of: Object, body: str) -> tuple[Any, list[str]]:
        del self.seen.asked[:]
        answer = await self.ask(method, filled(address, of), body=named(body, of))
        asked = [sql for sql in self.seen.asked if not _NOT_COUNTED.search(sql)]
        headers = {name: value for name, value in answer.headers.items() if name not in _UNLIKE}
        text = repr((answer.status, sorted(headers.items()), answer.body))
        for level in ("study", "series", "instance"):
            text = text.replace(getattr(of, level), level)
        return re.sub(r"'content-length', '[^']*'", "", text), asked


def padded(uid: str) -> bytes:
    """The SOP Instance UID as a data set holds it, so that no longer one is taken for it."""
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return b"\x08\0\x18\0UI" + len(value).to_bytes(2, "little") + value


def uids(rows: list[Any], tag: str) -> set[str]:
    found = [row[tag]["Value"][0] for row in rows]
    assert len(found) == len(set(found))
    return set(found)


def addresses() -> list[tuple[str, str]]:
    """Each method and address that names an object in its path or, as far as we know, in its query."""
    asked = [tuple(address.split(" ", 1)) for address in NEEDED]
    named = [(method, path) for method, path in asked if names_objects(path) and method in ("GET", "DELETE")]
    queries = [("GET", f"{path}?{query}") for path, query in {**QUERIES, **_QUERIES}.items()]
    return sorted({(method, path) for method, path in named if path not in QUERIES} | set(queries))


def filled(address: str, of: Object) -> str:
    ids = {"dicom-web frames": "1", "dicom-web path": "7FE00010", "dicom-web rest": "metadata"}
    path, mark, query = address.partition("?")
    made = Stored(inside=of, outside=of, ids=ids).address(path, of).partition("?")[0]
    return made + mark + named(query, of)


def named(text: str, of: Object) -> str:
    """A query or form with the UIDs in it."""
    return text.format(study=of.study, series=of.series, instance=of.instance)
