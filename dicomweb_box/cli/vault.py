"""Commands about who stands behind the pseudonyms of projects."""

import csv
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dicomweb_box import settings
from dicomweb_box.cli.grammar import Parser, command
from dicomweb_box.cli.running import FAILED, console, existing, failed, print_json, run
from dicomweb_box.errors import BadSetting

if TYPE_CHECKING:
    from dicomweb_box.box import Box
    from dicomweb_box.vault.projects import Project


def vault_create(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Give a project a vault."""
    from dicomweb_box.accounts.access import SYSTEM
    from dicomweb_box.accounts.key_memory import keep_memory_to_ourselves
    from dicomweb_box.vault import projects

    keep_memory_to_ourselves()
    run(
        chosen,
        lambda box: projects.create(
            box, asked["project"], pattern=asked["pattern"], listed=asked["listed"], actor=SYSTEM
        ),
    )
    return 0


def vault_projects(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print which projects have a vault, and how much is in it."""
    from dicomweb_box.vault import projects

    found = run(existing(chosen), projects.every)
    if asked["json"]:
        print_json([asdict(one) for one in found])
        return 0
    for one in found:
        named = "by a list" if one.listed else one.pattern or "by the policy"
        print(
            f"{one.project}: patients {one.patients}, entries {one.entries}, forgotten {one.forgotten},"
            f" opted out {one.opted_out}, named {named}, since {one.made_at}"
        )
    return 0


def vault_find(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print who stands behind a pseudonym, or what stands for somebody; 1 if nothing was found."""
    from dicomweb_box.accounts.access import SYSTEM
    from dicomweb_box.vault import lookup

    value = _value(asked["value"])

    async def job(box: "Box", project: "Project") -> lookup.Answer:
        return await lookup.find(
            box, project, value, prefix=asked["prefix"], actor=SYSTEM, reason=asked["reason"]
        )

    answer = _with_project(chosen, asked, job)
    if asked["json"]:
        print_json([asdict(one) for one in answer.known])
    elif answer.known:
        _print_table(answer.known)
    if answer.lost:
        return _lost(answer.lost)
    return 0 if answer.known else failed("nothing was found", FAILED)


def vault_export(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Write all entries of a project as CSV; 1 if some could not be read."""
    from dicomweb_box.accounts.access import SYSTEM
    from dicomweb_box.vault import lookup
    from dicomweb_box.vault.reading import Known

    async def job(box: "Box", project: "Project") -> int:
        export = await lookup.export(box, project, actor=SYSTEM, reason=asked["reason"])
        with _written(asked["out"]) as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(field.name for field in fields(Known))
            async for one in export:
                table.writerow(_cell(value) for value in astuple(one))
        return export.lost

    lost = _with_project(chosen, asked, job)
    return _lost(lost) if lost else 0


def vault_forget(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Forget a patient of a project for good."""
    from dicomweb_box.accounts.access import SYSTEM
    from dicomweb_box.vault import forgetting

    value = _value(asked["value"])

    async def job(box: "Box", project: "Project") -> int:
        return await forgetting.forget(
            box, project, value, issuer=asked["issuer"], actor=SYSTEM, reason=asked["reason"]
        )

    print(f"forgotten: entries {_with_project(chosen, asked, job)}")
    return 0


def vault_assign(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Give patients the pseudonyms of a list."""
    from dicomweb_box.accounts.access import SYSTEM
    from dicomweb_box.vault import lists

    lines = lists.read(Path(asked["list"]), pseudonyms=True)

    async def job(box: "Box", project: "Project") -> int:
        return await lists.assign(box, project, lines, actor=SYSTEM)

    print(f"new {_with_project(chosen, asked, job)} of {len(lines)}")
    return 0


def vault_opt_out(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Let nothing of the patients of a list go out any more, or again."""
    from dicomweb_box.accounts.access import SYSTEM
    from dicomweb_box.vault import lists

    lines = lists.read(Path(asked["list"]), pseudonyms=False)

    async def job(box: "Box", project: "Project") -> int:
        return await lists.opt_out(box, project, lines, lift=asked["lift"], actor=SYSTEM)

    print(f"changed {_with_project(chosen, asked, job)} of {len(lines)}")
    return 0


def _with_project(
    chosen: settings.Settings,
    asked: dict[str, Any],
    job: Callable[["Box", "Project"], Coroutine[Any, Any, Any]],
) -> Any:
    """What the job returns, with the opened project."""
    from dicomweb_box.accounts.key_memory import keep_memory_to_ourselves
    from dicomweb_box.vault import projects

    keep_memory_to_ourselves()

    async def main(box: "Box") -> Any:
        return await job(box, await projects.opened(box, asked["project"]))

    return run(existing(chosen), main)


def _value(given: str) -> str:
    """The value, read from standard input for `-`: a command line is seen by others and kept by shells."""
    value = sys.stdin.readline().rstrip("\r\n") if given == "-" else given
    if not value.strip():
        raise BadSetting("say what to look for")
    return value


def _cell(text: str) -> str:
    """The text; a spreadsheet would take what begins like a formula for one."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _lost(count: int) -> int:
    return failed(f"{count} entries cannot be read: the data keys of their patients are missing", FAILED)


def _print_table(known: Any) -> None:
    from rich.table import Table

    table = Table("kind", "original", "pseudonym", "patient ID", "issuer", "patient's pseudonym")
    for one in known:
        told = (one.kind, one.original, one.pseudonym, one.patient_id, one.issuer, one.patient_pseudonym)
        table.add_row(*map(_shown, told))
    console().print(table)


def _shown(text: str) -> str:
    """The text without what a terminal would obey: originals are what files have."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


@contextmanager
def _written(out: str | None) -> Iterator[IO[str]]:
    """Standard output, or a new file for our eyes alone."""
    if out is None:
        yield sys.stdout
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadSetting(f"{out} is there already") from None
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        yield file


def grammar(commands: Any) -> None:
    """Add these commands."""
    vault = commands.add_parser("vault", help="who stands behind the pseudonyms of projects")
    nested = vault.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    one = command(nested, "create", vault_create, "give a project a vault")
    one.add_argument("project", metavar="PROJECT")
    one.add_argument(
        "--pattern", metavar="PATTERN",
        help="how patients are named: STUDY-{n:04}, {hash:8}, {token}, {service} …; else as policies do",
    )  # fmt: skip
    one.add_argument(
        "--listed", action="store_true", help="hold back patients that `vault assign` did not name"
    )

    one = command(nested, "projects", vault_projects, "print which projects have one")
    one.add_argument("--json", action="store_true", help="print them as JSON")

    one = _reasoned(nested, "find", vault_find, "look up an original or a pseudonym")
    _valued(one, "a pseudonym, Patient ID, name, UID, accession number or study ID")
    one.add_argument("--prefix", action="store_true", help="whatever begins with it; reads the whole vault")
    one.add_argument("--json", action="store_true", help="print it as JSON")

    one = _reasoned(nested, "export", vault_export, "write all entries as CSV")
    one.add_argument("--out", metavar="FILE", help="a new file; standard output if not given")

    one = _reasoned(nested, "forget", vault_forget, "destroy a patient's entries for good")
    _valued(one, "a Patient ID, or the patient's pseudonym")
    one.add_argument("--issuer", metavar="ISSUER", help="who issued the Patient ID; empty: nobody known")

    one = command(nested, "assign", vault_assign, "give patients the pseudonyms of a CSV list")
    one.add_argument("project", metavar="PROJECT")
    one.add_argument("list", metavar="FILE", help="columns patient_id, issuer (may be left out), pseudonym")

    one = command(nested, "opt-out", vault_opt_out, "let nothing of the patients of a CSV list go out")
    one.add_argument("project", metavar="PROJECT")
    one.add_argument("list", metavar="FILE", help="columns patient_id, issuer (left out: whoever issued it)")
    one.add_argument("--lift", action="store_true", help="let it go out again")


def _reasoned(nested: Any, name: str, job: Any, meaning: str) -> Any:
    one = command(nested, name, job, meaning)
    one.add_argument("project", metavar="PROJECT")
    one.add_argument("--reason", required=True, metavar="TEXT", help="why; it is recorded: do not say who")
    return one


def _valued(one: Any, meaning: str) -> None:
    one.add_argument("value", metavar="VALUE|-", help=f"{meaning}; - reads it from standard input")
