"""OpenID Connect: who a provider of single sign-on says somebody is (Core 1.0, authorization code flow).

With PKCE (RFC 7636), state and nonce, each made anew for a try. What the provider says counts only as far as
its signature, issuer, audience and times hold. Neither its tokens nor what is in them is ever in a message.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from dicomweb_box.accounts import keys
from dicomweb_box.box import Box, in_thread
from dicomweb_box.errors import BadSetting, Damaged, Unauthenticated
from dicomweb_box.settings import Settings, is_open_to_listeners

PURPOSE = "single sign-on"
TRY_FOR = 600
"""Seconds in which somebody has to come back from the provider."""
KNOWN_FOR = 3600.0
"""Seconds for which what the provider says of itself is remembered."""
KEYS_AGAIN = 10.0
"""Seconds between looks for a key that is not known: tokens of anybody's making ask for those."""
_SLACK = 60
"""Seconds that the provider's clock may be off."""
_MOST = 1 << 20
"""Bytes of an answer of the provider."""
_AT_ONCE = 4
# Signatures that only the provider can make: none of those for which our own secret would do.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")

# What they say of each request would tell tokens to whoever reads a log of level debug.
for _talker in ("httpx", "httpcore"):
    logging.getLogger(_talker).setLevel(logging.WARNING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """One way to the provider and back; sealed in a cookie meanwhile."""

    state: str
    nonce: str
    verifier: str
    back: str
    """Where the provider sends people back to."""
    onward: str
    """Where they wanted to go."""
    ends: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Proved:
    """Who somebody is, as the provider says."""

    claims: Mapping[str, Any] = field(repr=False)
    id_token: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Endpoints:
    """What the provider says of itself (Discovery 1.0, 3)."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    end_session: str | None
    posts_secret: bool
    """Whether it takes the client's secret in the body alone."""


class Provider:
    """The provider that the settings name, in this process."""

    def __init__(self, box: Box) -> None:
        self.box, self.settings = box, box.settings
        self.issuer, self.client_id = box.settings.oidc_issuer or "", box.settings.oidc_client_id or ""
        self._client = httpx.AsyncClient(timeout=10.0, follow_redirects=False)
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._endpoints: tuple[float, _Endpoints] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def close(self) -> None:
        """Let go of its connections."""
        await self._client.aclose()

    async def begin(self, *, back: str, onward: str) -> tuple[str, str]:
        """The provider's address to lead somebody to, and the try, sealed for a cookie."""
        endpoints = await self._discovered()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        made = Try(
            state=state,
            nonce=nonce,
            verifier=verifier,
            back=back,
            onward=onward,
            ends=self.box.clock().timestamp() + TRY_FOR,
        )
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": back,
            "scope": self.settings.oidc_scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        sealed = await keys.seal(self.box, PURPOSE, json.dumps(asdict(made)).encode())
        return _with_query(endpoints.authorization, query), sealed

    async def come_back(self, sealed: str, query: Mapping[str, str]) -> tuple[Try, Proved]:
        """Whom the provider has sent back, and on which try; raises Unauthenticated where that is not so."""
        made = await self._made(sealed)
        if not hmac.compare_digest(query.get("state", "").encode(), made.state.encode()):
            raise Unauthenticated("This way through single sign-on was not begun here.")
        # RFC 9207: where the provider says who it is, it has to be the one that was asked.
        if query.get("iss", self.issuer) != self.issuer:
            raise Unauthenticated("Another provider answered.")
        if "code" not in query:
            raise Unauthenticated("Single sign-on did not let you in.")
        told = await self._tokens(query["code"], made)
        id_token = told.get("id_token")
        if not isinstance(id_token, str):
            raise Unauthenticated("Single sign-on gave no ID token.")
        claims = await self._verified(id_token, made.nonce)
        if wanted := self._missing(claims):
            claims = {**await self._userinfo(told.get("access_token"), claims["sub"], wanted), **claims}
        return made, Proved(claims=claims, id_token=id_token)

    async def leave(self, id_token: str, *, back: str) -> str | None:
        """Where to log out at the provider too; None where it has no such place (RP-Initiated Logout 1.0)."""
        end_session = (await self._discovered()).end_session
        if end_session is None:
            return None
        query = {"id_token_hint": id_token, "client_id": self.client_id, "post_logout_redirect_uri": back}
        return _with_query(end_session, query)

    async def _made(self, sealed: str) -> Try:
        try:
            made = Try(**json.loads(await keys.unseal(self.box, PURPOSE, sealed)))
        except Damaged:
            raise Unauthenticated("This way through single sign-on was not begun here.") from None
        if made.ends < self.box.clock().timestamp():
            raise Unauthenticated("This took too long; begin again.")
        return made

    async def _tokens(self, code: str, made: Try) -> dict[str, Any]:
        endpoints, secret = await self._discovered(), await in_thread(self.box, _client_secret, self.settings)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": made.back,
            "code_verifier": made.verifier,
        }
        credentials: tuple[str, str] | None = None
        if secret is None or endpoints.posts_secret:
            form |= {"client_id": self.client_id} | ({"client_secret": secret} if secret else {})
        else:
            # RFC 6749 2.3.1: each part is encoded as in a form first.
            credentials = (_encoded(self.client_id), _encoded(secret))
        return await self._asked("POST", endpoints.token, data=form, auth=credentials)

    async def _verified(self, id_token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token (Core 1.0, 3.1.3.7)."""
        try:
            try:
                token = jwt.decode(id_token, await self._key_set(), algorithms=list(_ALGORITHMS))
            except InvalidKeyIdError:
                # The provider may have changed its keys (Core 1.0, 10.1.1).
                token = jwt.decode(id_token, await self._key_set(anew=True), algorithms=list(_ALGORITHMS))
            jwt.JWTClaimsRegistry(
                now=int(self.box.clock().timestamp()),
                leeway=_SLACK,
                iss={"essential": True, "value": self.issuer},
                sub={"essential": True},
                aud={"essential": True, "value": self.client_id},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(token.claims)
        except (JoseError, ValueError, TypeError) as error:
            raise Unauthenticated(f"The ID token does not hold ({type(error).__name__}).") from None
        claims: dict[str, Any] = token.claims
        audience, party = claims["aud"], claims.get("azp", self.client_id)
        if party != self.client_id or (
            isinstance(audience, list) and len(audience) > 1 and "azp" not in claims
        ):
            raise Unauthenticated("The ID token is for somebody else.")
        return claims

    def _missing(self, claims: Mapping[str, Any]) -> list[str]:
        """Names of claims that are asked for and not there."""
        wanted = [self.settings.oidc_role_claim, self.settings.oidc_label_claim]
        return [name for name in wanted if name is not None and claim(claims, name) is None]

    async def _userinfo(self, access_token: object, subject: str, wanted: list[str]) -> dict[str, Any]:
        """What the provider says beside the ID token (Core 1.0, 5.3), where it may be asked."""
        endpoint = (await self._discovered()).userinfo
        if endpoint is None or not isinstance(access_token, str) or not wanted:
            return {}
        told = await self._asked("GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})
        # Core 1.0, 5.3.2: else it may be about somebody else.
        return told if told.get("sub") == subject else {}

    async def _key_set(self, *, anew: bool = False) -> KeySet:
        now = time.monotonic()
        age = now - self._keys[0] if self._keys is not None else float("inf")
        if self._keys is None or age > KNOWN_FOR or (anew and age > KEYS_AGAIN):
            told = await self._asked("GET", (await self._discovered()).keys)
            try:
                self._keys = (now, KeySet.import_key_set({"keys": _for_signatures(told.get("keys"))}))
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise _unusable("its keys cannot be read") from error
        return self._keys[1]

    async def _discovered(self) -> _Endpoints:
        now = time.monotonic()
        if self._endpoints is None or now - self._endpoints[0] > KNOWN_FOR:
            address = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
            told = await self._asked("GET", address)
            # Discovery 1.0, 4.3: they must be the same to the letter.
            if told.get("issuer") != self.issuer:
                raise _unusable("it calls itself by another name than oidc_issuer")
            self._endpoints = (now, _endpoints(told, self.settings))
        return self._endpoints[1]

    async def _asked(self, method: str, address: str, **more: Any) -> dict[str, Any]:
        """The JSON object that the provider answers with."""
        headers = {"Accept": "application/json", **more.pop("headers", {})}
        try:
            async with self._few, self._client.stream(method, address, headers=headers, **more) as answer:
                body = b""
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > _MOST:
                        raise _unusable("its answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unusable(f"it could not be reached ({type(error).__name__})") from error
        if answer.status_code != 200:
            raise _unusable(f"it answered {answer.status_code}")
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise _unusable("its answer is not a JSON object")
        return told


def provider(box: Box) -> Provider:
    """The provider of this process; raises Unauthenticated where the settings name none."""
    if box.settings.oidc_issuer is None:
        raise Unauthenticated("There is no single sign-on here.")
    return box.resource(Provider, Provider)


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a path of names with dots between; None without it."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _endpoints(told: Mapping[str, Any], settings: Settings) -> _Endpoints:
    methods = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    found = {
        name: _endpoint(told.get(spelled), settings)
        for name, spelled in (
            ("authorization", "authorization_endpoint"),
            ("token", "token_endpoint"),
            ("keys", "jwks_uri"),
            ("userinfo", "userinfo_endpoint"),
            ("end_session", "end_session_endpoint"),
        )
    }
    authorization, token, key_set = found["authorization"], found["token"], found["keys"]
    if authorization is None or token is None or key_set is None:
        raise _unusable("it does not say where to ask it")
    return _Endpoints(
        authorization=authorization,
        token=token,
        keys=key_set,
        userinfo=found["userinfo"],
        end_session=found["end_session"],
        posts_secret="client_secret_basic" not in methods,
    )


def _endpoint(address: object, settings: Settings) -> str | None:
    if not isinstance(address, str) or is_open_to_listeners(address, settings):
        return None
    return address


def _for_signatures(told: object) -> list[Any]:
    """Keys that are not for encryption."""
    return [one for one in told if one.get("use", "sig") == "sig"] if isinstance(told, list) else []


def _client_secret(settings: Settings) -> str | None:
    path = settings.oidc_client_secret_file
    if path is None:
        return settings.oidc_client_secret
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"oidc_client_secret_file cannot be read ({type(error).__name__})") from error


def _encoded(text: str) -> str:
    return urlencode({"": text})[1:]


def _with_query(address: str, query: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"


def _unusable(why: str) -> Unauthenticated:
    return Unauthenticated(f"The provider of single sign-on cannot be used: {why}.")
