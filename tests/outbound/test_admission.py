"""Who is let in over DIMSE, and who is not."""

import hashlib

import pytest

from dicomweb_box.accounts.access import ANYBODY
from dicomweb_box.accounts.rights import Right
from dicomweb_box.box import Box
from dicomweb_box.outbound import hosts, refused_callers
from dicomweb_box.outbound.admission import Caller, Refusal, caller, place
from dicomweb_box.outbound.services import EVERY_SERVICE, Service
from tests.conftest import MakeBox
from tests.outbound.told import made

CERTIFICATE = b"a certificate as DER"
CALLING, CALLED, LOCAL_LIMIT = (1, 1, 3), (1, 1, 7), (2, 3, 2)


@pytest.fixture
async def guarded(make_box: MakeBox):
    async with make_box(no_auth=False) as box:
        yield box


async def asked(box: Box, **more: object) -> Caller | Refusal:
    given = {"called": "DICOMWEB_BOX", "calling": "MODALITY1", "address": "10.1.2.3", "certificate": None}
    return await caller(box, **given | more)  # type: ignore[arg-type]


async def let_in(box: Box, **more: object) -> Caller:
    found = await asked(box, **more)
    assert isinstance(found, Caller), found
    return found


async def refused(box: Box, **more: object) -> tuple[int, int, int]:
    found = await asked(box, **more)
    assert isinstance(found, Refusal)
    return found.result, found.source, found.reason


async def noted(box: Box) -> list[refused_callers.RefusedCaller]:
    await refused_callers.refused_callers(box).write()
    return list(await refused_callers.every(box))


async def test_a_peer_is_let_in_as_itself_with_what_it_may(guarded: Box) -> None:
    peer = await made(
        guarded, may=frozenset({Service.STORE, Service.FIND}), scope={"sources": ["dimse:MODALITY1"]}
    )

    found = await let_in(guarded, calling="MODALITY1  ", called=" DICOMWEB_BOX ")

    assert found.peer == peer
    assert (found.identity.actor.name, found.identity.actor.kind) == ("north", "peer")
    assert found.identity.actor.address == "10.1.2.3"
    assert found.identity.rights == {Right.STORE, Right.SEE, Right.IDENTITIES}
    assert found.identity.scope.sources == {"dimse:MODALITY1"}
    assert found.source == "dimse:MODALITY1"
    assert [one for one in Service if found.may(one)] == [Service.STORE, Service.FIND]


async def test_one_that_may_retrieve_may_not_search_for_that(guarded: Box) -> None:
    await made(guarded, may=frozenset({Service.RETRIEVE}))
    found = await let_in(guarded)
    assert found.may(Service.RETRIEVE)
    assert not found.may(Service.FIND)
    assert not found.may(Service.ECHO)


@pytest.mark.dicom("PS3.8 9.3.4")
async def test_strangers_and_calls_for_another_title_are_refused(guarded: Box) -> None:
    await made(guarded)
    assert await refused(guarded, calling="STRANGER") == CALLING
    assert await refused(guarded, calling="modality1") == CALLING
    assert await refused(guarded, called="ANY-SCP") == CALLED
    assert await refused(guarded, calling="") == CALLING
    assert await refused(guarded, calling="A\\B") == CALLING


async def test_strangers_are_refused_where_there_is_no_peer_at_all(guarded: Box) -> None:
    assert await refused(guarded) == CALLING


async def test_any_title_may_be_called_where_the_setting_says_so(make_box: MakeBox) -> None:
    async with make_box(no_auth=False, dimse_any_called=True) as box:
        await made(box)
        await let_in(box, called="ANY-SCP")


async def test_a_peer_calls_from_its_host_unless_networks_are_named(guarded: Box) -> None:
    await made(guarded)
    await made(guarded, name="wide", ae_title="WIDE", addresses=("192.0.2.0/24", "2001:db8::/32"))
    await made(guarded, name="mobile", ae_title="MOBILE", host=None, addresses=("any",))

    assert await refused(guarded, address="10.1.2.4") == CALLING
    await let_in(guarded, address="::ffff:10.1.2.3")
    await let_in(guarded, calling="WIDE", address="192.0.2.200")
    await let_in(guarded, calling="WIDE", address="2001:db8::1%eth0")
    assert await refused(guarded, calling="WIDE", address="10.1.2.3") == CALLING
    await let_in(guarded, calling="MOBILE", address="198.51.100.1")
    await let_in(guarded, calling="MOBILE", address="2001:db8::9")
    assert await refused(guarded, calling="MOBILE", address="unknown") == CALLING


