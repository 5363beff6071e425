"""A real provider of single sign-on as a process of its own, and a fake one that can lie."""

import base64
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey

from conformance.server import free_port

ISSUER = "https://sso.example"
CLIENT = "box-1"
SECRET = "tHe-pRoViDeR's sEcReT"


@contextmanager
def running_provider() -> Iterator[str]:
    """The issuer of a provider that runs on loopback."""
    port = free_port()
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    issuer = f"http://127.0.0.1:{port}"
    try:
        _wait_for(process, f"{issuer}/.well-known/openid-configuration")
        yield issuer
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_for(process: "subprocess.Popen[bytes]", address: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, "the provider ended"
        try:
            httpx.get(address, timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the provider did not answer")


@dataclass
class FakeProvider:
    """Answers as a provider does; a test changes what it says."""

    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    published: list[dict[str, Any]] | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    """What is put into the ID token; None takes a claim out."""
    header: dict[str, Any] = field(default_factory=dict)
    id_token: str | None = None
    """In place of one that is made."""
    metadata: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    token_status: int = 200
    asked: list[httpx.Request] = field(default_factory=list)
    query: dict[str, str] = field(default_factory=dict)
    """What people were led to it with."""

    def client(self) -> httpx.AsyncClient:
        """A client that reaches nobody else."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def led(self, location: str, **more: str) -> dict[str, str]:
        """Take somebody in whom the box has led here; the query that they come back with."""
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        return {"code": "a code", "state": self.query["state"], **more}

    def count(self, path: str) -> int:
        """How often an address was asked."""
        return sum(request.url.path == path for request in self.asked)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        match request.url.path:
            case "/.well-known/openid-configuration":
                return httpx.Response(200, json=_without_none({**self._metadata(), **self.metadata}))
            case "/keys":
                published = (
                    self.published if self.published is not None else [self.key.as_dict(private=False)]
                )
                return httpx.Response(200, json={"keys": published})
            case "/token":
                return self._token(request)
            case "/userinfo":
                return httpx.Response(200, json=self.userinfo)
        return httpx.Response(404)

    def _metadata(self) -> dict[str, Any]:
        ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        ends |= {"userinfo_endpoint": "/userinfo", "end_session_endpoint": "/end?theme=dark"}
        return {"issuer": ISSUER} | {name: f"{ISSUER}{path}" for name, path in ends.items()}

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        if challenge.rstrip(b"=").decode() != self.query["code_challenge"] or self.token_status != 200:
            return httpx.Response(400, json={"error": "invalid_grant", "error_description": SECRET})
        made = self.id_token if self.id_token is not None else self.token_for(self.query["nonce"])
        return httpx.Response(200, json={"access_token": "an access token", "id_token": made})

    def token_for(self, nonce: str) -> str:
        """An ID token as it should be, but for what the test has changed."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": CLIENT,
            "sub": "subject-1",
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
        }
        claims |= {"groups": ["radiology"], "preferred_username": "vera"}
        header = {"alg": "RS256", "kid": self.key.kid} | self.header
        return jwt.encode(_without_none(header), _without_none({**claims, **self.claims}), self.key)


def unsigned(claims: dict[str, Any]) -> str:
    """A token that says it needs no signature."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def _without_none(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
