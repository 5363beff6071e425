"""Projects that have a vault."""

from dataclasses import dataclass

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.project_keys import project_key, vault_folder
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, Writer
from dicomweb_box.errors import BadSetting, Conflict, NotFound
from dicomweb_box.vault.data_keys import DataKeys, forgotten_in
from dicomweb_box.vault.patterns import Pattern, parsed
from dicomweb_box.vault.sealing import ProjectKeys


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """An opened project: its keys, and how it names patients."""

    name: str
    keys: ProjectKeys
    data_keys: DataKeys
    pattern: Pattern | None
    """None: as the policy does."""
    listed: bool
    """Patients that have no entry are held back, instead of being given a pseudonym."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What may be told of a project to whoever asks which there are."""

    project: str
    pattern: str | None
    listed: bool
    patients: int
    entries: int
    opted_out: int
    forgotten: int
    made_at: str


async def create(box: Box, name: str, *, pattern: str | None, listed: bool, actor: Actor) -> None:
    """Give a project a vault; from now on nothing of it is de-identified past it.

    Raises BadSetting for a name or pattern that is none, Conflict where it has one already.
    """
    if pattern is not None:
        parsed(pattern)
    if pattern is not None and listed:
        raise BadSetting("a project names its patients by a pattern or by a list, not by both")
    await audit.opened(box)
    folder = vault_folder(box.settings, name)
    if await box.database.fetch_value("select 1 from vault where project = :p", {"p": name}):
        raise Conflict(f"The project {name} has a vault already.")
    keys = ProjectKeys(name, await in_thread(box, project_key, box.settings, name))
    await in_thread(box, DataKeys(folder, keys).make_folder)

    async def work(w: Writer) -> None:
        taken = await w.fetch_value("select 1 from vault where project = :p", {"p": name})
        if taken:
            raise Conflict(f"The project {name} has a vault already.")
        await w.execute(
            "insert into vault (project, key_name, pattern, listed, made_at)"
            " values (:project, :key_name, :pattern, :listed, :at)",
            {"project": name, "key_name": keys.name, "pattern": pattern, "listed": int(listed),
             "at": box.clock().isoformat(timespec="seconds")},
        )  # fmt: skip
        about = {"project": name, "did": "gave it a vault"}
        await audit.record(w, box, audit.Entry(actor=actor, action=Action.VAULT_CHANGED, about=about))

    await box.database.write(work)


async def opened(box: Box, name: str) -> Project:
    """The project, its keys read.

    Raises NotFound where it has no vault, BadSetting where its key is not here or not the one of its vault.
    """
    row = await _row(box, name)
    folder = vault_folder(box.settings, name)
    there = await in_thread(box, folder.is_dir)
    if row is None and not there:
        raise NotFound(f"The project {name} has no vault.")
    if row is None:
        raise BadSetting(f"the vault of the project {name} is not in this database, but its keys are here")
    if not there:
        raise BadSetting(f"the vault of the project {name} is in the database, but {folder} is not there")
    keys = ProjectKeys(name, await in_thread(box, project_key, box.settings, name))
    if keys.name != row["key_name"]:
        raise BadSetting(
            f"the key of the project {name} is {keys.name}, and its vault was made with {row['key_name']}"
        )
    return Project(
        name=name,
        keys=keys,
        data_keys=DataKeys(folder, keys),
        pattern=None if row["pattern"] is None else parsed(row["pattern"]),
        listed=bool(row["listed"]),
    )


async def has_vault(box: Box, name: str) -> bool:
    """Whether it has one, by the database or by its keys."""
    folder = vault_folder(box.settings, name)
    return await _row(box, name) is not None or await in_thread(box, folder.is_dir)


async def every(box: Box) -> list[Summary]:
    """The projects that have a vault, by name."""
    rows = await box.database.fetch_all(_SUMMARY)
    return [await _summary(box, row) for row in rows]


async def _summary(box: Box, row: Row) -> Summary:
    name = str(row["project"])
    return Summary(
        project=name,
        pattern=row["pattern"],
        listed=bool(row["listed"]),
        patients=int(row["patients"]),
        entries=int(row["entries"]),
        opted_out=int(row["opted_out"]),
        forgotten=await in_thread(box, forgotten_in, vault_folder(box.settings, name)),
        made_at=str(row["made_at"]),
    )


async def _row(box: Box, name: str) -> Row | None:
    return await box.database.fetch_one(
        "select key_name, pattern, listed from vault where project = :name", {"name": name}
    )


_SUMMARY = """
    select v.project, v.pattern, v.listed, v.made_at,
        (select count(*) from pseudonym p where p.project = v.project and p.kind = 'patient') as patients,
        (select count(*) from pseudonym p where p.project = v.project and p.kind <> 'gone') as entries,
        (select count(*) from vault_opt_out o where o.project = v.project) as opted_out
    from vault v order by v.project
"""
