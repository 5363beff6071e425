"""Every knob of the box, with default, unit and one line of meaning."""

# ruff: noqa: RUF009  (`_knob` makes a dataclass field; ruff knows only `field` itself)

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dicomweb_box import setting_values as values


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
    """What this box was told; made by `setting_sources.load`, or directly where the defaults do (tests)."""

    data: Path = _knob(Path("data"), values.path, "folder of the index, the blobs and the keys")
    config: Path | None = _knob(None, values.path, "TOML file with settings", shown="DIR/box.toml, if there")
    host: str = _knob("127.0.0.1", values.text, "address that HTTP listens on")
    port: int = _knob(8080, values.number(0, 65535), "HTTP port; 0 picks a free one")
    dimse_port: int = _knob(11112, values.number(0, 65535), "DIMSE port; 0 for no DIMSE")
    dimse_host: str | None = _knob(None, values.text, "address that DIMSE listens on", shown="host")
    workers: int = _knob(
        min(4, os.cpu_count() or 1),
        values.number(1, 64),
        "web processes",
        "processes",
        "one a CPU, at most 4",
    )
    dimse_workers: int = _knob(
        max(1, min(4, (os.cpu_count() or 1) // 4)),
        values.number(1, 64),
        "DIMSE processes",
        "processes",
        "one for four CPUs, at least 1, at most 4",
    )
    role: Literal["all", "web", "dimse", "worker"] = _knob(
        "all", values.choice("all", "web", "dimse", "worker"), "which role this process runs"
    )
    demo: bool = _knob(False, values.truth, "load a handful of real objects that pydicom ships, once")
    no_auth: bool = _knob(False, values.truth, "serve without accounts; loopback addresses only")
    database_url: str | None = _knob(
        None, values.url("sqlite", "postgresql"), "where the index is kept", shown="SQLite in DIR"
    )
    blob_url: str | None = _knob(
        None, values.url("s3", "gs", "az", "file"), "where the blobs are kept", shown="local folder in DIR"
    )
    ae_title: str = _knob("DICOMWEB_BOX", values.ae_title, "application entity title of this box")
    proxy_ae_title: str | None = _knob(
        None,
        values.ae_title,
        "AE title that peers offered as proxies move to what is read of them",
        shown="none: by C-GET alone",
    )
    dimse_any_called: bool = _knob(False, values.truth, "accept associations whatever AE title they call")
    dimse_unknown: Literal["refuse", "echo", "store"] = _knob(
        "refuse",
        values.choice("refuse", "echo", "store"),
        "what callers may do that are no peers; store: C-ECHO and C-STORE",
    )
    dimse_move_associations: int = _knob(
        1, values.number(1, 16), "associations that one C-MOVE stores over at once", "associations"
    )
    peer_loopback: bool = _knob(False, values.truth, "peers may be on this machine itself")
    duplicates: Literal["same-source", "keep-first", "replace"] = _knob(
        "same-source",
        values.choice("same-source", "keep-first", "replace"),
        "what becomes of other bytes under a known SOP Instance UID",
    )
    reject_retention: int = _knob(
        30,
        values.number(0, 36500),
        "how long what is rejected can be restored before it is erased; 0 for no end",
        "days",
    )
    session_length: int = _knob(
        12, values.number(1, 720), "how long a log-in holds, however much it is used", "hours"
    )
    session_idle: int = _knob(
        60, values.number(1, 10080), "how long a log-in holds that is not used", "minutes"
    )
    second_factor: Literal["optional", "administrators", "everybody"] = _knob(
        "optional",
        values.choice("optional", "administrators", "everybody"),
        "who has to log in with a second factor",
    )
    oidc_issuer: str | None = _knob(
        None, values.url("https", "http"), "provider of single sign-on (OpenID Connect), as it calls itself"
    )
    oidc_client_id: str | None = _knob(None, values.text, "what the provider calls this box")
    oidc_client_secret: str | None = _knob(
        None, values.text, "what the provider knows this box by", secret=True
    )
    oidc_client_secret_file: Path | None = _knob(None, values.path, "file that holds oidc_client_secret")
    oidc_name: str = _knob("single sign-on", values.text, "what people call the provider: Log in with …")
    oidc_scopes: str = _knob("openid profile email", values.text, "scopes that the provider is asked for")
    oidc_role_claim: str = _knob(
        "groups", values.text, "claim that roles are found by; names with dots between them"
    )
    oidc_roles: tuple[str, ...] = _knob(
        (),
        values.roles,
        "which role a value of that claim gives, as radiology=viewer; the first that fits, * for all",
    )
    oidc_label_claim: str | None = _knob(
        None, values.text, "claim with labels: only what has one of them is theirs", shown="all is theirs"
    )
    oidc_only: bool = _knob(False, values.truth, "only single sign-on lets people in, and the account admin")
    deidentified: bool = _knob(
        False, values.truth, "nobody here can be identified: who may see may see everything of it"
    )
    key: str | None = _knob(
        None,
        values.text,
        "master keys, the newest first; from the environment rather than from a file",
        shown="DIR/keys/box.key",
        secret=True,
    )
    key_command: str | None = _knob(
        None, values.text, "command that prints the master keys, as of a key service"
    )
    insecure_http: bool = _knob(False, values.truth, "allow plain HTTP beyond loopback, to serve or to call")
    tls_cert: Path | None = _knob(
        None, values.path, "PEM file with the certificate and its chain; HTTPS is served with it"
    )
    tls_key: Path | None = _knob(
        None, values.path, "PEM file with the certificate's key", shown="in tls_cert"
    )
    dimse_tls_port: int = _knob(0, values.number(0, 65535), "port of DIMSE over TLS; 0 for none")
    dimse_tls_cert: Path | None = _knob(
        None, values.path, "PEM file with the certificate and its chain for DIMSE over TLS", shown="tls_cert"
    )
    dimse_tls_key: Path | None = _knob(
        None, values.path, "PEM file with that certificate's key", shown="tls_key, or in dimse_tls_cert"
    )
    dimse_tls_ca: Path | None = _knob(
        None, values.path, "PEM file with who vouches for callers, which then must show a certificate"
    )
    audit_syslog: str | None = _knob(
        None, values.url("tls"), "syslog server that the audit is sent to, as tls://log.example.org:6514"
    )
    audit_syslog_ca: Path | None = _knob(
        None, values.path, "PEM file with who vouches for that server", shown="those of the system"
    )
    public_url: str | None = _knob(
        None, values.url("http", "https"), "address seen from outside a reverse proxy"
    )
    allowed_hosts: tuple[str, ...] = _knob(
        (), values.hosts, "further names that this server may be called by; *.example.org for all below"
    )
    trusted_proxies: tuple[str, ...] = _knob(
        (), values.networks, "addresses and networks of reverse proxies whose word on the client is taken"
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = _knob(
        "x-forwarded-for", values.choice("x-forwarded-for", "forwarded"), "where trusted proxies write it"
    )
    cors_origins: tuple[str, ...] = _knob(
        (), values.origins, "origins that may call /dicom-web and /wado from a browser"
    )
    bulk_threshold: int = _knob(
        1024, values.size, "longer binary values are given by URI in metadata", "bytes"
    )
    metadata_limit: int = _knob(32 << 20, values.size, "most metadata of one request to store", "bytes")
    query_limit: int = _knob(1000, values.number(1, 1_000_000), "most results of one search", "results")
    cache_size: int = _knob(1 << 30, values.size, "disk used for answers kept ready", "bytes")
    proxy_cache: int = _knob(
        10 << 30, values.size, "storage used for what was fetched from peers offered as proxies", "bytes"
    )
    open_blobs: int = _knob(
        1024, values.number(8, 65536), "blobs that each process holds open", "descriptors"
    )
    database_readers: int = _knob(4, values.number(1, 64), "database readers of each process", "connections")
    file_threads: int = _knob(
        8, values.number(1, 64), "threads of each process for parsing and file work", "threads"
    )
    decode_threads: int = _knob(
        2,
        values.number(1, 64),
        "threads of each process for pixels, each with a process for codecs",
        "threads",
    )
    decode_timeout: int = _knob(
        30, values.number(1, 3600), "time that one frame may take to decode", "seconds"
    )
    decode_memory: int = _knob(
        2 << 30, values.size, "address space that a process for codecs may add", "bytes"
    )
    decode_queue: int = _knob(
        256, values.number(1, 65536), "frames of each process that may wait for codecs", "frames"
    )
    backlog: int = _knob(2048, values.number(1, 65535), "connections that wait to be accepted", "connections")
    client_connections: int = _knob(
        512, values.number(8, 65536), "connections of one address to each web process", "connections"
    )
    client_requests: int = _knob(
        256,
        values.number(1, 65536),
        "requests of one address, and of one account, at once in each web process",
        "requests",
    )
    client_rate: int = _knob(
        3000,
        values.number(1, 1_000_000),
        "requests of one address, and of one account, a second in each web process",
        "requests",
    )
    dimse_associations: int = _knob(
        2000, values.number(1, 65536), "associations of each DIMSE process", "associations"
    )
    dimse_client_associations: int = _knob(
        1200,
        values.number(1, 65536),
        "associations of one address to each DIMSE process",
        "associations",
    )
    dimse_pdu_size: int = _knob(131072, values.pdu_size, "longest PDU that is taken", "bytes")
    dimse_request_timeout: int = _knob(
        15, values.number(1, 3600), "time in which a connection must ask for an association", "seconds"
    )
    dimse_message_timeout: int = _knob(
        60, values.number(1, 3600), "time that the next piece of a message may take", "seconds"
    )
    dimse_idle_timeout: int = _knob(
        600, values.number(1, 604800), "idle time before an association is ended", "seconds"
    )
    dimse_commitment_timeout: int = _knob(
        3600,
        values.number(1, 604800),
        "time in which a peer that was asked for Storage Commitment has to report, or is asked again",
        "seconds",
    )
    keep_alive: int = _knob(75, values.number(1, 3600), "idle time before a connection is closed", "seconds")
    drain_timeout: int = _knob(
        30, values.number(1, 3600), "time that running requests get to finish", "seconds"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _knob(
        "info", values.choice("debug", "info", "warning", "error"), "least severe message that is logged"
    )
    log_format: Literal["text", "json"] = _knob(
        "text", values.choice("text", "json"), "how a log line is written"
    )

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


KNOBS = tuple(knob for knob in fields(Settings) if "parse" in knob.metadata)
NAMES = tuple(knob.name for knob in KNOBS)
SECRET = frozenset(knob.name for knob in KNOBS if knob.metadata["secret"])


def is_open_to_listeners(address: str, settings: Settings) -> bool:
    """Whether what is told to an address could be overheard, and nobody has allowed that."""
    parts = urlsplit(address)
    if parts.scheme == "https" or settings.insecure_http:
        return False
    return parts.scheme != "http" or parts.hostname not in ("localhost", "127.0.0.1", "::1")
