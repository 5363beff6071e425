"""The command line: one function for each command, results to standard output, all else to standard error."""

import argparse
import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dicomweb_box import __version__, settings
from dicomweb_box import log as logs
from dicomweb_box.errors import BadRequest, BadSetting, BoxError

if TYPE_CHECKING:
    from dicomweb_box.archive.importing import Imported
    from dicomweb_box.box import Box

# What a command needs is imported in it: `settings` or `--help` need not wait for an archive to load.

FAILED, WRONG = 1, 2
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """argparse's parser, with one line for a wrong command line; a flag is written in full."""

    def __init__(self, **more: Any) -> None:
        # Else `--key …` would be taken for `--key-command …`.
        super().__init__(allow_abbrev=False, **more)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with code 2."""
        self.exit(WRONG, f"{self.prog}: {message}; see {self.prog} --help\n")


_NOBODY_ELSES = 0o027
"""What is written holds patients' data: neither read nor listed by other users of the machine."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0, 1 for a job that failed, 2 for a wrong command line."""
    asked = vars(_parser().parse_args(arguments))
    os.umask(os.umask(_NOBODY_ELSES) | _NOBODY_ELSES)
    command: Callable[[settings.Settings, dict[str, Any]], int] = asked.pop("command")
    flags = {name: asked.pop(name) for name in list(asked) if name in settings.NAMES}
    try:
        return command(settings.load(flags, settings.environment()), asked)
    except (BadSetting, BadRequest) as error:
        return _failed(str(error), WRONG)
    except BoxError as error:
        return _failed(str(error), FAILED)
    except OSError as error:
        return _failed(
            f"{error.strerror or type(error).__name__}: {error.filename or ''}".rstrip(": "), FAILED
        )
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return FAILED
    except Exception as error:  # noqa: BLE001  (never a traceback: the operator gets one line)
        place = traceback.extract_tb(error.__traceback__)[-1]
        return _failed(f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}", FAILED)


def _failed(sentence: str, code: int) -> int:
    print(f"dicomweb-box: {' '.join(sentence.split())}", file=sys.stderr)
    return code


# Commands


