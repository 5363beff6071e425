"""Where the master keys come from: a file that only we can read, the environment, or a command.

A key is written `dwbkey_` and 32 random bytes in base64url; several stand one a line, or with spaces or
commas between, the newest first. No message ever carries what was read.
"""

import base64
import binascii
import os
import re
import secrets
import shlex
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from dicomweb_box.errors import BadSetting
from dicomweb_box.settings import Settings

PREFIX = "dwbkey_"
KEY_BYTES = 32
COMMAND_TIMEOUT = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The master keys, the one that seals first."""

    keys: tuple[bytes, ...] = field(repr=False)
    origin: str
    """For people: where they were found."""
    stamp: tuple[int, ...] = ()
    """Another one where the file has changed since."""


def find(settings: Settings) -> Found | None:
    """The keys there are; None where there is no key file yet.

    Raises BadSetting for keys that cannot be meant, a file that others can read, or a command that fails.
    """
    if settings.key is not None:
        return Found(keys=_parsed(settings.key, "setting key"), origin="setting key")
    if settings.key_command is not None:
        return Found(keys=_parsed(_asked(settings.key_command), "key_command"), origin="key_command")
    return read(key_file(settings))


def read(path: Path) -> Found | None:
    """The keys in a key file; see `find`."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            _refuse_open_to_others(path, os.fstat(file.fileno()))
            stamp, text = _stamp(os.fstat(file.fileno())), file.read(1 << 16)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadSetting(f"key file {path} cannot be read: {error.strerror}") from error
    return Found(keys=_parsed(text, f"key file {path}"), origin=str(path), stamp=stamp)


def stamp(settings: Settings) -> tuple[int, ...]:
    """What `Found.stamp` would be now."""
    if settings.key is not None or settings.key_command is not None:
        return ()
    try:
        return _stamp(key_file(settings).stat())
    except OSError:
        return ()


def key_file(settings: Settings) -> Path:
    """Where the key file is, or will be."""
    return settings.data / "keys" / "box.key"


def make(settings: Settings) -> None:
    """The key file with a first key; one that another process made meanwhile stays as it is."""
    path = key_file(settings)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_at(path, secrets.token_bytes(KEY_BYTES))


def make_at(path: Path, key: bytes) -> None:
    """A key file with this key; one that is there stays as it is."""
    written = _written(path, (key,))
    try:
        # A link does not replace what is there, as a rename would: the first one counts.
        path.hardlink_to(written)
    except FileExistsError:
        pass
    finally:
        written.unlink()
    sync_folder(path.parent)


def prepend(settings: Settings, keys: tuple[bytes, ...]) -> None:
    """A new key before these in the key file."""
    path = key_file(settings)
    _written(path, (secrets.token_bytes(KEY_BYTES), *keys)).replace(path)
    sync_folder(path.parent)


def _written(path: Path, keys: tuple[bytes, ...]) -> Path:
    """A file beside the key file with these keys, durable and for our eyes alone."""
    descriptor, name = tempfile.mkstemp(prefix=".box.key-", dir=path.parent)  # with mode 0600
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.writelines(f"{spelled(key)}\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def spelled(key: bytes) -> str:
    """A key as it is written."""
    return PREFIX + base64.urlsafe_b64encode(key).rstrip(b"=").decode()


def _parsed(text: str, origin: str) -> tuple[bytes, ...]:
    words = re.split(r"[\s,]+", re.sub(r"#.*", "", text).strip())
    keys = tuple(_key(word, origin) for word in words if word)
    if not keys:
        raise BadSetting(f"{origin} holds no key")
    if len(set(keys)) < len(keys):
        raise BadSetting(f"{origin} holds a key twice")
    return keys


def _key(word: str, origin: str) -> bytes:
    given = word.removeprefix(PREFIX)
    try:
        key = base64.b64decode(given + "=" * (-len(given) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not word.startswith(PREFIX) or len(key) != KEY_BYTES:
        raise BadSetting(
            f"{origin} holds something that is no key: one is {PREFIX} and 43 of A–Z a–z 0–9 - _"
        )
    if len(set(key)) < 8:
        raise BadSetting(f"{origin} holds a key that is not random")
    return key


def _asked(command: str) -> str:
    try:
        answer = subprocess.run(  # noqa: S603  (the operator's own command, without a shell)
            shlex.split(command),
            capture_output=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, ValueError) as error:
        raise BadSetting(f"key_command cannot be run ({type(error).__name__})") from error
    except subprocess.TimeoutExpired:
        # Without its cause: that would carry what the command printed so far.
        raise BadSetting(f"key_command did not end within {COMMAND_TIMEOUT:.0f} s") from None
    if answer.returncode:
        raise BadSetting(f"key_command ended with code {answer.returncode}")
    return answer.stdout.decode("ascii", errors="replace")


def refuse_open_to_others(path: Path) -> None:
    """Raise BadSetting where others can read a file with secrets, or put another in its place."""
    _refuse_open_to_others(path, path.stat())


def _refuse_open_to_others(path: Path, stat: os.stat_result) -> None:
    if stat.st_mode & 0o077:
        raise BadSetting(f"key file {path} can be read by others: chmod 600 it, and rotate the key")
    if path.parent.stat().st_mode & 0o022:
        raise BadSetting(f"folder {path.parent} can be written by others: chmod 700 it")


def _stamp(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def sync_folder(folder: Path) -> None:
    """Make durable which files are in a folder of keys. Blocks; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
