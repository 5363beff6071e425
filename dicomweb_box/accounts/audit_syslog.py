"""Sends the audit to another machine: DICOM audit messages by syslog over TLS (RFC 5425), in their order.

Each batch has a connection of its own, which is closed in an orderly way: that the other side has read to
its end is all that syslog lets us know. Only then the mark moves on, so that what was not delivered is sent
later; after a kill in between, some is sent twice, never less than once.
"""

import contextlib
import logging
import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from dicomweb_box.accounts.audit_message import syslog
from dicomweb_box.accounts.audit_search import COLUMNS, told
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Writer
from dicomweb_box.settings import Settings

log = logging.getLogger(__name__)

PORT = 6514
"""RFC 5425 4.1."""
MARK = "audit sent to"
TIMEOUT = 10.0
_AT_ONCE = 200


async def deliver(box: Box) -> bool:
    """Send the next rows; False when there are none, or they cannot be sent now."""
    if box.settings.audit_syslog is None:
        return False
    after = await sent(box)
    rows = await box.database.fetch_all(
        f"select {COLUMNS} from audit where id > :after order by id limit :most",
        {"after": after, "most": _AT_ONCE},
    )
    if not rows:
        return False
    host = _host_name()
    source = f"{box.settings.ae_title}@{host}" if host else box.settings.ae_title
    messages = [syslog(told(row), source=source, host=host) for row in rows]
    if not await _sent_now(box, messages):
        return False
    await box.database.write(lambda w: _move(w, int(rows[-1]["id"])))
    return True


class _Delivery:
    """Whether it failed last: said once, not each time it is tried again."""

    def __init__(self, box: Box) -> None:
        del box
        self.failing = False

    async def close(self) -> None:
        """Nothing is held open."""


async def _sent_now(box: Box, messages: Sequence[bytes]) -> bool:
    delivery = box.resource(_Delivery, _Delivery)
    try:
        await in_thread(box, send, box.settings, messages)
    except OSError as error:
        if not delivery.failing:
            log.error("the audit cannot be sent to its syslog server now: %s", error)  # noqa: TRY400
        delivery.failing = True
        return False
    if delivery.failing:
        log.warning("the audit is sent to its syslog server again")
    delivery.failing = False
    return True


async def sent(box: Box) -> int:
    """The last row that was delivered."""
    return int(
        await box.database.fetch_value("select value from mark where name = :name", {"name": MARK}) or 0
    )


async def _move(w: Writer, to: int) -> None:
    await w.execute(
        "insert into mark (name, value) values (:name, :value)"
        " on conflict (name) do update set value = excluded.value",
        {"name": MARK, "value": str(to)},
    )


def send(settings: Settings, messages: Sequence[bytes]) -> None:
    """Send messages to the server that the settings name, and hear that it read them; raises OSError."""
    to = urlsplit(settings.audit_syslog or "")
    host = to.hostname or ""
    trusted = ssl.create_default_context(cafile=settings.audit_syslog_ca)
    with (
        socket.create_connection((host, to.port or PORT), timeout=TIMEOUT) as plain,
        trusted.wrap_socket(plain, server_hostname=host) as secure,
    ):
        for message in messages:
            secure.sendall(message)
        # Its own end of the stream comes after it has read ours; a reset instead is an error.
        with contextlib.suppress(ssl.SSLEOFError):
            secure.unwrap()


def _host_name() -> str:
    name = socket.gethostname()
    return name if name.isascii() and name.isprintable() and " " not in name else ""
