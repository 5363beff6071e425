"""How many associations a peer may have, over processes and their deaths."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from conformance.server import environment
from dicomweb_box.box import Box
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.places import Places, places
from tests.outbound.told import made

_OTHER = """
import sys
from pathlib import Path
from types import SimpleNamespace as Some
from dicomweb_box.outbound.places import Places

of = Places(Some(settings=Some(data=Path(sys.argv[1]))))
held = [of.take(Some(id=sys.argv[2], associations=int(sys.argv[3]))) for _ in range(int(sys.argv[4]))]
print(sum(one is not None for one in held), flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(box: Box, peer: Peer, wanted: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another one that takes so many places, and how many it has got."""
    arguments = [str(box.settings.data), peer.id, str(peer.associations), str(wanted)]
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as other:
        assert other.stdout is not None
        yield other, int(other.stdout.readline())
        other.kill()


async def test_a_peer_has_its_places_over_all_processes_and_those_of_a_killed_one_are_free(box: Box) -> None:
    peer = await made(box, associations=3)
    first = places(box).take(peer)
    assert first is not None

    with another_process(box, peer, 5) as (other, got):
        assert got == 2
        assert places(box).take(peer) is None
        other.send_signal(signal.SIGKILL)
        other.wait(30)

    assert places(box).take(peer) is not None
    assert places(box).take(peer) is not None
    assert places(box).take(peer) is None
    first()
    first()  # once is enough
    with another_process(box, peer, 2) as (_, got):
        assert got == 1


async def test_peers_do_not_take_places_of_one_another_and_fewer_places_hold_at_once(box: Box) -> None:
    north = await made(box, associations=1)
    south = await made(box, name="south", ae_title="SOUTH", associations=2)

    assert places(box).take(north) is not None
    assert [places(box).take(south) is not None for _ in range(3)] == [True, True, False]
    assert places(box).take(north) is None


async def test_places_are_free_when_the_box_is_closed(box: Box) -> None:
    peer = await made(box, associations=1)
    of = Places(box)
    assert of.take(peer) is not None

    await of.close()

    with another_process(box, peer, 1) as (_, got):
        assert got == 1