def serve(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Run the archive until told to stop."""
    from dicomweb_box import serve as supervisor

    logs.set_up("supervisor", level=chosen.log_level, style=chosen.log_format)
    try:
        return supervisor.serve(chosen)
    except supervisor.StartFailed as error:
        return _failed(str(error), FAILED)


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
        with _progress("Importing", len(files)) as advance:
            source = f"import:{asked['session']}"
            await importing.import_all(box, files, imported, source=source, progress=advance)

    _run(chosen, job)
    if asked["json"]:
        _print_json(asdict(imported))
    else:
        _print_imported(imported)
    return FAILED if imported.refused else 0


def _existing(chosen: settings.Settings) -> settings.Settings:
    """The same; BadSetting where there is no archive yet: a mistyped folder must not look sound."""
    if (
        chosen.database_url is None
        and not (chosen.data / "index.db").exists()
        and not (chosen.data / "blobs").exists()
    ):
        raise BadSetting(f"there is no archive in {chosen.data}")
    return chosen


def check(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Compare index and blobs; 1 if anything is missing, orphaned, damaged or miscounted."""
    from dicomweb_box.archive import check as checking

    report = _run(_existing(chosen), lambda box: checking.check(box, repair=asked["repair"]))
    if asked["json"]:
        _print_json(asdict(report))
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

    rebuilt = _run(_existing(chosen), rebuilding.reindex)
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
    explained = settings.explain(chosen)
    if asked["json"]:
        _print_json([asdict(one) for one in explained])
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

    attribute = _run(chosen, lambda box: declared.declare(box, asked["attribute"]))
    print(f"{attribute.path} {'ready' if attribute.ready else 'filling'}")
    return 0


def index_list(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print the declared attributes."""
    from dicomweb_box.archive import declared

    for attribute in _run(_existing(chosen), declared.declared):
        print(f"{attribute.path} {'ready' if attribute.ready else 'filling'}")
    return 0


def rule_list(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print the rules, what each labels, and how far it has run."""
    from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
    from dicomweb_box.archive import rules

    found = _run(_existing(chosen), lambda box: rules.every(box, scope=EVERYTHING, actor=SYSTEM))
    if asked["json"]:
        names = ("id", "name", "conditions", "level", "label", "enabled", "run", "labelled")
        _print_json([{name: getattr(rule, name) for name in names} for rule in found])
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

    rule = _run(_existing(chosen), job)
    print(f"{rule.label} on {rule.labelled} {rule.level}")
    return 0


def user_add(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Make an account; print its password where none was given."""
    from dicomweb_box.accounts import users
    from dicomweb_box.accounts.access import SYSTEM

    password = _password_given(asked)
    made = _run(
        chosen,
        lambda box: users.add(
            box,
            asked["name"],
            role=asked["as_role"],
            full_name=asked["full_name"],
            scope=_scope(asked),
            password=password,
            must_change=password is None,
            actor=SYSTEM,
        ),
    )
    if password is None:
        print(made)
    return 0


def user_list(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print the accounts."""
    from dicomweb_box.accounts import users

    found = _run(_existing(chosen), users.every)
    if asked["json"]:
        _print_json([asdict(one) for one in found])
        return 0
    for one in found:
        print(f"{one.name}: {one.role}{', disabled' if one.disabled else ''}")
    return 0


def user_disable(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Let an account log in no more, or again."""
    from dicomweb_box.accounts import users
    from dicomweb_box.accounts.access import SYSTEM

    disabled = not asked["enable"]
    _run(
        _existing(chosen),
        lambda box: users.set_disabled(box, asked["name"], disabled=disabled, actor=SYSTEM),
    )
    return 0


def user_passwd(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Give an account a password; print it where none was given."""
    from dicomweb_box.accounts import users
    from dicomweb_box.accounts.access import SYSTEM

    password = _password_given(asked)
    given = _run(
        _existing(chosen),
        lambda box: users.set_password(
            box, asked["name"], password, must_change=password is None, actor=SYSTEM
        ),
    )
    if password is None:
        print(given)
    return 0


def user_reset_factor(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Take the second factor off an account, and end its log-ins."""
    from dicomweb_box.accounts import second_factor
    from dicomweb_box.accounts.access import SYSTEM

    _run(_existing(chosen), lambda box: second_factor.reset(box, asked["name"], actor=SYSTEM))
    return 0


def token_create(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Make a token; print its secret, which is told nowhere else."""
    from dicomweb_box.accounts import tokens
    from dicomweb_box.accounts.access import SYSTEM

    rights = [name.strip() for name in asked["rights"].split(",") if name.strip()]
    _, secret = _run(
        chosen,
        lambda box: tokens.create(
            box,
            asked["name"],
            rights=rights,
            actor=SYSTEM,
            expires=tokens.life(asked["expires"]) if asked["expires"] else None,
            scope=_scope(asked),
            peer=asked["peer"],
        ),
    )
    print(secret)
    return 0


def token_list(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print the tokens, never their secrets."""
    from dicomweb_box.accounts import tokens

    found = _run(_existing(chosen), tokens.every)
    if asked["json"]:
        _print_json([asdict(one) for one in found])
        return 0
    for one in found:
        state = "revoked" if one.revoked_at else f"until {one.ends_at}" if one.ends_at else "without end"
        print(f"{one.id} {one.name}: {','.join(one.rights)}, {state}, last used {one.used_at or 'never'}")
    return 0


def token_revoke(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Let a token be valid no more, by its name or key."""
    from dicomweb_box.accounts import tokens
    from dicomweb_box.accounts.access import SYSTEM

    async def job(box: "Box") -> None:
        meant = [
            one
            for one in await tokens.every(box)
            if asked["name"] in (one.name, one.id) and one.revoked_at is None
        ]
        if not meant:
            raise BadSetting("there is no valid token of this name")
        for one in meant:
            await tokens.revoke(box, one.id, actor=SYSTEM)

    _run(_existing(chosen), job)
    return 0


def peer_add(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Make a peer."""
    from dicomweb_box.accounts.access import SYSTEM
    from dicomweb_box.outbound import peers
    from dicomweb_box.outbound.particulars import Particulars, address_of
    from dicomweb_box.outbound.services import services_of

    title, host, port = address_of(asked["dimse"])
    numbers = ("pdu_size", "connect_timeout", "response_timeout", "idle_timeout", "associations")
    told = Particulars(
        name=asked["name"],
        ae_title=title,
        host=host,
        port=port,
        tls=asked["tls"],
        certificate=asked["certificate"],
        addresses=tuple(asked["addresses"] or ()),
        may=services_of(name.strip() for name in asked["may"].split(",") if name.strip()),
        scope=_scope(asked),
        syntaxes=asked["syntaxes"],
        charset=asked["charset"],
        **{name: asked[name] for name in numbers if asked[name] is not None},
    )
    peer = _run(chosen, lambda box: peers.add(box, told, actor=SYSTEM))
    print(peer.name)
    return 0


def peer_list(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print the peers."""
    from dicomweb_box.outbound import peers

    found = _run(_existing(chosen), peers.every)
    if asked["json"]:
        _print_json([peers.resource(one) for one in found])
        return 0
    for one in found:
        place = f"@{one.host}:{one.port}{' by TLS' if one.tls else ''}" if one.host else ", only calls"
        print(f"{one.name}: {one.ae_title}{place}, may {','.join(sorted(one.may)) or 'nothing'}")
    return 0


def peer_echo(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Call a peer and print what works; 1 unless it answered C-ECHO."""
    from dicomweb_box.outbound import echo, peers

    async def job(box: "Box") -> echo.Echo:
        return await echo.echo(box, await peers.by_name(box, asked["name"]))

    found = _run(_existing(chosen), job)
    if asked["json"]:
        _print_json(asdict(found))
    else:
        for step in found.steps:
            print(f"{'works' if step.works else 'fails'}  {step.name}: {step.words}")
        for offer in found.services:
            print(f"{'offers' if offer.accepted else 'lacks '} {offer.service}")
    return 0 if found.works else FAILED


def peer_remove(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Know a peer no more."""
    from dicomweb_box.accounts.access import SYSTEM
    from dicomweb_box.outbound import peers

    _run(_existing(chosen), lambda box: peers.remove(box, asked["name"], actor=SYSTEM))
    return 0


def key_rotate(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Make a new master key and seal everything with it anew."""
    from dicomweb_box.accounts import key_rotation

    rotated = _run(_existing(chosen), key_rotation.rotate)
    print(f"{rotated.key} seals; sealed anew {rotated.sealed}")
    return 0


def key_check(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Say which master keys there are and what they seal; 1 if something cannot be unsealed."""
    from dicomweb_box.accounts import key_rotation

    report = _run(_existing(chosen), key_rotation.check)
    if asked["json"]:
        _print_json(asdict(report))
    else:
        print(f"keys from {report.origin}")
        for key in report.keys:
            print(f"{key.id} seals {key.sealed}")
        print(f"lost {len(report.lost)}", *report.lost, sep="\n  ")
    return FAILED if report.lost else 0


def _password_given(asked: dict[str, Any]) -> str | None:
    if not asked["password_stdin"]:
        return None
    return sys.stdin.readline().rstrip("\r\n")


def _scope(asked: dict[str, Any]) -> dict[str, Any]:
    """The part of the archive that flags name; a kind that none names is not bounded."""
    return {kind: asked[kind] for kind in ("labels", "sources", "studies") if asked[kind]}


def query(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Ask a peer what it has, and print its answers."""
    from dicomweb_box.dicom import remote_query
    from dicomweb_box.outbound import dimse_scu, peers

    wrong = next((one for one in asked["keys"] if "=" not in one), None)
    if wrong is not None:
        raise BadSetting("what is asked for is written KEY=VALUE, as PatientID=4711")
    keys = dict(one.split("=", 1) for one in asked["keys"])
    question = remote_query.remote_query(remote_query.LEVELS[asked["level"]], keys)

    async def job(box: "Box") -> dimse_scu.Found:
        peer = await peers.by_name(box, asked["peer"])
        return await dimse_scu.query(box, peer, question, most=asked["most"])

    found = _run(_existing(chosen), job)
    if asked["json"]:
        _print_json({"answers": list(found.rows), "more": found.more})
        return 0
    _print_answers(found.rows, question.level)
    if found.more:
        print(f"there are more than {asked['most']}", file=sys.stderr)
    return 0


def retrieve(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Bring studies of a peer here; 1 unless all of what was waited for is here."""
    from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
    from dicomweb_box.outbound import bringing, peers

    async def make(box: "Box") -> str:
        peer = await peers.by_name(box, asked["peer"])
        return await bringing.bring(box, peer, asked["studies"], actor=SYSTEM, scope=EVERYTHING)

    return _transferred(chosen, asked, make)


def send(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Send studies to a peer; 1 unless all of what was waited for was delivered."""
    from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
    from dicomweb_box.outbound import peers, transfers

    async def make(box: "Box") -> str:
        peer = await peers.by_name(box, asked["to"])
        wanted = transfers.Wanted(kind="send", peer=peer.name, actor=SYSTEM, scope=EVERYTHING)
        return await box.database.write(lambda w: transfers.enqueue_studies(w, box, wanted, asked["studies"]))

    return _transferred(chosen, asked, make)


def _transferred(
    chosen: settings.Settings, asked: dict[str, Any], make: "Callable[[Box], Coroutine[Any, Any, str]]"
) -> int:
    """Make a transfer, and wait for it where that is asked for or nobody else would do it."""
    from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
    from dicomweb_box.outbound import kinds, transfers, worker

    def seen(box: "Box", key: str) -> "Coroutine[Any, Any, transfers.Transfer]":
        return transfers.transfer(box, key, scope=EVERYTHING, actor=SYSTEM)

    async def job(box: "Box") -> int:
        key = await make(box)
        waits = asked["wait"] or not worker.is_running(chosen.data)
        if waits:
            with _progress("Transferring", (await seen(box, key)).items) as advance:
                watching = asyncio.create_task(_watched(lambda: seen(box, key), advance))
                await worker.run_one(box, key, kinds.HANDLERS)
                watching.cancel()
        found = await seen(box, key)
        left = [one for one in await transfers.items(box, key, most=10_000) if one.state != "delivered"]
        _print_transfer(found, left if waits else [], as_json=asked["json"])
        return FAILED if waits and found.state != "delivered" else 0

    code: int = _run(_existing(chosen), job)
    return code


async def _watched(seen: Callable[[], Coroutine[Any, Any, Any]], advance: Callable[[], None]) -> None:
    """Move the progress bar as items end."""
    ended = 0
    while True:
        now = (await seen()).ended
        for _ in range(now - ended):
            advance()
        ended = now
        await asyncio.sleep(0.5)


def ohif_install(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Fetch the OHIF viewer and put its files where `serve` serves them at /ohif/."""
    from dicomweb_box.web import ohif_files

    package = Path(asked["package"]) if asked["package"] is not None else None
    if package is not None and not package.is_file():
        raise BadSetting(f"{package} is not there")
    count = ohif_files.install(chosen.data, package)
    print(f"installed {ohif_files.PACKAGE} {count} files")
    return 0


# How commands run and speak


def _run(chosen: settings.Settings, job: Callable[["Box"], Coroutine[Any, Any, Any]]) -> Any:
    from dicomweb_box.box import open_box

    if chosen.data.exists() and not chosen.data.is_dir():
        raise BadSetting(f"{chosen.data} is not a folder")
    logs.set_up("command", level="warning", style=chosen.log_format)

    async def main() -> Any:
        async with open_box(chosen) as box:
            return await job(box)

    return asyncio.run(main())


def _progress(label: str, total: int) -> AbstractContextManager[Callable[[], None]]:
    if not sys.stderr.isatty():
        return nullcontext(lambda: None)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    class Bar(Progress):
        def __enter__(self) -> Callable[[], None]:  # type: ignore[override]  # hands out its step, not itself
            super().__enter__()
            task = self.add_task(label, total=total)
            return lambda: self.advance(task)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Bar(*columns, console=Console(stderr=True))


def _print_imported(imported: "Imported") -> None:
    from rich.console import Console
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
    # A table that is read by a program or kept in a file is not cut to some width.
    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False, markup=False)
    console.print(table)
    if imported.refused:
        refused = Table("file", "reason", "why", title="Refused", title_justify="left")
        for one in imported.refused:
            refused.add_row(one.name, one.reason, one.message)
        console.print(refused)


def _print_answers(rows: Sequence[Any], level: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from dicomweb_box.dicom.remote_query import RETURNED, tag_of
    from dicomweb_box.web import words

    names = [name for name in RETURNED[level] if any(tag_of(name) in row for row in rows)]  # type: ignore[index]
    table = Table(*names)
    for row in rows:
        found = [words.values(row, tag_of(name)) for name in names]
        table.add_row(*("\\".join(_plain(value) for value in values) for values in found))
    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False, markup=False)
    console.print(table)


def _plain(value: Any) -> str:
    """A value on one line; another system wrote it, so that nothing in it moves the cursor."""
    text = value.get("Alphabetic", "") if isinstance(value, dict) else str(value)
    return "".join(one if one.isprintable() else " " for one in text)


def _print_transfer(found: Any, left: Sequence[Any], *, as_json: bool) -> None:
    if as_json:
        from dicomweb_box.outbound.transfers import resource

        _print_json(resource(found) | {"not_delivered": [asdict(one) for one in left]})
        return
    print(f"transfer {found.id} {found.state}: {found.delivered} of {found.items} delivered")
    if found.open and found.reason:
        print(f"  {found.reason}")
    for one in left:
        uid = one.instance_uid or one.series_uid or one.study_uid
        print(f"  {one.state} {uid} {one.reason}".rstrip())


def _print_json(content: Any) -> None:
    print(json.dumps(content, ensure_ascii=False, indent=2))


# Grammar


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="dicomweb-box", description="The DICOMweb-native image archive.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    one = _command(commands, "serve", serve, "run the archive")
    for name in (
        "host", "port", "dimse_host", "dimse_port", "dimse_tls_port", "ae_title",
        "workers", "dimse_workers", "role",
    ):  # fmt: skip
        _flag(one, name)
    for name in ("demo", "no_auth"):
        _flag(one, name, action="store_const", const=True)

    one = _command(commands, "import", import_paths, "store files, folders and zip archives")
    one.add_argument("paths", nargs="+", metavar="PATH")
    one.add_argument(
        "--session", default="local", metavar="NAME", help="name kept as the source of what is imported"
    )
    one.add_argument("--json", action="store_true", help="print the result as JSON")

    one = _command(commands, "check", check, "compare index and blobs, digests included")
    one.add_argument("--repair", action="store_true", help="index orphans again and count anew")
    one.add_argument("--json", action="store_true", help="print the result as JSON")

    _command(commands, "reindex", reindex, "rebuild the index from the blobs alone")
    _command(commands, "migrate", migrate, "bring the database to this version's schema")

    one = _command(commands, "settings", show_settings, "print every setting and where its value comes from")
    for name in settings.NAMES:
        if name not in ("data", "config") and name not in settings.SECRET:
            _flag(one, name)
    one.add_argument("--json", action="store_true", help="print them as JSON")

    index = commands.add_parser("index", help="declare attributes for search")
    index_commands = index.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    one = _command(index_commands, "add", index_add, "declare one")
    one.add_argument("attribute", metavar="KEYWORD|TAG")
    _command(index_commands, "list", index_list, "print those declared")

    _transfer_grammar(commands)
    _user_grammar(commands)
    _token_grammar(commands)
    _key_grammar(commands)
    _peer_grammar(commands)

    rule = commands.add_parser("rule", help="rules that label by themselves")
    rule_commands = rule.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    one = _command(rule_commands, "list", rule_list, "print those there are")
    one.add_argument("--json", action="store_true", help="print them as JSON")
    one = _command(rule_commands, "run", rule_run, "run one over all that is stored")
    one.add_argument("name", metavar="NAME")

    ohif = commands.add_parser("ohif", help="the OHIF viewer at /ohif/")
    ohif_commands = ohif.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    one = _command(ohif_commands, "install", ohif_install, "fetch it by npm, or take it from a file")
    one.add_argument("--from", dest="package", metavar="FILE.tgz", help="package file that is already here")
    return parser


def _transfer_grammar(commands: Any) -> None:
    one = _command(commands, "query", query, "ask a peer what it has")
    one.add_argument("peer", metavar="PEER")
    one.add_argument("keys", nargs="+", metavar="KEY=VALUE", help="as PatientName=Doe*, or a tag")
    one.add_argument("--level", choices=("study", "series", "instance"), default="study")
    one.add_argument("--most", type=int, default=500, metavar="NUMBER", help="answers to take")
    one.add_argument("--json", action="store_true", help="print them as DICOM JSON")

    for name, run, meaning in (
        ("retrieve", retrieve, "bring studies of a peer here"),
        ("send", send, "send studies to a peer"),
    ):
        one = _command(commands, name, run, meaning)
        if name == "retrieve":
            one.add_argument("peer", metavar="PEER")
        else:
            one.add_argument("--to", required=True, metavar="PEER")
        one.add_argument("studies", nargs="+", metavar="STUDY_UID")
        one.add_argument("--wait", action="store_true", help="until nothing more can be done now")
        one.add_argument("--json", action="store_true", help="print the result as JSON")


def _user_grammar(commands: Any) -> None:
    user = commands.add_parser("user", help="accounts of people")
    nested = user.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    one = _command(nested, "add", user_add, "make one; prints its one-time password")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--role", dest="as_role", metavar="ROLE", required=True)
    one.add_argument("--full-name", default="", metavar="NAME")
    one.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    _scope_flags(one)

    one = _command(nested, "list", user_list, "print them")
    one.add_argument("--json", action="store_true", help="print them as JSON")

    one = _command(nested, "disable", user_disable, "let one log in no more")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--enable", action="store_true", help="let it log in again")

    one = _command(nested, "passwd", user_passwd, "give one a password; prints a one-time password")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--password-stdin", action="store_true", help="read the password from standard input")

    one = _command(nested, "reset-factor", user_reset_factor, "take the second factor off one")
    one.add_argument("name", metavar="NAME")


def _token_grammar(commands: Any) -> None:
    token = commands.add_parser("token", help="tokens for programs and peers")
    nested = token.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    one = _command(nested, "create", token_create, "make one; prints its secret once")
    one.add_argument("--name", required=True)
    one.add_argument(
        "--scope", required=True, dest="rights", metavar="RIGHT,…", help="what it may do, as read,store"
    )
    one.add_argument("--peer", metavar="PEER", help="the peer that acts with it")
    one.add_argument("--expires", metavar="TIME", help="as 12h, 90d, 4w, 1y; never if not given")
    _scope_flags(one)

    one = _command(nested, "list", token_list, "print them, never their secrets")
    one.add_argument("--json", action="store_true", help="print them as JSON")

    one = _command(nested, "revoke", token_revoke, "let one be valid no more")
    one.add_argument("name", metavar="NAME|KEY")


def _key_grammar(commands: Any) -> None:
    key = commands.add_parser("key", help="master keys that seal secrets")
    nested = key.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    _command(nested, "rotate", key_rotate, "make a new one and seal everything with it anew")
    one = _command(nested, "check", key_check, "say which there are and what they seal, never themselves")
    one.add_argument("--json", action="store_true", help="print it as JSON")


def _peer_grammar(commands: Any) -> None:
    peer = commands.add_parser("peer", help="systems that this box talks to")
    nested = peer.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    one = _command(nested, "add", peer_add, "make one")
    one.add_argument("name", metavar="NAME")
    one.add_argument(
        "--dimse",
        required=True,
        metavar="AET[@HOST:PORT]",
        help="its AE title, and where it listens if it does",
    )
    one.add_argument(
        "--may",
        default="echo,store",
        metavar="SERVICE,…",
        help="what it may ask for, of echo, store, find, retrieve, move, commit, worklist, mpps (echo,store)",
    )
    one.add_argument("--tls", action="store_true", help="it is called by TLS")
    one.add_argument("--certificate", metavar="SHA256", help="digest of the certificate that it must show")
    one.add_argument(
        "--from",
        dest="addresses",
        action="append",
        metavar="NETWORK",
        help="where it calls from, or any; its host's addresses if not given; repeatable",
    )
    one.add_argument("--syntaxes", default="any", metavar="any|uncompressed", help="transfer syntaxes for it")
    one.add_argument("--charset", metavar="TERM", help="Specific Character Set of its answers, as ISO_IR 100")
    one.add_argument("--pdu-size", type=int, metavar="BYTES", help="longest PDU that it is told to send")
    for flag, what in (
        ("connect", "to accept a connection and an association"),
        ("response", "to answer a request"),
        ("idle", "between two messages"),
    ):
        one.add_argument(
            f"--{flag}-timeout", type=int, metavar="SECONDS", help=f"how long it may take {what}"
        )
    one.add_argument("--associations", type=int, metavar="N", help="most at once, each way")
    _scope_flags(one)

    one = _command(nested, "list", peer_list, "print them")
    one.add_argument("--json", action="store_true", help="print them as JSON")

    one = _command(nested, "echo", peer_echo, "call one and say what works")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--json", action="store_true", help="print it as JSON")

    one = _command(nested, "remove", peer_remove, "know one no more")
    one.add_argument("name", metavar="NAME")


def _scope_flags(parser: argparse.ArgumentParser) -> None:
    for flag, kind, what in (
        ("--label", "labels", "with this label"),
        ("--source", "sources", "from this source"),
        ("--study", "studies", "of this study"),
    ):
        parser.add_argument(
            flag,
            dest=kind,
            action="append",
            metavar=kind[:-1].upper(),
            help=f"only what is {what}; repeatable",
        )


def _command(
    commands: Any, name: str, run: Callable[[settings.Settings, dict[str, Any]], int], meaning: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=meaning, description=meaning)
    parser.set_defaults(command=run)
    _flag(parser, "data")
    _flag(parser, "config")
    return parser


def _flag(parser: argparse.ArgumentParser, name: str, **more: Any) -> None:
    knob = next(knob for knob in settings.KNOBS if knob.name == name)
    meaning = knob.metadata["meaning"].replace("%", "%%")
    if "action" not in more:
        more["metavar"] = name.upper()
    parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=meaning, **more)
