"""Recovery codes: ten texts on paper, each good once, for whoever has lost the second factor."""

from collections.abc import Sequence

from dicomweb_box.accounts import passwords
from dicomweb_box.accounts.credentials import digest
from dicomweb_box.box import Box
from dicomweb_box.database import Writer

MANY = 10


def made() -> list[str]:
    """New ones, 80 random bits each."""
    return [passwords.generated() for _ in range(MANY)]


async def keep(w: Writer, account: str, codes: Sequence[str]) -> None:
    """Let an account have these and no others; random as they are, a plain digest hides them."""
    await w.execute("delete from recovery_code where account_id = :account", {"account": account})
    if codes:
        rows = [{"account": account, "digest": digest(_plain(code))} for code in codes]
        await w.execute_many(
            "insert into recovery_code (account_id, digest) values (:account, :digest)", rows
        )


async def use(w: Writer, account: str, code: str) -> bool:
    """Whether it was one of the account's; it is none any more."""
    used = await w.fetch_value(
        "delete from recovery_code where account_id = :account and digest = :digest returning digest",
        {"account": account, "digest": digest(_plain(code))},
    )
    return used is not None


async def left(box: Box, account: str) -> int:
    """How many an account still has."""
    return int(
        await box.database.fetch_value(
            "select count(*) from recovery_code where account_id = :account", {"account": account}
        )
    )


def _plain(code: str) -> str:
    """A code as it was made, however it was typed."""
    return "".join(letter for letter in code.casefold() if letter.isalnum())
