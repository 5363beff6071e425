"""Patients' data keys: a file each, wrapped, beside the project's key and outside of the database.

A key is forgotten by overwriting its file, which stays as the sign that nobody is to make another. So a
database that is restored from a backup does not bring a patient back.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dicomweb_box.accounts.key_sources import sync_folder
from dicomweb_box.errors import Damaged
from dicomweb_box.vault.sealing import DATA_KEY_BYTES, ProjectKeys

_FORGOTTEN: Final = b"forgotten"
_MOST_DIGITS: Final = 15
_LENGTH: Final = 80
"""Of a wrapped key: Base64 of a nonce, 32 bytes and a tag."""


class Forgotten(Exception):
    """The patient was forgotten: there is no key, and there must not be one."""


class DataKeys:
    """The keys of one project's patients, by the index of the patient; blocking."""

    def __init__(self, folder: Path, keys: ProjectKeys) -> None:
        self._folder, self._keys = folder, keys

    def make_folder(self) -> None:
        """The folder for them, where there is none."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(self._folder.parent)

    def find(self, patient: str) -> bytes | None:
        """The key; None where there is none. Raises Forgotten, or Damaged where it is not of this project."""
        try:
            content = self._path(patient).read_bytes()
        except FileNotFoundError:
            return None
        if content == _FORGOTTEN:
            raise Forgotten
        if len(content) != _LENGTH:
            # Another process is at it, or was when it was killed, before anybody used the key.
            return None
        return self._keys.unwrap(patient, content.decode("ascii", errors="replace"))

    def knows(self, patient: str) -> bool:
        """Whether there is a key, or was one that is forgotten."""
        return self._path(patient).exists()

    def have(self, patient: str) -> bytes:
        """The key, made where there is none; durable when it returns. Raises as `find`."""
        found = self.find(patient)
        if found is not None:
            return found
        with self._alone():
            found = self.find(patient)
            if found is None:
                found = secrets.token_bytes(DATA_KEY_BYTES)
                self._write(self._path(patient), self._keys.wrap(patient, found).encode("ascii"))
        return found

    def forget(self, patient: str) -> None:
        """Overwrite the key; durable when it returns, and for good."""
        with self._alone():
            path = self._path(patient)
            if path.exists():
                with path.open("r+b") as file:
                    file.write(secrets.token_bytes(_LENGTH))
                    file.flush()
                    os.fsync(file.fileno())
            self._write(path, _FORGOTTEN)

    def last_number(self) -> int:
        """The highest number that was ever given, as far as this folder knows."""
        try:
            text = self._number_file.read_bytes()
        except FileNotFoundError:
            return 0
        if not text.isdigit() or len(text) > _MOST_DIGITS:
            raise Damaged(f"{self._number_file} does not hold a number.")
        return int(text)

    def note_number(self, number: int) -> None:
        """Remember that a number was given; durable when it returns."""
        with self._alone():
            if number > self.last_number():
                # Replaced whole: half of it would be a smaller number.
                part = self._number_file.with_suffix(".part")
                self._write(part, str(number).encode("ascii"))
                part.replace(self._number_file)
                sync_folder(self._folder)

    @property
    def _number_file(self) -> Path:
        return self._folder / "last-number"

    def _path(self, patient: str) -> Path:
        return self._folder / patient[:2] / patient

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time makes and forgets keys."""
        with (self._folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _write(self, path: Path, content: bytes) -> None:
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700)
            sync_folder(self._folder)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            file.truncate(len(content))
            os.fsync(file.fileno())
        sync_folder(path.parent)


def forgotten_in(folder: Path) -> int:
    """How many patients were forgotten of those whose keys were in a folder; blocking."""
    return sum(path.stat().st_size == len(_FORGOTTEN) for path in folder.glob("??/*"))
