"""Commands about other systems: who they are, what they have, what goes there and comes from there."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dicomweb_box import settings
from dicomweb_box.cli.grammar import Parser, command, scope_flags, scope_of
from dicomweb_box.cli.running import FAILED, console, existing, print_json, progress, run
from dicomweb_box.errors import BadSetting

if TYPE_CHECKING:
    from dicomweb_box.box import Box

CONFIRMED_WITHIN = 30.0
"""Seconds that who waits for a transfer waits for the peer to report that it keeps it."""


def peer_add(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Make a peer."""
    from dicomweb_box.accounts.access import SYSTEM
    from dicomweb_box.outbound import peers
    from dicomweb_box.outbound.particulars import Particulars, address_of
    from dicomweb_box.outbound.services import services_of

    title, host, port = address_of(asked["dimse"])
    timeouts = ("connect_timeout", "response_timeout", "idle_timeout")
    numbers = ("pdu_size", *timeouts, "associations", "transfers")
    told = Particulars(
        name=asked["name"],
        ae_title=title,
        host=host,
        port=port,
        tls=asked["tls"],
        proxy=asked["proxy"],
        certificate=asked["certificate"],
        addresses=tuple(asked["addresses"] or ()),
        may=services_of(name.strip() for name in asked["may"].split(",") if name.strip()),
        scope=scope_of(asked),
        syntaxes=asked["syntaxes"],
        charset=asked["charset"],
        **{name: asked[name] for name in numbers if asked[name] is not None},
    )
    peer = run(chosen, lambda box: peers.add(box, told, actor=SYSTEM))
    print(peer.name)
    return 0


