"""Peers: told, kept, found, changed, removed; and what cannot be one."""

from dataclasses import replace
from typing import Any

import pytest

from dicomweb_box.accounts.access import EVERYTHING, SYSTEM, Actor, Scope
from dicomweb_box.accounts.granting import Giver
from dicomweb_box.accounts.rights import Right
from dicomweb_box.box import Box, open_box
from dicomweb_box.errors import BadRequest, Conflict, Forbidden, NotFound
from dicomweb_box.outbound import hosts, known_peers, peers
from dicomweb_box.outbound.particulars import BadParticular, checked
from dicomweb_box.outbound.services import Service, rights_for, services_of
from tests.conftest import MakeBox
from tests.outbound.told import ON_A_PAGE, made, told

ALICE = Actor(name="alice", kind="user")


async def test_it_keeps_all_that_it_was_told(box: Box) -> None:
    wanted = told(
        tls=True,
        certificate="ab" * 32,
        addresses=("10.1.0.0/16", "192.0.2.7/32"),
        may=frozenset({Service.STORE, Service.FIND}),
        scope={"labels": ["Trial"]},
        syntaxes="uncompressed",
        charset="ISO_IR 100",
        pdu_size=16384,
        connect_timeout=3,
        response_timeout=4,
        idle_timeout=5,
        associations=2,
        proxy=True,
    )

    peer = await peers.add(box, wanted, actor=ALICE)

    assert peers.particulars_of(peer) == wanted
    assert (peer.kind, peer.made_by) == ("dimse", "alice")
    assert list(await peers.every(box)) == [peer]


