"""Passwords: how they are kept (argon2id, RFC 9106), compared and made."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import argon2

from dicomweb_box.box import Box
from dicomweb_box.errors import BadRequest

T = TypeVar("T")

SHORTEST, LONGEST = 12, 256
"""Characters. NIST SP 800-63B asks for no rules beyond length and a list of known bad ones."""
# OWASP's choice for 2 of memory and time: 46 MiB, 1 pass, 1 lane.
_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=46 << 10, parallelism=1)
_AT_ONCE = 2
"""Each costs 46 MiB and a CPU for some 50 ms."""
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without those that look alike."""


class _Threads:
    """Few threads of their own, so that guessing never fills those of the archive."""

    def __init__(self, box: Box) -> None:
        del box
        self.pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords")
        self.dummy = ""

    async def close(self) -> None:
        """End them."""
        self.pool.shutdown(cancel_futures=True)


def acceptable(password: str, *, name: str = "") -> str:
    """The password as it is kept (NFKC); raises BadRequest with what is wrong with it."""
    password = unicodedata.normalize("NFKC", password)
    if len(password) < SHORTEST:
        raise BadRequest(f"A password has at least {SHORTEST} characters.")
    if len(password) > LONGEST:
        raise BadRequest(f"A password has at most {LONGEST} characters.")
    if len(set(password)) < 5 or (name and name.casefold() in password.casefold()):
        raise BadRequest("This password is too easy to guess.")
    return password


async def hashed(box: Box, password: str) -> str:
    """The password as it is kept."""
    return await _in_thread(box, _HASHER.hash, unicodedata.normalize("NFKC", password))


async def matches(box: Box, kept: str | None, password: str) -> bool:
    """Whether a password is the kept one; the same work where none is kept."""
    threads = box.resource(_Threads, _Threads)
    if not threads.dummy:
        threads.dummy = await _in_thread(box, _HASHER.hash, secrets.token_urlsafe())
    password = unicodedata.normalize("NFKC", password[: LONGEST + 1])
    same = await _in_thread(box, _verify, kept or threads.dummy, password)
    return same and kept is not None


def generated() -> str:
    """A password for somebody to use once: 80 bits in four groups."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def _verify(kept: str, password: str) -> bool:
    try:
        return _HASHER.verify(kept, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


async def _in_thread(box: Box, work: Callable[..., T], *arguments: Any) -> T:
    pool = box.resource(_Threads, _Threads).pool
    return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
