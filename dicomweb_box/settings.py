"""Every knob of the box, with default, unit and one line of meaning.

The only module that reads the environment.
"""

# ruff: noqa: RUF009  (`_knob` makes a dataclass field; ruff knows only `field` itself)

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

from dicomweb_box.errors import BadSetting

PREFIX = "DICOMWEB_BOX_"
TEST_PREFIX = "DICOMWEB_BOX_TEST_"
"""Names of the test suite's own; a started server does not mistake them for settings."""

PROVIDER_PREFIXES = ("AWS_", "GOOGLE_", "AZURE_")
DEFAULT_FILE = "box.toml"

T = TypeVar("T")
_SIZES = {
    "": 1,
    "B": 1,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}


# Parsers: a flag, an environment value or a TOML value in; the setting's own type out, or ValueError with the
# end of a sentence.


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value.strip()


def _path(value: object) -> Path:
    return Path(value if isinstance(value, Path) else _text(value)).expanduser()


def _truth(value: object) -> bool:
    if isinstance(value, bool):
        return value
    known = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if isinstance(value, str) and value.strip().lower() in known:
        return known[value.strip().lower()]
    raise ValueError("must be true or false")


def _number(least: int, most: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        try:
            number = int(str(value).strip()) if not isinstance(value, bool) else None
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    return parse


def _size(value: object) -> int:
    text = str(value).strip().upper().replace(" ", "")
    digits = text.rstrip("BIKMG")
    if not digits.isdecimal() or text[len(digits) :] not in _SIZES:
        raise ValueError("must be a number of bytes, such as 1024 or 64MiB")
    return int(digits) * _SIZES[text[len(digits) :]]


def _pdu_size(value: object) -> int:
    size = _size(value)
    # PS3.8 D.1: 0 would let a peer fill our memory; below 4 KiB heads outweigh what they carry.
    if not 4096 <= size <= 16 << 20:
        raise ValueError("must be from 4096 bytes to 16 MiB")
    return size


def _choice(*known: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in known:
            raise ValueError("must be one of " + ", ".join(known))
        return str(value)

    return parse


def _ae_title(value: object) -> str:
    title = _text(value)
    if len(title) > 16 or "\\" in title or not title.isascii() or not title.isprintable():
        raise ValueError("must be 1 to 16 printable ASCII characters without a backslash (PS3.5 6.2, AE)")
    return title


def _url(*schemes: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        url = _text(value)
        if urlsplit(url).scheme not in schemes:
            raise ValueError("must begin with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return url

    return parse


def _origins(value: object) -> tuple[str, ...]:
    items = (
        value.split(",")
        if isinstance(value, str)
        else list(value)
        if isinstance(value, list | tuple)
        else [value]
    )
    return tuple(_url("http", "https")(item).rstrip("/") for item in items if item != "")


def _items(value: object) -> list[str]:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        raise ValueError("must be a list of texts")  # noqa: TRY004  (what parsers raise)
    return [_text(item) for item in given if item != ""]


def _roles(value: object) -> tuple[str, ...]:
    items = (
        tuple(f"{given}={role}" for given, role in value.items())
        if isinstance(value, dict)
        else tuple(item.strip() for item in _items(value))
    )
    if any(not re.fullmatch(r".+=\S+", item) for item in items):
        raise ValueError("must be pairs such as radiology=viewer")
    return items


def _networks(value: object) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(item)) for item in _items(value))
    except ValueError as error:
        raise ValueError(f"must be addresses or networks such as 10.0.0.0/8: {error}") from error


def _hosts(value: object) -> tuple[str, ...]:
    items = tuple(item.lower().rstrip(".") for item in _items(value))
    if any(not re.fullmatch(r"(\*\.)?[\w.-]+|[0-9a-f:]+", item) for item in items):
        raise ValueError("must be names such as box.example.org or *.example.org, without a port")
    return items


def _knob(
    default: Any,
    parse: Callable[[object], Any],
    meaning: str,
    unit: str = "",
    shown: str = "",
    *,
    secret: bool = False,
) -> Any:
    """A setting; a secret one is shown nowhere and has no flag, since process lists show those."""
    metadata = {"parse": parse, "meaning": meaning, "unit": unit, "shown": shown, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What this box was told; made by `load`, or directly where the defaults do (tests)."""

    data: Path = _knob(Path("data"), _path, "folder of the index, the blobs and the keys")
    config: Path | None = _knob(None, _path, "TOML file with settings", shown="DIR/box.toml, if there")
    host: str = _knob("127.0.0.1", _text, "address that HTTP listens on")
    port: int = _knob(8080, _number(0, 65535), "HTTP port; 0 picks a free one")
    dimse_port: int = _knob(11112, _number(0, 65535), "DIMSE port; 0 for no DIMSE")
    dimse_host: str | None = _knob(None, _text, "address that DIMSE listens on", shown="host")
    workers: int = _knob(
        min(4, os.cpu_count() or 1), _number(1, 64), "web processes", "processes", "one a CPU, at most 4"
    )
    dimse_workers: int = _knob(
        max(1, min(4, (os.cpu_count() or 1) // 4)),
        _number(1, 64),
        "DIMSE processes",
        "processes",
        "one for four CPUs, at least 1, at most 4",
    )
    role: Literal["all", "web", "dimse", "worker"] = _knob(
        "all", _choice("all", "web", "dimse", "worker"), "which role this process runs"
    )
    demo: bool = _knob(False, _truth, "load a handful of real objects that pydicom ships, once")
    no_auth: bool = _knob(False, _truth, "serve without accounts; loopback addresses only")
    database_url: str | None = _knob(
        None, _url("sqlite", "postgresql"), "where the index is kept", shown="SQLite in DIR"
    )
    blob_url: str | None = _knob(
        None, _url("s3", "gs", "az", "file"), "where the blobs are kept", shown="local folder in DIR"
    )
    ae_title: str = _knob("DICOMWEB_BOX", _ae_title, "application entity title of this box")
    dimse_any_called: bool = _knob(False, _truth, "accept associations whatever AE title they call")
    dimse_unknown: Literal["refuse", "echo", "store"] = _knob(
        "refuse",
        _choice("refuse", "echo", "store"),
        "what callers may do that are no peers; store: C-ECHO and C-STORE",
    )
    dimse_move_associations: int = _knob(
        1, _number(1, 16), "associations that one C-MOVE stores over at once", "associations"
    )
    peer_loopback: bool = _knob(False, _truth, "peers may be on this machine itself")
    duplicates: Literal["same-source", "keep-first", "replace"] = _knob(
        "same-source",
        _choice("same-source", "keep-first", "replace"),
        "what becomes of other bytes under a known SOP Instance UID",
    )
    reject_retention: int = _knob(
        30,
        _number(0, 36500),
        "how long what is rejected can be restored before it is erased; 0 for no end",
        "days",
    )
    session_length: int = _knob(
        12, _number(1, 720), "how long a log-in holds, however much it is used", "hours"
    )
    session_idle: int = _knob(60, _number(1, 10080), "how long a log-in holds that is not used", "minutes")
    second_factor: Literal["optional", "administrators", "everybody"] = _knob(
        "optional",
        _choice("optional", "administrators", "everybody"),
        "who has to log in with a second factor",
    )
    oidc_issuer: str | None = _knob(
        None, _url("https", "http"), "provider of single sign-on (OpenID Connect), as it calls itself"
    )
    oidc_client_id: str | None = _knob(None, _text, "what the provider calls this box")
    oidc_client_secret: str | None = _knob(None, _text, "what the provider knows this box by", secret=True)
    oidc_client_secret_file: Path | None = _knob(None, _path, "file that holds oidc_client_secret")
    oidc_name: str = _knob("single sign-on", _text, "what people call the provider: Log in with …")
    oidc_scopes: str = _knob("openid profile email", _text, "scopes that the provider is asked for")
    oidc_role_claim: str = _knob(
        "groups", _text, "claim that roles are found by; names with dots between them"
    )
    oidc_roles: tuple[str, ...] = _knob(
        (),
        _roles,
        "which role a value of that claim gives, as radiology=viewer; the first that fits, * for all",
    )
    oidc_label_claim: str | None = _knob(
        None, _text, "claim with labels: only what has one of them is theirs", shown="all is theirs"
    )
    oidc_only: bool = _knob(False, _truth, "only single sign-on lets people in, and the account admin")
    deidentified: bool = _knob(
        False, _truth, "nobody here can be identified: who may see may see everything of it"
    )
    key: str | None = _knob(
        None,
        _text,
        "master keys, the newest first; from the environment rather than from a file",
        shown="DIR/keys/box.key",
        secret=True,
    )
    key_command: str | None = _knob(None, _text, "command that prints the master keys, as of a key service")
    insecure_http: bool = _knob(False, _truth, "allow plain HTTP beyond loopback, to serve or to call")
    tls_cert: Path | None = _knob(
        None, _path, "PEM file with the certificate and its chain; HTTPS is served with it"
    )
    tls_key: Path | None = _knob(None, _path, "PEM file with the certificate's key", shown="in tls_cert")
    dimse_tls_port: int = _knob(0, _number(0, 65535), "port of DIMSE over TLS; 0 for none")
    dimse_tls_cert: Path | None = _knob(
        None, _path, "PEM file with the certificate and its chain for DIMSE over TLS", shown="tls_cert"
    )
    dimse_tls_key: Path | None = _knob(
        None, _path, "PEM file with that certificate's key", shown="tls_key, or in dimse_tls_cert"
    )
    dimse_tls_ca: Path | None = _knob(
        None, _path, "PEM file with who vouches for callers, which then must show a certificate"
    )
    audit_syslog: str | None = _knob(
        None, _url("tls"), "syslog server that the audit is sent to, as tls://log.example.org:6514"
    )
    audit_syslog_ca: Path | None = _knob(
        None, _path, "PEM file with who vouches for that server", shown="those of the system"
    )
    public_url: str | None = _knob(None, _url("http", "https"), "address seen from outside a reverse proxy")
    allowed_hosts: tuple[str, ...] = _knob(
        (), _hosts, "further names that this server may be called by; *.example.org for all below"
    )
    trusted_proxies: tuple[str, ...] = _knob(
        (), _networks, "addresses and networks of reverse proxies whose word on the client is taken"
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = _knob(
        "x-forwarded-for", _choice("x-forwarded-for", "forwarded"), "where trusted proxies write it"
    )
    cors_origins: tuple[str, ...] = _knob(
        (), _origins, "origins that may call /dicom-web and /wado from a browser"
    )
    bulk_threshold: int = _knob(1024, _size, "longer binary values are given by URI in metadata", "bytes")
    metadata_limit: int = _knob(32 << 20, _size, "most metadata of one request to store", "bytes")
    query_limit: int = _knob(1000, _number(1, 1_000_000), "most results of one search", "results")
    cache_size: int = _knob(1 << 30, _size, "disk used for answers kept ready", "bytes")
    open_blobs: int = _knob(1024, _number(8, 65536), "blobs that each process holds open", "descriptors")
    database_readers: int = _knob(4, _number(1, 64), "database readers of each process", "connections")
    file_threads: int = _knob(
        8, _number(1, 64), "threads of each process for parsing and file work", "threads"
    )
    decode_threads: int = _knob(
        2, _number(1, 64), "threads of each process for pixels, each with a process for codecs", "threads"
    )
    decode_timeout: int = _knob(30, _number(1, 3600), "time that one frame may take to decode", "seconds")
    decode_memory: int = _knob(2 << 30, _size, "address space that a process for codecs may add", "bytes")
    decode_queue: int = _knob(
        256, _number(1, 65536), "frames of each process that may wait for codecs", "frames"
    )
    backlog: int = _knob(2048, _number(1, 65535), "connections that wait to be accepted", "connections")
    client_connections: int = _knob(
        512, _number(8, 65536), "connections of one address to each web process", "connections"
    )
    client_requests: int = _knob(
        256,
        _number(1, 65536),
        "requests of one address, and of one account, at once in each web process",
        "requests",
    )
    client_rate: int = _knob(
        3000,
        _number(1, 1_000_000),
        "requests of one address, and of one account, a second in each web process",
        "requests",
    )
    dimse_associations: int = _knob(
        2000, _number(1, 65536), "associations of each DIMSE process", "associations"
    )
    dimse_client_associations: int = _knob(
        1200,
        _number(1, 65536),
        "associations of one address to each DIMSE process",
        "associations",
    )
    dimse_pdu_size: int = _knob(131072, _pdu_size, "longest PDU that is taken", "bytes")
    dimse_request_timeout: int = _knob(
        15, _number(1, 3600), "time in which a connection must ask for an association", "seconds"
    )
    dimse_message_timeout: int = _knob(
        60, _number(1, 3600), "time that the next piece of a message may take", "seconds"
    )
    dimse_idle_timeout: int = _knob(
        600, _number(1, 604800), "idle time before an association is ended", "seconds"
    )
    keep_alive: int = _knob(75, _number(1, 3600), "idle time before a connection is closed", "seconds")
    drain_timeout: int = _knob(30, _number(1, 3600), "time that running requests get to finish", "seconds")
    log_level: Literal["debug", "info", "warning", "error"] = _knob(
        "info", _choice("debug", "info", "warning", "error"), "least severe message that is logged"
    )
    log_format: Literal["text", "json"] = _knob("text", _choice("text", "json"), "how a log line is written")

    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """Where each value came from: default, file, environment or flag."""
    provider: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The object store provider's usual environment variables (AWS_…, GOOGLE_…, AZURE_…); secret."""

    @property
    def database_address(self) -> str:
        """`database_url`, or that of the SQLite file in the data folder."""
        return self.database_url or f"sqlite:///{(self.data / 'index.db').absolute()}"

    @property
    def blob_address(self) -> str:
        """`blob_url`, or the path of the local folder in the data folder."""
        return self.blob_url or str((self.data / "blobs").absolute())


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """One setting as `dicomweb-box settings` shows it; a password in a URL is masked."""

    name: str
    value: str
    default: str
    unit: str
    meaning: str
    origin: str


KNOBS = tuple(knob for knob in fields(Settings) if "parse" in knob.metadata)
NAMES = tuple(knob.name for knob in KNOBS)
SECRET = frozenset(knob.name for knob in KNOBS if knob.metadata["secret"])


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
    values = {
        knob.name: _parsed(knob.name, knob.metadata["parse"], *raw[knob.name])
        for knob in KNOBS
        if knob.name in raw
    }
    origins = {name: raw[name][1] if name in raw else "default" for name in NAMES}
    provider = {name: value for name, value in environ.items() if name.startswith(PROVIDER_PREFIXES)}
    settings = Settings(**values, origins=origins, provider=provider)
    _refuse_half_told(settings)
    return settings


def is_open_to_listeners(address: str, settings: Settings) -> bool:
    """Whether what is told to an address could be overheard, and nobody has allowed that."""
    parts = urlsplit(address)
    if parts.scheme == "https" or settings.insecure_http:
        return False
    return parts.scheme != "http" or parts.hostname not in ("localhost", "127.0.0.1", "::1")


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
            default=knob.metadata["shown"] or _shown(knob.default),
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
        named = _parsed("config", _path, *raw["config"])
        if not named.is_file():
            raise BadSetting(f"settings file {named} is not there")
        return named
    data = _parsed("data", _path, *raw["data"]) if "data" in raw else Path("data")
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
    return "***" if name in SECRET and value is not None else _shown(value)


def _shown(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(value)
    return _masked(str(value))


def _masked(value: str) -> str:
    parts = urlsplit(value) if "://" in value else None
    if parts is None or (parts.password is None and not parts.query):
        return value
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{parts.username}:***@{host}" if parts.password is not None else parts.netloc
    return urlunsplit(parts._replace(netloc=netloc, query="***" if parts.query else ""))
