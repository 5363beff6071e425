"""An identity service over REST: somebody else's program that says what patients are to be called.

Each patient is asked for once: the vault keeps the answer. Whatever is not a whole answer gives no pseudonym.
"""

import asyncio
import logging
import re
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import httpx
import orjson

from dicomweb_box.accounts import key_sources
from dicomweb_box.accounts.project_keys import service_file
from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.errors import BadSetting
from dicomweb_box.settings import Settings, is_open_to_listeners

_LARGEST: Final = 1 << 20
"""Bytes of an answer."""
_MOST_SECONDS, _MOST_ATTEMPTS = 300.0, 10
_AGAIN: Final = frozenset((408, 425, 429, 500, 502, 503, 504))
_SILENT: Final = "the identity service did not answer"
_UNFIT: Final = "the identity service did not answer for this patient alone"
_ENCODED: Final = "the identity service answered in a content coding that was not asked for"
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7E]([\t\x20-\x7E]*[\x21-\x7E])?")  # RFC 9110 5.5

# What they say of each request is nothing for a log.
for _talker in ("httpx", "httpcore"):
    logging.getLogger(_talker).setLevel(logging.WARNING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """Where the service is, and how it is spoken with."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Such as Authorization."""
    ca: str | None = None
    """PEM file of who vouches for it, in the place of those that the machine trusts."""
    timeout: float = 10.0
    attempts: int = 3
    pause: float = 0.5
    """Seconds before the second attempt; doubled for each further one."""
    also: Mapping[str, Any] = field(default_factory=dict)
    """What else is in the body of each request."""
    patients: str = "patients"
    """Name of the list of patients, in the request and the answer; so with the fields of each."""
    patient_id: str = "patient_id"
    issuer: str = "issuer"
    pseudonym: str = "pseudonym"


def read_service(settings: Settings, project: str) -> Service:
    """The identity service of a project; raises BadSetting where none is described so that it works."""
    path = service_file(settings, project)
    try:
        key_sources.refuse_open_to_others(path)
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadSetting(f"{path}, which tells of the project's identity service, is not there") from None
    except (OSError, ValueError, RecursionError) as error:  # of TOML, UTF-8, endless numbers and nesting
        raise BadSetting(f"{path} cannot be read ({type(error).__name__})") from error
    unknown = sorted(set(told) - {one.name for one in fields(Service)})
    if unknown or "url" not in told:
        raise BadSetting(f"{path} names {', '.join(unknown)}" if unknown else f"{path} names no url")
    service = Service(**told)
    wrong = _wrong(service, settings)
    if wrong:
        raise BadSetting(f"{path}: {wrong}")
    return service


class IdentityClient:
    """Asks the service, in one run."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._silent = ""
        verify: ssl.SSLContext | bool = True
        if service.ca is not None:
            try:
                verify = ssl.create_default_context(cafile=service.ca)
            except OSError as error:
                raise BadSetting(f"{service.ca} holds no certificates that can be read") from error
        try:
            # Patients are told to the service alone: to no proxy that the environment happens to name.
            self._client = httpx.AsyncClient(
                timeout=service.timeout,
                follow_redirects=False,
                verify=verify,
                headers=dict(service.headers),
                trust_env=False,
            )
        except (TypeError, ValueError) as error:
            raise BadSetting("the headers of the identity service cannot be sent") from error

    async def close(self) -> None:
        """Let go of its connections."""
        await self._client.aclose()

    async def pseudonym(self, who: Patient) -> str:
        """What the service calls a patient.

        Raises Doubt where it does not say. Once every attempt has failed, this run does not ask it again.
        """
        if self._silent:
            raise Doubt(self._silent)
        content = await self._asked(orjson.dumps(self._request(who)))
        return _told(self._service, who, content)

    def _request(self, who: Patient) -> dict[str, Any]:
        service = self._service
        one = {service.patient_id: who.patient_id, service.issuer: who.issuer}
        return {**service.also, service.patients: [one]}

    async def _asked(self, body: bytes) -> bytes:
        """The answer's body, at the first attempt that gets one."""
        why = _SILENT
        for attempt in range(self._service.attempts):
            if attempt:
                await asyncio.sleep(self._service.pause * 2 ** (attempt - 1))
            try:
                async with asyncio.timeout(self._service.timeout):
                    status, content = await self._posted(body)
            except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, TimeoutError):
                why = _SILENT
                continue
            if status == 200:
                return content
            why = f"the identity service answered with status {status}"
            if status not in _AGAIN:
                raise Doubt(why)
        self._silent = why
        raise Doubt(why)

    async def _posted(self, body: bytes) -> tuple[int, bytes]:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # so that the bytes that are counted are all there are
        }
        async with self._client.stream("POST", self._service.url, content=body, headers=headers) as answer:
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise Doubt(_ENCODED)
            content = b""
            async for piece in answer.aiter_raw():
                content += piece
                if len(content) > _LARGEST:
                    raise Doubt(_UNFIT)
            return answer.status_code, content


def _told(service: Service, who: Patient, content: bytes) -> str:
    """The pseudonym in an answer: of one patient, and this one."""
    try:
        answer = orjson.loads(content)
    except ValueError:
        raise Doubt("the identity service did not answer in JSON") from None
    patients = answer.get(service.patients) if isinstance(answer, dict) else None
    if not isinstance(patients, list) or len(patients) != 1 or not isinstance(patients[0], dict):
        raise Doubt(_UNFIT)
    one = patients[0]
    if one.get(service.patient_id) != who.patient_id or one.get(service.issuer, who.issuer) != who.issuer:
        raise Doubt(_UNFIT)
    pseudonym = one.get(service.pseudonym)
    if not isinstance(pseudonym, str) or not pseudonym:
        raise Doubt("the identity service knows no pseudonym for its patient")
    return pseudonym


def _wrong(service: Service, settings: Settings) -> str:
    """What is wrong with a description; empty where nothing is."""
    names = (service.url, service.patients, service.patient_id, service.issuer, service.pseudonym)
    texts = (*names, *([] if service.ca is None else [service.ca]))
    if not all(isinstance(text, str) and text for text in texts):
        return "url, ca, patients, patient_id, issuer and pseudonym are texts"
    if len(set(names[2:])) < 3:  # the three fields of a patient
        return "patient_id, issuer and pseudonym have names of their own"
    if not service.url.startswith(("https://", "http://")) or is_open_to_listeners(service.url, settings):
        return "its url is one of https (of http on this machine, or with insecure_http)"
    if not isinstance(service.headers, dict) or not isinstance(service.also, dict):
        return "headers and also are tables"
    if not all(isinstance(value, str) for value in service.headers.values()):
        return "headers are texts"
    if not all(map(_HEADER.fullmatch, service.headers)) or not all(
        map(_HEADER_VALUE.fullmatch, service.headers.values())
    ):
        return "headers are names and texts in ASCII, each in one line"
    if service.patients in service.also:
        return "also does not name the list of patients"
    return _wrong_numbers(service)


def _wrong_numbers(service: Service) -> str:
    numbers = (service.timeout, service.pause, service.attempts)
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers):
        return "timeout, pause and attempts are numbers"
    if not 0 < service.timeout <= _MOST_SECONDS or not 0 <= service.pause <= _MOST_SECONDS:
        return f"timeout and pause are seconds, at most {_MOST_SECONDS:.0f}"
    if not isinstance(service.attempts, int) or not 1 <= service.attempts <= _MOST_ATTEMPTS:
        return f"attempts are 1 to {_MOST_ATTEMPTS}"
    return ""
