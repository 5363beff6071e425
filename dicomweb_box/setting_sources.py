"""Where settings come from: flags, the environment and a file, the first of these that names one.

The only module that reads the environment.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dicomweb_box import setting_values as values
from dicomweb_box.errors import BadSetting
from dicomweb_box.settings import KNOBS, NAMES, SECRET, Settings, is_open_to_listeners

PREFIX = "DICOMWEB_BOX_"
TEST_PREFIX = "DICOMWEB_BOX_TEST_"
"""Names of the test suite's own; a started server does not mistake them for settings."""

PROVIDER_PREFIXES = ("AWS_", "GOOGLE_", "AZURE_")
DEFAULT_FILE = "box.toml"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """One setting as `dicomweb-box settings` shows it; a password in a URL is masked."""

    name: str
    value: str
    default: str
    unit: str
    meaning: str
    origin: str


def environment() -> dict[str, str]:
    """The process's environment, for `load`; secrets are taken out of it: what we start inherits none."""
    found = dict(os.environ)
    for name in SECRET:
        os.environ.pop(f"{PREFIX}{name.upper()}", None)
    return found


def load(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """The settings in force: flags beat environment beats file beats defaults.

    A flag that is None was not given. Raises BadSetting for an unknown name (naming the nearest known one)
    and for a value that cannot be meant.
    """
    given = {name: (value, "flag") for name, value in flags.items() if value is not None}
    _refuse_unknown((name for name in given), "setting {!r}")
    from_environment = _from_environment(environ)
    file = _file({**from_environment, **given})
    raw = {**_from_file(file), **from_environment, **given}
    told = {
        knob.name: _parsed(knob.name, knob.metadata["parse"], *raw[knob.name])
        for knob in KNOBS
        if knob.name in raw
    }
    origins = {name: raw[name][1] if name in raw else "default" for name in NAMES}
    provider = {name: value for name, value in environ.items() if name.startswith(PROVIDER_PREFIXES)}
    settings = Settings(**told, origins=origins, provider=provider)
    _refuse_half_told(settings)
    return settings


def _refuse_half_told(settings: Settings) -> None:
    """BadSetting where single sign-on cannot work as it is set."""
    if settings.oidc_issuer is None:
        if settings.oidc_only:
            raise BadSetting("oidc_only without oidc_issuer would let nobody in")
        return
    if settings.oidc_client_id is None:
        raise BadSetting("oidc_issuer needs oidc_client_id")
    if settings.oidc_client_secret is not None and settings.oidc_client_secret_file is not None:
        raise BadSetting("oidc_client_secret is given twice: by itself and in a file")
    if "openid" not in settings.oidc_scopes.split():
        raise BadSetting("oidc_scopes must name openid")
    if is_open_to_listeners(settings.oidc_issuer, settings):
        raise BadSetting("oidc_issuer must be https beyond this machine, or insecure_http be set")


def explain(settings: Settings) -> list[Explained]:
    """Each setting with its present value, default, unit, meaning and origin, as they are declared."""
    return [
        Explained(
            name=knob.name,
            value=_explained(knob.name, getattr(settings, knob.name)),
            default=knob.metadata["shown"] or values.shown(knob.default),
            unit=knob.metadata["unit"],
            meaning=knob.metadata["meaning"],
            origin=settings.origins.get(knob.name, "default"),
        )
        for knob in KNOBS
    ]


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[object, str]]:
    named = {
        name.removeprefix(PREFIX).lower(): (name, value)
        for name, value in environ.items()
        if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX) and value != ""
    }
    _refuse_unknown(named, "environment variable {!r}", lambda name: f"{PREFIX}{name.upper()}")
    return {name: (value, f"environment ({variable})") for name, (variable, value) in named.items()}


def _file(raw: Mapping[str, tuple[object, str]]) -> Path | None:
    """The settings file to read; BadSetting if one was named that is not there."""
    if "config" in raw:
        named = _parsed("config", values.path, *raw["config"])
        if not named.is_file():
            raise BadSetting(f"settings file {named} is not there")
        return named
    data = _parsed("data", values.path, *raw["data"]) if "data" in raw else Path("data")
    return data / DEFAULT_FILE if (data / DEFAULT_FILE).is_file() else None


def _from_file(file: Path | None) -> dict[str, tuple[object, str]]:
    if file is None:
        return {}
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"settings file {file} cannot be read: {error}") from error
    _refuse_unknown(content, f"key {{!r}} in {file}")
    if SECRET & content.keys() and file.stat().st_mode & 0o077:
        raise BadSetting(f"settings file {file} holds a secret and can be read by others: chmod 600 it")
    return {name: (value, f"file ({file})") for name, value in content.items()}


def _refuse_unknown(names: Any, worded: str, spelled: Callable[[str], str] = str) -> None:
    for name in names:
        if name not in NAMES:
            nearest = difflib.get_close_matches(name, NAMES, n=1, cutoff=0)[0]
            raise BadSetting(
                f"unknown {worded.format(spelled(name))}; the nearest known one is {spelled(nearest)!r}"
            )


def _parsed(name: str, parse: Callable[[object], T], value: object, origin: str) -> T:
    try:
        return parse(value)
    except ValueError as error:
        raise BadSetting(f"setting {name!r} ({origin}) {error}") from error


def _explained(name: str, value: object) -> str:
    return "***" if name in SECRET and value is not None else values.shown(value)
