"""Commands of the archive itself."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomweb_box import log as logs
from dicomweb_box import setting_sources, settings
from dicomweb_box.cli.grammar import Parser, command, flag
from dicomweb_box.cli.running import FAILED, console, existing, failed, print_json, progress, run
from dicomweb_box.errors import BadSetting

if TYPE_CHECKING:
    from dicomweb_box.archive.importing import Imported
    from dicomweb_box.box import Box


def serve(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Run the archive until told to stop."""
    from dicomweb_box import serve as supervisor

    logs.set_up("supervisor", level=chosen.log_level, style=chosen.log_format)
    try:
        return supervisor.serve(chosen)
    except supervisor.StartFailed as error:
        return failed(str(error), FAILED)


def import_paths(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Store files, folders and zip archives; 1 if anything was refused."""
    from dicomweb_box.archive import importing

    if not all(asked["paths"]):
        raise BadSetting("a path to import is empty")
    paths = [Path(path) for path in asked["paths"]]
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise BadSetting(f"{missing} is not there")
    imported = importing.Imported()

    async def job(box: "Box") -> None:
        files = await asyncio.to_thread(importing.candidates, paths, imported)
        with progress("Importing", len(files)) as advance:
            source = f"import:{asked['session']}"
            await importing.import_all(box, files, imported, source=source, progress=advance)

    run(chosen, job)
    if asked["json"]:
        print_json(asdict(imported))
    else:
        _print_imported(imported)
    return FAILED if imported.refused else 0


def check(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Compare index and blobs; 1 if anything is missing, orphaned, damaged or miscounted."""
    from dicomweb_box.archive import check as checking

    report = run(existing(chosen), lambda box: checking.check(box, repair=asked["repair"]))
    if asked["json"]:
        print_json(asdict(report))
    else:
        print(f"instances {report.instances}")
        for kind in ("missing", "damaged", "orphaned", "miscounted", "audit"):
            found = getattr(report, kind)
            print(f"{kind} {len(found)}", *found, sep="\n  ")
        if asked["repair"]:
            print(f"repaired {report.repaired}")
    return 0 if report.sound else FAILED


def reindex(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Rebuild the index from the blobs; 1 if a blob could not be read."""
    from dicomweb_box.archive import reindex as rebuilding

    rebuilt = run(existing(chosen), rebuilding.reindex)
    print(f"indexed {rebuilt.indexed}")
    if rebuilt.unreadable:
        print(f"unreadable {len(rebuilt.unreadable)}", *rebuilt.unreadable, sep="\n  ")
    return FAILED if rebuilt.unreadable else 0


def migrate(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Bring the database to this version's schema."""
    from dicomweb_box.database import Database

    async def job() -> list[str]:
        chosen.data.mkdir(parents=True, exist_ok=True)
        database = await Database.open(chosen.database_address, readers=1)
        try:
            return await database.migrate()
        finally:
            await database.close()

    applied = asyncio.run(job())
    print(*(applied or ["nothing to do"]), sep="\n")
    return 0


def show_settings(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print each setting with its value, default, unit, meaning and origin."""
    explained = setting_sources.explain(chosen)
    if asked["json"]:
        print_json([asdict(one) for one in explained])
        return 0
    for one in explained:
        unit = f" {one.unit}" if one.unit else ""
        print(
            f"{one.name} = {one.value}{unit}\n    {one.meaning} (default: {one.default}; from: {one.origin})"
        )
    return 0


def index_add(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Declare an attribute for search; the worker then fills it."""
    from dicomweb_box.archive import declared

    attribute = run(chosen, lambda box: declared.declare(box, asked["attribute"]))
    print(f"{attribute.path} {'ready' if attribute.ready else 'filling'}")
    return 0


def index_list(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print the declared attributes."""
    from dicomweb_box.archive import declared

    for attribute in run(existing(chosen), declared.declared):
        print(f"{attribute.path} {'ready' if attribute.ready else 'filling'}")
    return 0


def rule_list(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print the rules, what each labels, and how far it has run."""
    from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
    from dicomweb_box.archive import rules

    found = run(existing(chosen), lambda box: rules.every(box, scope=EVERYTHING, actor=SYSTEM))
    if asked["json"]:
        names = ("id", "name", "conditions", "level", "label", "enabled", "run", "labelled")
        print_json([{name: getattr(rule, name) for name in names} for rule in found])
        return 0
    for rule in found:
        state = "deleting" if rule.ended else rule.run if rule.enabled else "off"
        print(f"{rule.name}: {rule.label} on {rule.labelled} {rule.level}, {state}")
    return 0


def rule_run(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Run a rule over all that is stored."""
    from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
    from dicomweb_box.archive import rule_runs, rules

    async def job(box: "Box") -> rules.Rule:
        found = await rules.every(box, scope=EVERYTHING, actor=SYSTEM)
        rule = next((one for one in found if asked["name"] in (one.name, one.id) and not one.ended), None)
        if rule is None:
            raise BadSetting("there is no rule of this name")
        await rules.run_again(box, rule.id, scope=EVERYTHING, actor=SYSTEM)
        await rule_runs.run_to_end(box, rule)
        return await rules.rule(box, rule.id, scope=EVERYTHING, actor=SYSTEM)

    rule = run(existing(chosen), job)
    print(f"{rule.label} on {rule.labelled} {rule.level}")
    return 0


def ohif_install(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Fetch the OHIF viewer and put its files where `serve` serves them at /ohif/."""
    from dicomweb_box.web import ohif_files

    package = Path(asked["package"]) if asked["package"] is not None else None
    if package is not None and not package.is_file():
        raise BadSetting(f"{package} is not there")
    count = ohif_files.install(chosen.data, package)
    print(f"installed {ohif_files.PACKAGE} {count} files")
    return 0


def _print_imported(imported: "Imported") -> None:
    from rich.table import Table

    counts = {
        "stored": imported.stored,
        "already there": imported.already,
        "refused": len(imported.refused),
        "skipped": imported.skipped,
    }
    table = Table("outcome", "files", title="Import", title_justify="left")
    for outcome, count in counts.items():
        table.add_row(outcome, str(count))
    out = console()
    out.print(table)
    if imported.refused:
        refused = Table("file", "reason", "why", title="Refused", title_justify="left")
        for one in imported.refused:
            refused.add_row(one.name, one.reason, one.message)
        out.print(refused)


def grammar(commands: Any) -> None:
    """Add the commands of the archive itself."""
    one = command(commands, "serve", serve, "run the archive")
    for name in (
        "host", "port", "dimse_host", "dimse_port", "dimse_tls_port", "ae_title",
        "workers", "dimse_workers", "role",
    ):  # fmt: skip
        flag(one, name)
    for name in ("demo", "no_auth"):
        flag(one, name, action="store_const", const=True)

    one = command(commands, "import", import_paths, "store files, folders and zip archives")
    one.add_argument("paths", nargs="+", metavar="PATH")
    one.add_argument(
        "--session", default="local", metavar="NAME", help="name kept as the source of what is imported"
    )
    one.add_argument("--json", action="store_true", help="print the result as JSON")

    one = command(commands, "check", check, "compare index and blobs, digests included")
    one.add_argument("--repair", action="store_true", help="index orphans again and count anew")
    one.add_argument("--json", action="store_true", help="print the result as JSON")

    command(commands, "reindex", reindex, "rebuild the index from the blobs alone")
    command(commands, "migrate", migrate, "bring the database to this version's schema")

    one = command(commands, "settings", show_settings, "print every setting and where its value comes from")
    for name in settings.NAMES:
        if name not in ("data", "config") and name not in settings.SECRET:
            flag(one, name)
    one.add_argument("--json", action="store_true", help="print them as JSON")

    index = commands.add_parser("index", help="declare attributes for search")
    index_commands = index.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    one = command(index_commands, "add", index_add, "declare one")
    one.add_argument("attribute", metavar="KEYWORD|TAG")
    command(index_commands, "list", index_list, "print those declared")

    rule = commands.add_parser("rule", help="rules that label by themselves")
    rule_commands = rule.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    one = command(rule_commands, "list", rule_list, "print those there are")
    one.add_argument("--json", action="store_true", help="print them as JSON")
    one = command(rule_commands, "run", rule_run, "run one over all that is stored")
    one.add_argument("name", metavar="NAME")

    ohif = commands.add_parser("ohif", help="the OHIF viewer at /ohif/")
    ohif_commands = ohif.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    one = command(ohif_commands, "install", ohif_install, "fetch it by npm, or take it from a file")
    one.add_argument("--from", dest="package", metavar="FILE.tgz", help="package file that is already here")