async def test_it_is_found_by_name_in_any_case_and_by_ae_title_without_spaces(box: Box) -> None:
    peer = await made(box)

    assert await peers.by_name(box, "North") == peer
    assert await peers.by_ae_title(box, " MODALITY1 ") == peer
    assert await peers.by_ae_title(box, "modality1") is None
    with pytest.raises(NotFound):
        await peers.by_name(box, "south")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "new"}, "name"),
        ({"name": "north.json"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"ae_title": ""}, "ae_title"),
        ({"ae_title": "   "}, "ae_title"),
        ({"ae_title": "SEVENTEEN_LETTERS"}, "ae_title"),
        ({"ae_title": "A\\B"}, "ae_title"),
        ({"ae_title": "A\nB"}, "ae_title"),
        ({"ae_title": "Ä"}, "ae_title"),
        ({"host": "a b"}, "host"),
        ({"host": "http://x"}, "host"),
        ({"host": "1.2.3"}, "host"),
        ({"host": "999.1.1.1"}, "host"),
        ({"port": None}, "port"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"host": None}, "addresses"),
        ({"host": None, "addresses": ("any",), "proxy": True}, "proxy"),
        ({"addresses": ("10.0.0.0/33",)}, "addresses"),
        ({"addresses": ("here",)}, "addresses"),
        ({"addresses": tuple(f"10.0.0.{n}" for n in range(101))}, "addresses"),
        ({"certificate": "abc"}, "certificate"),
        ({"charset": "latin"}, "charset"),
        ({"syntaxes": "some"}, "syntaxes"),
        ({"pdu_size": 100}, "pdu_size"),
        ({"associations": 0}, "associations"),
        ({"response_timeout": 0}, "response_timeout"),
        ({"scope": {"patients": ["1"]}}, "scope"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_its_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(BadParticular) as refused:
        checked(told(**wrong))
    assert refused.value.field == field


@pytest.mark.dicom("PS3.5 6.2")
def test_spaces_around_an_ae_title_and_colons_in_a_digest_mean_nothing() -> None:
    found = checked(told(ae_title="  NORTH  ", certificate=":".join(["AB"] * 32), addresses=("any",)))

    assert found.ae_title == "NORTH"
    assert found.certificate == "ab" * 32
    assert found.addresses == ("0.0.0.0/0", "::/0")
    assert checked(told(host="[::ffff:10.0.0.1]")).host == "10.0.0.1"
    assert checked(told(host=None, port=5, addresses=("10.1.1.1",))).port is None
    assert checked(told(host="PACS.example.org.")).host == "pacs.example.org"
    assert checked(told(charset="\\ISO 2022 IR 87")).charset == "\\ISO 2022 IR 87"


async def test_two_peers_share_neither_name_nor_ae_title(box: Box) -> None:
    await made(box)

    with pytest.raises(Conflict, match="name"):
        await made(box, name="NORTH", ae_title="OTHER")
    with pytest.raises(Conflict, match="AE title"):
        await made(box, name="south")
    assert len(await peers.every(box)) == 1


async def test_a_change_holds_at_once_and_is_heard_of_by_others(box: Box) -> None:
    peer = await made(box)
    async with open_box(box.settings) as other:
        assert (await peers.by_name(other, "north")).port == 104

        await peers.change(
            box, "north", replace(peers.particulars_of(peer), name="south", port=105), actor=ALICE
        )

        assert (await peers.by_name(box, "south")).port == 105
        assert await peers.by_ae_title(box, "MODALITY1") == await peers.by_name(box, "south")
        known_peers.known_peers(other)._looked -= known_peers.LOOK_EVERY
        assert (await peers.by_name(other, "south")).port == 105


async def test_who_is_known_costs_no_look_up(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    await made(box)
    await peers.by_name(box, "north")
    asked: list[str] = []
    kept = type(box.database).fetch_value

    async def counted(self: Any, sql: str, *more: Any) -> Any:
        asked.append(sql)
        return await kept(self, sql, *more)

    monkeypatch.setattr(type(box.database), "fetch_value", counted)
    for _ in range(100):
        assert await peers.by_ae_title(box, "MODALITY1")
    assert asked == []


async def test_one_that_was_removed_is_not_known(box: Box) -> None:
    await made(box)
    await peers.remove(box, "North", actor=ALICE)

    assert await peers.by_ae_title(box, "MODALITY1") is None
    with pytest.raises(NotFound):
        await peers.remove(box, "north", actor=ALICE)
    with pytest.raises(NotFound):
        await peers.change(box, "north", told(), actor=ALICE)


async def test_each_change_is_in_the_audit(box: Box) -> None:
    peer = await peers.add(box, told(may=frozenset({Service.STORE})), actor=ALICE)
    await peers.change(box, "north", replace(peers.particulars_of(peer), port=105), actor=ALICE)
    await peers.remove(box, "north", actor=ALICE)

    rows = await box.database.fetch_all(
        "select actor, about from audit where action = 'change peer' order by id"
    )
    assert [row["actor"] for row in rows] == ["alice"] * 3
    assert [word in row["about"] for row, word in zip(rows, ("made", "changed port", "removed"), strict=True)]


async def test_nobody_lets_a_peer_do_what_they_may_not(box: Box) -> None:
    storing = Giver(rights=frozenset({Right.PEERS, Right.STORE}), scope=EVERYTHING)
    await peers.add(box, told(may=frozenset({Service.STORE})), actor=ALICE, giver=storing)
    with pytest.raises(Forbidden):
        await peers.change(box, "north", told(may=frozenset({Service.FIND})), actor=ALICE, giver=storing)
    part = Giver(rights=ON_A_PAGE.rights, scope=Scope(studies=frozenset({"1.2"})))
    with pytest.raises(Forbidden):
        await peers.change(box, "north", told(scope={"studies": ["1.2"]}), actor=ALICE, giver=part)
    with pytest.raises(Forbidden):
        await peers.remove(box, "north", actor=ALICE, giver=part)
    assert (await peers.by_name(box, "north")).may == {Service.STORE}


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "0.0.0.0", "224.0.0.1"]
)
async def test_addresses_that_no_peer_has_are_refused_whoever_asks(box: Box, host: str) -> None:
    for giver in (ON_A_PAGE, peers.COMMAND_LINE):
        with pytest.raises(BadParticular) as refused:
            await peers.add(box, told(host=host), actor=ALICE, giver=giver)
        assert refused.value.field == "host"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_this_machine_itself_is_refused_on_a_page_unless_the_setting_allows_it(
    make_box: MakeBox, host: str
) -> None:
    async with make_box(no_auth=False) as box:
        with pytest.raises(BadParticular, match="peer_loopback"):
            await peers.add(box, told(host=host), actor=ALICE, giver=ON_A_PAGE)
        peer = await peers.add(box, told(host=host), actor=SYSTEM)
        assert await peers.called_address(box, peer) in ("127.0.0.1", "::1")
        same = replace(peers.particulars_of(peer), port=105)
        assert (await peers.change(box, "north", same, actor=ALICE, giver=ON_A_PAGE)).port == 105
    for allowed in ({"no_auth": True}, {"no_auth": False, "peer_loopback": True}):
        async with make_box(**allowed) as box:
            await peers.add(box, told(host=host), actor=ALICE, giver=ON_A_PAGE)


async def test_a_name_that_moves_to_a_forbidden_address_is_not_called(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = await made(box, host="pacs.example.org")

    async def moved(host: str) -> tuple[hosts.Address, ...]:
        return (hosts.plain_address("10.0.0.1"), hosts.plain_address("169.254.169.254"))

    monkeypatch.setattr(hosts, "_looked_up", moved)
    hosts.hosts(box)._found.clear()
    with pytest.raises(hosts.HostRefused):
        await peers.called_address(box, peer)
    with pytest.raises(hosts.HostRefused, match="only calls"):
        await peers.called_address(
            box, await made(box, name="x", ae_title="X", host=None, addresses=("any",))
        )


def test_services_are_known_by_name_and_take_rights() -> None:
    assert services_of(["echo", "move"]) == {Service.ECHO, Service.MOVE}
    assert rights_for([Service.MOVE]) == {Right.SEE, Right.IDENTITIES, Right.SEND}
    assert rights_for([Service.ECHO]) == set()
    with pytest.raises(BadRequest, match="print"):
        services_of(["print"])
