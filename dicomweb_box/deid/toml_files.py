"""Files in TOML that people write: read with bounds, and refused by a sentence that names them."""

import tomllib
from pathlib import Path
from typing import Any, Final

from dicomweb_box.errors import BadSetting

_LARGEST: Final = 1 << 18
_MOST_DOTS: Final = 200
"""In one line: tables that a dotted key nests take memory by the square of their number."""


def read_toml(path: Path) -> dict[str, Any]:
    """What a file holds. Raises BadSetting where it cannot be read, is too long or no TOML."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise BadSetting(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > _LARGEST:
        raise BadSetting(f"{path.name} is longer than {_LARGEST} bytes")
    try:
        # Editors of some systems begin a file with a byte order mark.
        return parsed_toml(content.decode("utf-8-sig"), path.name)
    except UnicodeDecodeError as error:
        raise BadSetting(f"{path.name} is no TOML: it is not UTF-8") from error


def parsed_toml(text: str, name: str) -> dict[str, Any]:
    """What a text holds; raises BadSetting, with the file's name."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _MOST_DOTS:
            raise BadSetting(f"{name} has more than {_MOST_DOTS} dots in line {number}")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise BadSetting(f"{name} is nested too deep") from None
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"{name} is no TOML: {error}") from error
    except ValueError:
        raise BadSetting(f"{name} has a number of too many digits") from None