def peer_list(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Print the peers."""
    from dicomweb_box.outbound import peers

    found = run(existing(chosen), peers.every)
    if asked["json"]:
        print_json([peers.resource(one) for one in found])
        return 0
    for one in found:
        offered = ", offered as a proxy" if one.proxy else ""
        place = f"@{one.host}:{one.port}{' by TLS' if one.tls else ''}" if one.host else ", only calls"
        print(f"{one.name}: {one.ae_title}{place}, may {','.join(sorted(one.may)) or 'nothing'}{offered}")
    return 0


def peer_echo(chosen: settings.Settings, asked: dict[str, Any]) -> int:
    """Call a peer and print what works; 1 unless it answered C-ECHO."""
    from dicomweb_box.outbound import echo, peers

    async def job(box: "Box") -> echo.Echo:
        return await echo.echo(box, await peers.by_name(box, asked["name"]))

    found = run(existing(chosen), job)
    if asked["json"]:
        print_json(asdict(found))
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

    run(existing(chosen), lambda box: peers.remove(box, asked["name"], actor=SYSTEM))
    return 0


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

    found = run(existing(chosen), job)
    if asked["json"]:
        print_json({"answers": list(found.rows), "more": found.more})
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
    from dicomweb_box.outbound import enqueueing, peers

    async def make(box: "Box") -> str:
        peer = await peers.by_name(box, asked["to"])
        wanted = enqueueing.Wanted(kind="send", peer=peer.name, actor=SYSTEM, scope=EVERYTHING)
        return await box.database.write(
            lambda w: enqueueing.enqueue_studies(w, box, wanted, asked["studies"])
        )

    return _transferred(chosen, asked, make)


def _transferred(
    chosen: settings.Settings, asked: dict[str, Any], make: "Callable[[Box], Coroutine[Any, Any, str]]"
) -> int:
    """Make a transfer, and wait for it where that is asked for or nobody else would do it."""
    from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
    from dicomweb_box.outbound import confirmations, kinds, transfers, worker

    def seen(box: "Box", key: str) -> "Coroutine[Any, Any, transfers.Transfer]":
        return transfers.transfer(box, key, scope=EVERYTHING, actor=SYSTEM)

    async def job(box: "Box") -> int:
        key = await make(box)
        waits = asked["wait"] or not worker.is_running(chosen.data)
        if waits:
            with progress("Transferring", (await seen(box, key)).items) as advance:
                watching = asyncio.create_task(_watched(lambda: seen(box, key), advance))
                await worker.run_one(box, key, kinds.HANDLERS)
                watching.cancel()
            await _asked(box, key, most=CONFIRMED_WITHIN if worker.is_running(chosen.data) else 0)
        found, asking = await seen(box, key), await confirmations.of(box, key)
        left = [one for one in await transfers.items(box, key, most=10_000) if one.state != "delivered"]
        _print_transfer(found, left if waits else [], asking, as_json=asked["json"])
        return FAILED if waits and found.state != "delivered" else 0

    code: int = run(existing(chosen), job)
    return code


async def _asked(box: "Box", key: str, *, most: float) -> None:
    """Have the peer asked whether it keeps what it was sent; wait a while for reports that come elsewhere."""
    from dicomweb_box.outbound import confirmations, kinds, worker

    until = asyncio.get_running_loop().time() + most
    while (asking := await confirmations.of(box, key)) is not None and asking.open:
        await worker.run_one(box, asking.asking_id, kinds.HANDLERS)
        if asyncio.get_running_loop().time() >= until:
            break
        await asyncio.sleep(0.2)


async def _watched(seen: Callable[[], Coroutine[Any, Any, Any]], advance: Callable[[], None]) -> None:
    """Move the progress bar as items end."""
    ended = 0
    while True:
        now = (await seen()).ended
        for _ in range(now - ended):
            advance()
        ended = now
        await asyncio.sleep(0.5)


def _print_answers(rows: Sequence[Any], level: str) -> None:
    from rich.table import Table

    from dicomweb_box.dicom.remote_query import RETURNED, tag_of
    from dicomweb_box.web import words

    names = [name for name in RETURNED[level] if any(tag_of(name) in row for row in rows)]  # type: ignore[index]
    table = Table(*names)
    for row in rows:
        found = [words.values(row, tag_of(name)) for name in names]
        table.add_row(*("\\".join(_plain(value) for value in values) for values in found))
    console().print(table)


def _plain(value: Any) -> str:
    """A value on one line; another system wrote it, so that nothing in it moves the cursor."""
    text = value.get("Alphabetic", "") if isinstance(value, dict) else str(value)
    return "".join(one if one.isprintable() else " " for one in text)


def _print_transfer(found: Any, left: Sequence[Any], asking: Any, *, as_json: bool) -> None:
    if as_json:
        from dicomweb_box.outbound.transfers import resource

        confirmation = {"confirmation": asking and asdict(asking)}
        print_json(resource(found) | confirmation | {"not_delivered": [asdict(one) for one in left]})
        return
    print(f"transfer {found.id} {found.state}: {found.delivered} of {found.items} delivered")
    if asking is not None:
        print(f"  {found.verified} of {found.delivered} confirmed to be kept. {asking.reason}".rstrip())
    if found.open and found.reason:
        print(f"  {found.reason}")
    for one in left:
        uid = one.instance_uid or one.series_uid or one.study_uid
        print(f"  {one.state} {uid} {one.reason}".rstrip())


def grammar(commands: Any) -> None:
    """Add these commands."""
    _transfer_grammar(commands)
    _peer_grammar(commands)


def _transfer_grammar(commands: Any) -> None:
    one = command(commands, "query", query, "ask a peer what it has")
    one.add_argument("peer", metavar="PEER")
    one.add_argument("keys", nargs="+", metavar="KEY=VALUE", help="as PatientName=Doe*, or a tag")
    one.add_argument("--level", choices=("study", "series", "instance"), default="study")
    one.add_argument("--most", type=int, default=500, metavar="NUMBER", help="answers to take")
    one.add_argument("--json", action="store_true", help="print them as DICOM JSON")

    for name, work, meaning in (
        ("retrieve", retrieve, "bring studies of a peer here"),
        ("send", send, "send studies to a peer"),
    ):
        one = command(commands, name, work, meaning)
        if name == "retrieve":
            one.add_argument("peer", metavar="PEER")
        else:
            one.add_argument("--to", required=True, metavar="PEER")
        one.add_argument("studies", nargs="+", metavar="STUDY_UID")
        one.add_argument("--wait", action="store_true", help="until nothing more can be done now")
        one.add_argument("--json", action="store_true", help="print the result as JSON")


def _peer_grammar(commands: Any) -> None:
    peer = commands.add_parser("peer", help="systems that this box talks to")
    nested = peer.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    one = command(nested, "add", peer_add, "make one")
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
    one.add_argument("--proxy", action="store_true", help="offer it under /dicom-web/proxy/NAME")
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
    one.add_argument("--transfers", type=int, metavar="N", help="most batches of transfers at once")
    scope_flags(one)

    one = command(nested, "list", peer_list, "print them")
    one.add_argument("--json", action="store_true", help="print them as JSON")

    one = command(nested, "echo", peer_echo, "call one and say what works")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--json", action="store_true", help="print it as JSON")

    one = command(nested, "remove", peer_remove, "know one no more")
    one.add_argument("name", metavar="NAME")