async def test_the_name_of_a_host_is_looked_up_and_remembered(
    guarded: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    async def found(host: str) -> tuple[hosts.Address, ...]:
        looked.append(host)
        return (hosts.plain_address("192.0.2.1"),) if host == "pacs.example.org" else ()

    monkeypatch.setattr(hosts, "_looked_up", found)
    await made(guarded, host="pacs.example.org")
    await made(guarded, name="lost", ae_title="LOST", host="lost.example.org")
    for _ in range(3):
        await let_in(guarded, address="192.0.2.1")
        assert await refused(guarded, calling="LOST", address="192.0.2.1") == CALLING
    assert looked == ["pacs.example.org", "lost.example.org"]


async def test_a_peer_with_a_certificate_has_to_show_it(guarded: Box) -> None:
    await made(guarded, certificate=hashlib.sha256(CERTIFICATE).hexdigest())
    assert await refused(guarded) == CALLING
    assert await refused(guarded, certificate=b"another") == CALLING
    await let_in(guarded, certificate=CERTIFICATE)
    assert await refused(guarded, certificate=CERTIFICATE, address="10.1.2.4") == CALLING


async def test_over_its_limit_a_peer_is_told_to_try_again_and_is_no_stranger(guarded: Box) -> None:
    await made(guarded, associations=1)
    found = await let_in(guarded)
    let_go = place(guarded, found)
    assert callable(let_go)
    again = place(guarded, found)
    assert isinstance(again, Refusal)
    assert (again.result, again.source, again.reason) == LOCAL_LIMIT
    let_go()
    assert callable(place(guarded, found))
    assert await noted(guarded) == []


async def test_without_accounts_everybody_is_let_in(box: Box) -> None:
    stranger = await let_in(box, calling="STRANGER", address="127.0.0.1")
    assert stranger.identity.rights == ANYBODY.rights
    assert stranger.peer is None
    assert stranger.services == EVERY_SERVICE
    peer = await made(box, may=frozenset())
    known = await let_in(box, address="127.0.0.1")
    assert known.peer == peer
    assert known.may(Service.MOVE)
    assert await refused(box, called="OTHER") == CALLED


@pytest.mark.parametrize(
    ("setting", "services"), [("echo", {Service.ECHO}), ("store", {Service.ECHO, Service.STORE})]
)
async def test_strangers_may_what_the_setting_says_and_are_nobody(
    make_box: MakeBox, setting: str, services: set[Service]
) -> None:
    async with make_box(no_auth=False, dimse_unknown=setting) as box:
        await made(box)
        found = await let_in(box, calling="STRANGER")
        assert {one for one in Service if found.may(one)} == services
        assert found.identity.actor.kind == "anonymous"
        assert found.peer is None
        assert await refused(box, address="10.9.9.9") == CALLING, "a peer's title is no stranger's"


async def test_who_was_refused_is_kept_with_count_reason_and_times(guarded: Box) -> None:
    for _ in range(3):
        await refused(guarded, calling="STRANGER")
    await noted(guarded)
    await refused(guarded, calling="STRANGER")

    (one,) = await noted(guarded)

    assert (one.ae_title, one.address, one.count) == ("STRANGER", "10.1.2.3", 4)
    assert one.why == "There is no peer of this AE title."
    assert one.first_at <= one.last_at
    assert one.can_be_accepted
    await made(guarded, ae_title="STRANGER")
    assert await noted(guarded) == []


async def test_a_hostile_title_is_kept_harmless_and_cannot_be_accepted(guarded: Box) -> None:
    for title in ("<b>\n\x1b[2J\\\0é" + "x" * 40, "'; drop table--", "\ud800", ""):
        await refused(guarded, calling=title)
    found = {one.ae_title: one for one in await noted(guarded)}
    assert set(found) == {"<b>··[2J···xxxxx", "'; drop table--", "·", ""}
    assert not found[""].can_be_accepted
    assert not found["·"].can_be_accepted


async def test_what_is_kept_of_strangers_is_bounded_for_each_address_and_in_all(guarded: Box) -> None:
    for batch in range(5):
        for number in range(100):
            await refused(guarded, calling=f"A{batch}-{number}", address="192.0.2.1")
            await refused(guarded, calling=f"B{batch}-{number}", address=f"2001:db8::{number:x}")
            await refused(guarded, calling="C", address=f"10.{batch}.0.{number}")
        found = await noted(guarded)
        assert len(found) <= refused_callers.MOST
    of = [one.address for one in found]
    assert of.count("192.0.2.1") == refused_callers.MOST_OF_A_PLACE
    assert sum(one.startswith("2001:") for one in of) == refused_callers.MOST_OF_A_PLACE
    kept = await guarded.database.fetch_value("select count(*) from refused_caller")
    assert refused_callers.MOST // 2 < kept <= refused_callers.MOST
