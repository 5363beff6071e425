"""Two studies and one of everything else, so that each address of the table leads to something."""

import re
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette

from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
from dicomweb_box.archive import ingest, labelling
from dicomweb_box.archive.outcomes import Stored as StoredOutcome
from dicomweb_box.assets import static_digest
from dicomweb_box.box import Box
from tests.accounts.asking import ask
from tests.builders import make_instance, new_uid, pieces

QUERIES = {
    "/wado": "requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}",
    "/labels/apply": "study={study}",
    "/labels/apply.json": "study={study}",
    "/correct": "study={study}",
    "/reject": "study={study}",
    "/reject.json": "study={study}",
    "/erase": "study={study}",
    "/erase.json": "study={study}",
    "/download": "study={study}",
}
"""What some addresses ask about."""


@dataclass(frozen=True, kw_only=True)
class Object:
    """An instance by its UIDs."""

    study: str = field(default_factory=new_uid)
    series: str = field(default_factory=new_uid)
    instance: str = field(default_factory=new_uid)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What there is: the scopes name label, source and study of `inside`, and none of `outside`."""

    inside: Object
    outside: Object
    ids: dict[str, str]
    """Values of parameters, by the first segment of the address and the parameter."""

    def address(self, path: str, of: Object) -> str:
        """A path of the table with real values in it; with a query where it asks for one."""
        first = path.split("/")[1]

        def value(match: re.Match[str]) -> str:
            name = match[1].partition(":")[0]
            if name.removesuffix("_uid") in ("study", "series", "instance"):
                return str(getattr(of, name.removesuffix("_uid")))
            return self.ids.get(f"{first} {name}", "unknown")

        query = QUERIES.get(path, "").format(study=of.study, series=of.series, instance=of.instance)
        return re.sub(r"\{([\w:]+)\}", value, path) + (f"?{query}" if query else "")


def names_objects(path: str) -> bool:
    """Whether an address of the table names a study, a series or an instance."""
    return path in QUERIES or any(
        f"{{{name}{tail}}}" in path for name in ("study", "series", "instance") for tail in ("", "_uid")
    )


async def store(box: Box, one: Object, *, source: str) -> None:
    """Store an instance as if it came from a source."""
    data = make_instance(study=one.study, series=one.series, instance=one.instance, PatientID=source)
    received = await ingest.receive(box, pieces(data))
    outcome = await ingest.store(box, received, source=source, actor=SYSTEM)
    assert isinstance(outcome, StoredOutcome), outcome


STEP = {
    "patient_name": "Doe^Jane",
    "patient_id": "P1",
    "modality": "CT",
    "ae_title": "MODALITY1",
    "start_date": "20260105",
    "start_time": "0930",
}
"""On the worklist."""


async def fill(box: Box, app: Starlette, headers: dict[str, str]) -> Stored:
    """Make one of everything; `headers` prove who may."""
    inside, outside = Object(), Object()
    await store(box, inside, source="north")
    await store(box, outside, source="south")
    await labelling.change(box, [(inside.study, "")], add=["Trial"], scope=EVERYTHING, actor=SYSTEM)

    async def made(address: str, **fields: Any) -> str:
        proof = headers | {"Accept": "application/json", "Content-Type": "application/json"}
        answer = await ask(app, "POST", address, proof, body=orjson.dumps(fields))
        assert answer.status == 201, (address, answer)
        return answer.headers["location"].rpartition("/")[2]

    patients = await ask(app, "GET", "/patients.json", headers)
    rule = {"name": "CT", "label": "CT", "level": "study", "attribute": ["Modality"], "value": ["CT"]}
    return Stored(
        inside=inside,
        outside=outside,
        ids={
            "dicom-web frames": "1",
            "dicom-web path": "7FE00010",
            "dicom-web rest": "metadata",
            "static digest": static_digest("app.css"),
            "static path": "app.css",
            "patients key": orjson.loads(patients.body)["patients"][0]["key"],
            "labels label_id": await made("/labels", name="Other"),
            "rules rule_id": await made("/rules", **rule),
            "peers name": await made("/peers", name="north", ae_title="NORTH", addresses=["192.0.2.0/24"]),
            "worklist id": await made("/worklist", **STEP),
            "upload session": await made("/upload", name="Disc"),
            "selections id": await made("/selections", study=[inside.study]),
        },
    )
