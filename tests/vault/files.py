"""Files that are de-identified for a project with a vault."""

from pathlib import Path

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.files import deidentified_file
from dicomweb_box.deid.originals import originals
from dicomweb_box.deid.policy import BASIC, Policy
from dicomweb_box.vault import lookup, projects
from dicomweb_box.vault.entering import Run
from dicomweb_box.vault.lookup import Answer
from dicomweb_box.vault.projects import Project
from tests.deid.planted import instance, written

REASON = "a finding that somebody must hear of"


def file(folder: Path, number: int = 1, **more: object) -> Path:
    """A file with an instance of Doe^Jane."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{number}.dcm"
    path.write_bytes(written(instance(SOPInstanceUID=f"1.2.3.{number}", **more)))
    return path


async def project_of(
    box: Box, name: str = "north", *, pattern: str | None = None, listed: bool = False
) -> Project:
    """A project with a new vault."""
    await projects.create(box, name, pattern=pattern, listed=listed, actor=SYSTEM)
    return await projects.opened(box, name)


async def pseudonym(box: Box, project: Project, path: Path, policy: Policy = BASIC) -> str:
    """What the patient of a file is called, entered in a run of its own."""
    run = Run(box, project)
    found = originals(path)
    noted = await run.begin(found, policy.pattern)
    await run.enter(found, noted)
    return noted.pseudonym


async def held_back(box: Box, project: Project, path: Path) -> str:
    """Why a file is held back; nothing where it is not."""
    try:
        await pseudonym(box, project, path)
    except Doubt as doubt:
        return doubt.reason
    return ""


async def deidentified(box: Box, project: Project, path: Path, out: Path, policy: Policy = BASIC) -> Path:
    """The file written, and all of it entered."""
    run = Run(box, project)
    found = originals(path)
    noted = await run.begin(found, policy.pattern)
    out.mkdir(exist_ok=True)
    made = deidentified_file(path, lambda uid: out / f"{uid}.dcm", policy, noted)
    await run.enter(found, noted)
    return out / f"{made.instance_uid}.dcm"


async def asked(box: Box, project: Project, value: str, **more: bool) -> Answer:
    """What the vault says of a value."""
    return await lookup.find(box, project, value, actor=SYSTEM, reason=REASON, **more)


async def told(box: Box, project: Project, value: str, **more: bool) -> list[tuple[str, str, str]]:
    """The same as kind, original and pseudonym."""
    answer = await asked(box, project, value, **more)
    return [(one.kind, one.original, one.pseudonym) for one in answer.known]
