"""The second factor: one-time passwords by time (TOTP, RFC 6238), and recovery codes in its place.

Whoever sets it up is shown a secret, which nothing keeps until a code made with it has come back. A code is
good once: the last used step is kept, and none before it counts any more (RFC 6238 5.2).
"""

import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyotp

from dicomweb_box.accounts import audit, guessing, keys, recovery_codes
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.granting import COMMAND_LINE, Giver, check_account
from dicomweb_box.accounts.known import changed, known
from dicomweb_box.box import Box
from dicomweb_box.database import Writer
from dicomweb_box.errors import BadRequest, Conflict, Damaged, NotFound

ISSUER = "dicomweb_box"
"""What the other device calls us."""
OFFERED_FOR = timedelta(minutes=30)
_SLACK = 1
"""Steps of 30 seconds that the other device's clock may be off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A secret to set up the other device with."""

    secret: str = field(repr=False)
    """In base32, as people type it."""
    address: str = field(repr=False)
    """`otpauth://…`, as a QR code carries it."""
    sealed: str = field(repr=False)
    """To be given back with a code: the box keeps nothing of an offer."""


async def offer(box: Box, account: str, name: str) -> Offer:
    """A new secret for an account."""
    secret = pyotp.random_base32()
    until = (box.clock() + OFFERED_FOR).timestamp()
    sealed = await keys.seal(box, _offered(account), json.dumps([secret, until]).encode())
    return Offer(secret=secret, address=_totp(secret, name).provisioning_uri(), sealed=sealed)


async def taken_up(box: Box, account: str, name: str, sealed: str) -> Offer:
    """The offer of before, to be shown again; raises BadRequest where it holds no more."""
    try:
        secret, until = json.loads(await keys.unseal(box, _offered(account), sealed))
    except Damaged:
        raise BadRequest("This is not what was offered; begin again.") from None
    if box.clock().timestamp() > until:
        raise BadRequest("This was offered too long ago; begin again.")
    return Offer(secret=secret, address=_totp(secret, name).provisioning_uri(), sealed=sealed)


async def enrol(
    box: Box, account: str, offered: Offer, code: str, *, actor: Actor, keep_session: str | None
) -> list[str]:
    """Ask an account for a second factor from now on; its recovery codes, which are told nowhere else.

    Every other log-in of it ends. Raises BadRequest for a wrong code, Conflict where it has one already.
    """
    step = _step(offered.secret, code, box.clock())
    if step is None:
        raise BadRequest("This is not the code of this moment; is the clock of the device right?")
    sealed, codes = await keys.seal(box, _purpose(account), offered.secret.encode()), recovery_codes.made()

    async def work(w: Writer) -> bool:
        had_none = await w.fetch_value(
            "update account set second_factor = :sealed, second_factor_step = :step"
            " where id = :account and second_factor is null and issuer is null returning id",
            {"sealed": sealed, "step": step, "account": account},
        )
        if had_none is not None:
            await recovery_codes.keep(w, account, codes)
            await w.execute(
                "delete from session where account_id = :account and id <> :kept",
                {"account": account, "kept": keep_session or ""},
            )
            await _record(w, box, actor, account, "set up")
            await changed(w)
        return had_none is not None

    if not await box.database.write(work):
        raise Conflict("This account has a second factor already.")
    known(box).forget()
    return codes


async def passes(box: Box, account: str, name: str, code: str, *, address: str) -> bool:
    """Whether a code of the device, or a recovery code, is right; it is good no more.

    Raises TooMany where guessing is slowed down: apart from passwords, since a right one comes before.
    """
    async with guessing.attempt(box, f"{name}\0code", address, longest=guessing.LONGEST_CODE) as attempt:
        attempt.name, attempt.told = name, False
        attempt.right = await _right(box, account, code)
    return attempt.right


async def _right(box: Box, account: str, code: str) -> bool:
    row = await box.database.fetch_one(
        "select second_factor from account where id = :account", {"account": account}
    )
    if row is None or row["second_factor"] is None:
        return False
    secret = (await keys.unseal(box, _purpose(account), row["second_factor"])).decode()
    step = _step(secret, code, box.clock())

    async def work(w: Writer) -> bool:
        if step is None:
            return await recovery_codes.use(w, account, code)
        used = await w.fetch_value(
            "update account set second_factor_step = :step"
            " where id = :account and second_factor_step < :step returning id",
            {"step": step, "account": account},
        )
        return used is not None

    return await box.database.write(work)


async def renew_codes(box: Box, account: str, *, actor: Actor) -> list[str]:
    """New recovery codes in place of the old ones; raises NotFound for an account without a second factor."""
    codes = recovery_codes.made()

    async def work(w: Writer) -> bool:
        has = await w.fetch_value(
            "select count(*) from account where id = :account and second_factor is not null",
            {"account": account},
        )
        if has:
            await recovery_codes.keep(w, account, codes)
            await _record(w, box, actor, account, "new recovery codes")
        return bool(has)

    if not await box.database.write(work):
        raise NotFound("This account has no second factor.")
    return codes


async def remove(box: Box, account: str, *, actor: Actor) -> None:
    """Ask an account for no second factor any more."""

    async def work(w: Writer) -> None:
        await _removed(w, account)
        await _record(w, box, actor, account, "removed")

    await box.database.write(work)
    known(box).forget()


async def reset(box: Box, name: str, *, actor: Actor, giver: Giver = COMMAND_LINE) -> None:
    """Take the second factor off somebody's account, and end its log-ins.

    Raises NotFound, or Forbidden where the account has more than `giver` may give.
    """

    async def work(w: Writer) -> bool:
        account = await w.fetch_value(
            "select id from account where folded = :folded", {"folded": name.casefold()}
        )
        if account is not None:
            await check_account(w, giver, account)
            await _removed(w, account)
            await _record(w, box, actor, account, "reset")
            await w.execute("delete from session where account_id = :account", {"account": account})
        return account is not None

    if not await box.database.write(work):
        raise NotFound("There is no account of this name.")
    known(box).forget()


async def _removed(w: Writer, account: str) -> None:
    await w.execute("update account set second_factor = null where id = :account", {"account": account})
    await recovery_codes.keep(w, account, ())
    await changed(w)


async def _record(w: Writer, box: Box, actor: Actor, account: str, done: str) -> None:
    name = await w.fetch_value("select name from account where id = :account", {"account": account})
    about = {"account": str(name), "second factor": done}
    await audit.record(w, box, audit.Entry(actor=actor, action=Action.ACCOUNT, about=about))


def _step(secret: str, code: str, now: datetime) -> int | None:
    """The step of time that a code belongs to; None for a wrong one."""
    code, totp = code.replace(" ", ""), pyotp.TOTP(secret)
    step = totp.timecode(now)
    near = range(step - _SLACK, step + _SLACK + 1)
    # Each is compared, whichever is right.
    right = [one for one in near if hmac.compare_digest(totp.generate_otp(one).encode(), code.encode())]
    return max(right, default=None)


def _totp(secret: str, name: str) -> pyotp.TOTP:
    return pyotp.TOTP(secret, name=name, issuer=ISSUER)


def _purpose(account: str) -> str:
    return f"second factor {account}"


def _offered(account: str) -> str:
    return f"offered second factor {account}"
