"""Who may ask what over DIMSE: each service that is offered, by peers with and without it, and by strangers.

It is all asked over real associations; what is outside of a peer's part of the archive is answered as what
was never there.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
from dicomweb_box.archive import labelling
from dicomweb_box.dimse import server
from dicomweb_box.dimse.services import Offer
from dicomweb_box.outbound import known_peers, peers, refused_callers
from dicomweb_box.outbound.services import EVERY_SERVICE, Service
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.errors import Aborted, Rejected
from tests.accounts.dimse_door import OFFERED, Door, asked, decoded, ids_of, may, opened
from tests.accounts.stored import Object, store
from tests.conftest import MakeBox

NOT_AUTHORIZED = 0x0124
BY_UID = [one for one in OFFERED if one[1] in (commands.C_FIND_RQ, commands.C_GET_RQ, commands.C_MOVE_RQ)]
ABOUT_OBJECTS = [one for one in BY_UID if one[2].service is not Service.WORKLIST]
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
LEVELS = ("STUDY", "SERIES", "IMAGE")
KEPT = ("study", "series", "instance", "change", "transfer")


@pytest.fixture
async def door(make_box: MakeBox) -> AsyncIterator[Door]:
    async with make_box(no_auth=False) as box, opened(box) as made:
        yield made


@pytest.fixture
async def inside(door: Door) -> Object:
    """An instance that is stored, labelled and from a source of its own."""
    made = Object()
    await store(door.box, made, source="north")
    await labelling.change(door.box, [(made.study, "")], add=["Trial"], scope=EVERYTHING, actor=SYSTEM)
    return made


@pytest.fixture
async def outside(door: Door) -> Object:
    """Another one, from another source and without a label."""
    made = Object()
    await store(door.box, made, source="south")
    return made


async def state(door: Door) -> list[object]:
    counts = ", ".join(f"(select count(*) from {table})" for table in KEPT)
    return list(await door.box.database.fetch_one(f"select {counts}") or ())


async def test_each_service_is_answered_to_those_who_may_ask_for_it_alone(door: Door, inside: Object) -> None:
    sets = {
        **{f"ONLY_{one.upper()}": frozenset({one}) for one in Service},
        **{f"BUT_{one.upper()}": EVERY_SERVICE - {one} for one in Service},
        "EVERYTHING": EVERY_SERVICE,
        "NOTHING": frozenset[Service](),
    }
    for title, services in sets.items():
        await door.peer(title, may=services)
    for title, services in sets.items():
        association = await door.call(title)
        for offered in OFFERED:
            of = Object() if offered[1] in (commands.C_STORE_RQ, commands.N_CREATE_RQ) else inside
            before = await state(door)
            found = await asked(association, offered, of, title=title)
            allowed = may(offered[2], services)
            assert (found.status != NOT_AUTHORIZED) is allowed, (title, ids_of(offered), found)
            if not allowed:
                assert found.statuses == (NOT_AUTHORIZED,)
                assert found.identifiers == (b"",)
                assert found.given == ()
                assert await state(door) == before, (title, ids_of(offered))
        await association.release()
    assert {offer.service for _, _, offer in OFFERED} >= {
        Service.ECHO,
        Service.STORE,
        Service.RETRIEVE,
        Service.MOVE,
    }


async def test_what_who_may_asks_for_is_done(door: Door, inside: Object) -> None:
    await door.peer("ALICE", may=EVERY_SERVICE)
    for offered in ABOUT_OBJECTS:
        found = await door.ask("ALICE", offered, inside, level="STUDY", keys={"PatientID": "north"})
        assert found.status == 0, (ids_of(offered), found)
        if offered[1] == commands.C_GET_RQ:
            assert found.given == (inside.instance,)
    assert set(door.archive.stored) == {inside.instance}


MOVING = [one for one in OFFERED if one[2].service is Service.MOVE]


@pytest.mark.parametrize("offered", MOVING, ids=ids_of)
async def test_sending_to_others_takes_another_right_than_getting_for_oneself(
    door: Door, inside: Object, offered: tuple[str, int, Offer]
) -> None:
    await door.peer("SENDER", may=frozenset({Service.MOVE}))
    await door.peer("READER", may=frozenset({Service.RETRIEVE}))
    await door.peer("OTHER")
    for title, destination, allowed in (
        ("SENDER", "OTHER", True),
        ("SENDER", "SENDER", False),
        ("READER", "READER", True),
        ("READER", "OTHER", False),
        ("READER", "NOBODY", False),
    ):
        found = await door.ask(
            title, offered, inside, destination=destination, level="STUDY", keys={"PatientID": "north"}
        )
        assert (found.status == 0) is allowed, (title, destination, found)
        assert allowed or found.status == NOT_AUTHORIZED
        assert (inside.instance in door.archive.stored) is allowed
        door.archive.stored.clear()


async def test_strangers_get_no_association(door: Door) -> None:
    await door.peer("FAR", may=EVERY_SERVICE, addresses=("192.0.2.0/24",))
    await door.peer("SECURE", may=EVERY_SERVICE, certificate=hashlib.sha256(b"").hexdigest())
    await door.peer("GONE", may=EVERY_SERVICE)
    await peers.remove(door.box, "GONE", actor=SYSTEM)
    for title in ("STRANGER", "FAR", "SECURE", "GONE", "far"):
        with pytest.raises(Rejected) as refused:
            await door.call(title)
        assert (refused.value.source, refused.value.reason) == (1, 3), title
    with pytest.raises(Rejected) as refused:
        await door.call("FAR", called="OTHER")
    assert (refused.value.source, refused.value.reason) == (1, 7)
    await refused_callers.refused_callers(door.box).write()
    told = {one.ae_title: one.count for one in await refused_callers.every(door.box)}
    assert told == {"STRANGER": 1, "FAR": 2, "SECURE": 1, "GONE": 1, "far": 1}


@pytest.mark.parametrize("offered", OFFERED, ids=ids_of)
async def test_what_is_taken_away_is_gone_in_the_middle_of_an_association(
    door: Door, offered: tuple[str, int, Offer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ASK_AGAIN", 0.0)
    monkeypatch.setattr(known_peers, "LOOK_EVERY", 0.0)
    await door.peer("ALICE", may=EVERY_SERVICE)
    association = await door.call("ALICE")
    of = Object()
    assert (await asked(association, offered, of, title="ALICE")).status != NOT_AUTHORIZED
    peer = await peers.by_name(door.box, "ALICE")
    told = replace(peers.particulars_of(peer), may=frozenset[Service]())
    await peers.change(door.box, "ALICE", told, actor=SYSTEM)
    assert (await asked(association, offered, of, title="ALICE")).status == NOT_AUTHORIZED
    await peers.remove(door.box, "ALICE", actor=SYSTEM)
    with pytest.raises(Aborted):
        await asked(association, offered, of, title="ALICE")


def parts(inside: Object) -> dict[str, dict[str, Any]]:
    """Parts of the archive in which `inside` is, and one with nothing."""
    return {
        "BY_LABEL": {"labels": ["trial"]},
        "BY_SOURCE": {"sources": ["north"]},
        "BY_STUDY": {"studies": [inside.study]},
        "EMPTY": {"studies": []},
    }


@pytest.mark.parametrize("offered", ABOUT_OBJECTS, ids=ids_of)
async def test_what_is_outside_of_the_scope_is_answered_as_what_is_not_there(
    door: Door, inside: Object, outside: Object, offered: tuple[str, int, Offer]
) -> None:
    invented = Object()
    await door.peer("WHOLE", may=EVERY_SERVICE)
    for title, scope in parts(inside).items():
        await door.peer(title, may=EVERY_SERVICE, scope=scope)
        for level in LEVELS:
            keys = {"PatientID": "south"}
            found = await door.ask(title, offered, outside, level=level, keys=keys)
            none = await door.ask(title, offered, invented, level=level, keys=keys)
            assert found.told(outside) == none.told(invented), (title, level)
            assert found.given == ()
            seen = await door.ask(title, offered, inside, level=level, keys={"PatientID": "north"})
            whole = await door.ask("WHOLE", offered, inside, level=level, keys={"PatientID": "north"})
            assert (seen.told(inside) == whole.told(inside)) is (title != "EMPTY"), (title, level)
    assert outside.instance not in door.archive.stored
    known = await door.ask("WHOLE", offered, outside, level="STUDY", keys={"PatientID": "south"})
    assert known.told(outside) != none.told(invented), "who sees everything sees no more"


async def test_a_search_for_everything_finds_what_is_inside(
    door: Door, inside: Object, outside: Object
) -> None:
    (finding,) = (one for one in OFFERED if one[0] == STUDY_ROOT_FIND)
    everything = Object(study="", series="", instance="")
    for title, scope in {"WHOLE": {}, **parts(inside)}.items():
        await door.peer(title, may=EVERY_SERVICE, scope=scope)
        expected = {"WHOLE": {inside.study, outside.study}, "EMPTY": set[str]()}.get(title, {inside.study})
        for keys in ({}, {"PatientName": "*"}, {"PatientID": "*"}, {"ModalitiesInStudy": "CT"}):
            found = await door.ask(title, finding, everything, level="STUDY", keys=keys)
            studies = [decoded(one).StudyInstanceUID for one in found.identifiers if one]
            assert sorted(studies) == sorted(expected), (title, keys)


async def test_nothing_is_stored_outside_of_the_scope(door: Door, inside: Object, outside: Object) -> None:
    (storing,) = (one for one in OFFERED if one[1] == commands.C_STORE_RQ)
    await door.peer("PART", may=EVERY_SERVICE, scope={"studies": [inside.study]})
    await door.peer("EMPTY", may=EVERY_SERVICE, scope={"studies": []})
    before = await state(door)
    for title, of in (
        ("PART", Object()),
        ("PART", Object(study=outside.study)),
        ("PART", Object(study=outside.study, series=outside.series)),
        ("EMPTY", Object(study=inside.study)),
    ):
        found = await door.ask(title, storing, of)
        assert found.status == NOT_AUTHORIZED, (title, found)
    assert await state(door) == before
    assert (await door.ask("PART", storing, Object(study=inside.study))).status == 0
