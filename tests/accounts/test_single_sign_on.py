"""Single sign-on: whom a provider vouches for comes in, by what it proves and by nothing else."""

import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from dicomweb_box import setting_sources
from dicomweb_box.accounts import key_rotation, keys, oidc, users
from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.app import assemble
from dicomweb_box.box import Box
from dicomweb_box.errors import BadSetting
from tests.accounts.conftest import ORIGIN
from tests.accounts.single_sign_on import CLIENT, ISSUER, SECRET, FakeProvider, running_provider, unsigned
from tests.accounts.test_logging_in import GOOD, JSON, basic
from tests.conftest import MakeBox

SET = {
    "no_auth": False,
    "oidc_client_id": CLIENT,
    "oidc_client_secret": SECRET,
    "oidc_name": "Hospital login",
    "oidc_roles": "chiefs=administrator,radiology=viewer",
}


@pytest.fixture(scope="session")
def issuer() -> Iterator[str]:
    """A real provider, running."""
    with running_provider() as running:
        yield running


def browser(box: Box) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(assemble(box), raise_app_exceptions=False)
    return httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"Accept": "text/html", **ORIGIN}
    )


def known_as(issuer: str, subject: str, **claims: object) -> None:
    """Let the provider know somebody."""
    httpx.put(f"{issuer}/users/{subject}", json=claims, timeout=10).raise_for_status()


async def through(client: httpx.AsyncClient, subject: str, onward: str = "/labels") -> httpx.Response:
    """The answer at the end of the way to the real provider and back."""
    led = await client.get("/login/oidc", params={"next": onward})
    async with httpx.AsyncClient(timeout=60) as there:
        form = await there.get(led.headers["location"])
        assert form.status_code == 200
        answer = await there.post(led.headers["location"], data={"sub": subject})
    back = urlsplit(answer.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == "http://localhost/login/oidc/back"
    return await client.get(f"{back.path}?{back.query}")


async def test_somebody_comes_in_by_a_real_provider_and_goes_where_they_wanted(
    make_box: MakeBox, issuer: str
) -> None:
    known_as(issuer, "s-1", groups=["staff", "radiology"], preferred_username="vera", name="Vera Viewer")
    async with make_box(**SET, oidc_issuer=issuer) as box, browser(box) as client:
        form = await client.get("/login?next=%2Flabels")
        come_in = await through(client, "s-1")
        account = (await client.get("/profile.json")).json()

        assert "Log in with Hospital login" in form.text
        assert (come_in.status_code, come_in.headers["location"]) == (303, "/labels")
        assert (await client.get("/labels")).status_code == 200
        assert (account["name"], account["full_name"], account["role"]) == ("vera", "Vera Viewer", "viewer")
        assert account["single_sign_on"] == issuer
        made = await box.database.fetch_value("select about from audit where action = 'change account'")
        assert json.loads(made)["account"] == "vera"


async def test_it_is_the_same_account_each_time_and_its_role_is_that_of_the_last(
    make_box: MakeBox, issuer: str
) -> None:
    async with make_box(**SET, oidc_issuer=issuer) as box, browser(box) as one, browser(box) as two:
        known_as(issuer, "s-2", groups=["radiology"], preferred_username="rita")
        await through(one, "s-2")
        known_as(issuer, "s-2", groups=["radiology", "chiefs"], preferred_username="renamed")
        await through(two, "s-2")

        assert [(each.name, each.role) for each in await users.every(box)] == [("rita", "administrator")]
        assert (await one.get("/users.json")).status_code == 200  # at once, in the older log-in too


@pytest.mark.parametrize("groups", [[], ["cardiology"], "radiolog", None, {"radiology": True}, [1, None]])
async def test_who_has_no_role_here_is_told_so_and_gets_no_account(
    make_box: MakeBox, issuer: str, groups: object
) -> None:
    known_as(issuer, "s-3", groups=groups, preferred_username="nora")
    async with make_box(**SET, oidc_issuer=issuer) as box, browser(box) as client:
        refused = await through(client, "s-3")

        assert refused.status_code == 403
        assert "nobody has given you a role here" in refused.text
        assert await users.every(box) == []
        assert (await client.get("/labels")).status_code == 303
        assert "dicomweb_box" not in client.cookies


async def test_who_loses_their_role_is_not_let_in_any_more(make_box: MakeBox, issuer: str) -> None:
    async with make_box(**SET, oidc_issuer=issuer) as box, browser(box) as client:
        known_as(issuer, "s-4", groups=["radiology"])
        await through(client, "s-4")
        known_as(issuer, "s-4", groups=[])
        assert (await through(client, "s-4")).status_code == 403


async def test_logging_out_leads_to_the_provider_too(make_box: MakeBox, issuer: str) -> None:
    known_as(issuer, "s-5", groups=["radiology"])
    async with make_box(**SET, oidc_issuer=issuer) as box, browser(box) as client:
        await through(client, "s-5")
        kept = await box.database.fetch_value("select id_token from session")
        out = await client.post("/logout")
        to = out.headers["refresh"].removeprefix("0; url=")
        query = parse_qs(urlsplit(to).query)
        there = httpx.get(to, timeout=10)

        assert to.startswith(f"{issuer}/oauth2/end_session?")
        assert query["post_logout_redirect_uri"] == ["http://localhost/login"]
        assert query["id_token_hint"][0].count(".") == 2
        assert query["id_token_hint"][0] not in kept
        assert there.status_code == 200
        assert "Log out of Hospital login too" in out.text
        assert (await client.get("/labels")).status_code == 303


# With a fake provider: what a real one would not do


@pytest.fixture
def fake() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
async def box(make_box: MakeBox, fake: FakeProvider) -> AsyncIterator[Box]:
    """A box that asks the fake provider."""
    async with make_box(**SET, oidc_issuer=ISSUER) as made:
        oidc.provider(made)._client = fake.client()
        yield made


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(box) as made:
        yield made


async def come_back(client: httpx.AsyncClient, fake: FakeProvider, **query: str) -> httpx.Response:
    led = await client.get("/login/oidc")
    return await client.get("/login/oidc/back", params=fake.led(led.headers["location"], **query))


async def test_it_asks_for_a_code_with_a_new_state_nonce_and_challenge_each_time(
    client: httpx.AsyncClient, fake: FakeProvider
) -> None:
    locations = [(await client.get("/login/oidc")).headers["location"] for _ in range(2)]
    one, two = ({name: value[0] for name, value in parse_qs(urlsplit(at).query).items()} for at in locations)

    assert locations[0].startswith(f"{ISSUER}/authorize?")
    assert (one["response_type"], one["client_id"], one["code_challenge_method"]) == ("code", CLIENT, "S256")
    assert one["redirect_uri"] == "http://localhost/login/oidc/back"
    for name in ("state", "nonce", "code_challenge"):
        assert len(one[name]) >= 43
        assert one[name] != two[name]
    assert "code_verifier" not in one


async def test_what_holds_lets_in_with_the_secret_in_the_header(
    client: httpx.AsyncClient, fake: FakeProvider
) -> None:
    assert (await come_back(client, fake)).status_code == 303

    token = next(request for request in fake.asked if request.url.path == "/token")
    assert token.headers["authorization"].startswith("Basic ")
    assert "client_secret" not in token.content.decode()


async def test_a_provider_that_wants_the_secret_in_the_body_gets_it_there(
    client: httpx.AsyncClient, fake: FakeProvider
) -> None:
    fake.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}

    assert (await come_back(client, fake)).status_code == 303

    token = next(request for request in fake.asked if request.url.path == "/token")
    assert "authorization" not in token.headers
    assert parse_qs(token.content.decode())["client_secret"] == [SECRET]


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": ["another client"]},
        {"aud": [CLIENT, "another client"]},
        {"aud": [CLIENT, "another client"], "azp": "another client"},
        {"azp": "another client"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"exp": NOW - 3600},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": NOW + 86400},
        {"nbf": NOW + 86400},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
    ],
    ids=lambda claims: "-".join(claims),
)
async def test_a_token_that_is_not_for_this_log_in_lets_nobody_in(
    box: Box, client: httpx.AsyncClient, fake: FakeProvider, claims: dict[str, Any]
) -> None:
    fake.claims = claims

    refused = await come_back(client, fake)

    assert refused.status_code == 401
    assert "ID token" in refused.text
    assert await users.every(box) == []
    assert await box.database.fetch_value("select count(*) from session") == 0


def forged_without(fake: FakeProvider, claims: dict[str, Any]) -> str:
    return unsigned(claims)


def forged_with_our_secret(fake: FakeProvider, claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))


def forged_with_the_public_key(fake: FakeProvider, claims: dict[str, Any]) -> str:
    return jwt.encode(
        {"alg": "HS256", "kid": "one"}, claims, OctKey.import_key(fake.key.as_pem(private=False)[9:])
    )


def forged_with_another_key(fake: FakeProvider, claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, RSAKey.generate_key(2048))


def forged_with_its_own_key(fake: FakeProvider, claims: dict[str, Any]) -> str:
    key = RSAKey.generate_key(2048)
    return jwt.encode({"alg": "RS256", "jwk": key.as_dict(private=False)}, claims, key)


def forged_by_changing(fake: FakeProvider, claims: dict[str, Any]) -> str:
    head, _, signature = fake.token_for(claims["nonce"]).split(".")
    return f"{head}.{unsigned(claims).split('.')[1]}.{signature}"


@pytest.mark.parametrize(
    "forged",
    [
        forged_without,
        forged_with_our_secret,
        forged_with_the_public_key,
        forged_with_another_key,
        forged_with_its_own_key,
        forged_by_changing,
        lambda fake, claims: "",
        lambda fake, claims: "a.b.c",
        lambda fake, claims: "x" * 100_000,
    ],
)
async def test_a_token_of_somebody_elses_making_lets_nobody_in(
    box: Box,
    client: httpx.AsyncClient,
    fake: FakeProvider,
    forged: Callable[[FakeProvider, dict[str, Any]], str],
) -> None:
    led = await client.get("/login/oidc")
    query = fake.led(led.headers["location"])
    claims = {
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": "boss",
        "iat": NOW,
        "exp": NOW + 86400,
        "groups": ["chiefs"],
    }
    fake.id_token = forged(fake, claims | {"nonce": fake.query["nonce"]})

    assert (await client.get("/login/oidc/back", params=query)).status_code == 401
    assert await users.every(box) == []


async def test_a_way_that_was_not_begun_here_is_refused(
    client: httpx.AsyncClient, fake: FakeProvider
) -> None:
    led = await client.get("/login/oidc")
    query = fake.led(led.headers["location"])
    way = client.cookies["dicomweb_box_way"]
    tries = [
        (way, query | {"state": "another"}),
        (way, {"code": "a code"}),
        ("", query),
        ("k1.x.y", query),
        (way[:-6], query),
        (way, query | {"iss": "https://evil.example"}),
        (way, {"state": query["state"], "error": "access_denied", "error_description": "<b>no</b>"}),
    ]
    for cookie, given in tries:
        client.cookies.set("dicomweb_box_way", cookie)
        refused = await client.get("/login/oidc/back", params=given)
        assert refused.status_code == 401, given
        assert "<b>no</b>" not in refused.text
    assert fake.count("/token") == 0


async def test_a_way_is_good_for_its_own_browser_and_for_ten_minutes(
    box: Box, client: httpx.AsyncClient, fake: FakeProvider
) -> None:
    led = await client.get("/login/oidc")
    query = fake.led(led.headers["location"])
    async with browser(box) as victim:
        assert (await victim.get("/login/oidc/back", params=query)).status_code == 401
    made = json.loads(await keys.unseal(box, oidc.PURPOSE, client.cookies["dicomweb_box_way"]))
    late = await keys.seal(box, oidc.PURPOSE, json.dumps(made | {"ends": time.time() - 1}).encode())
    client.cookies.set("dicomweb_box_way", late)

    assert "took too long" in (await client.get("/login/oidc/back", params=query)).text


async def test_nobody_is_led_to_another_site(client: httpx.AsyncClient, fake: FakeProvider) -> None:
    for onward in ("//evil.example", "https://evil.example", "/\\evil.example"):
        led = await client.get("/login/oidc", params={"next": onward})
        come_in = await client.get("/login/oidc/back", params=fake.led(led.headers["location"]))
        assert come_in.headers["location"] == "/studies"


async def test_a_provider_may_change_its_keys(
    client: httpx.AsyncClient, fake: FakeProvider, box: Box
) -> None:
    assert (await come_back(client, fake)).status_code == 303
    fake.key = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
    provider = oidc.provider(box)
    too_soon = await come_back(client, fake)
    assert provider._keys is not None
    provider._keys = (provider._keys[0] - oidc.KEYS_AGAIN - 1, provider._keys[1])

    assert too_soon.status_code == 401
    assert (await come_back(client, fake)).status_code == 303
    assert fake.count("/keys") == 2


async def test_keys_for_encryption_sign_nothing(client: httpx.AsyncClient, fake: FakeProvider) -> None:
    fake.published = [{**fake.key.as_dict(private=False), "use": "enc"}]

    assert (await come_back(client, fake)).status_code == 401


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"issuer": "https://evil.example"}, "another name"),
        ({"token_endpoint": "http://sso.example/token"}, "where to ask it"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "where to ask it"),
        ({"jwks_uri": None}, "where to ask it"),
    ],
)
async def test_a_provider_that_cannot_be_trusted_is_not_used(
    client: httpx.AsyncClient, fake: FakeProvider, metadata: dict[str, Any], said: str
) -> None:
    fake.metadata = metadata

    refused = await client.get("/login/oidc")

    assert refused.status_code == 503
    assert said in refused.text


async def test_a_provider_that_is_away_or_talks_nonsense_is_told_of(
    box: Box, client: httpx.AsyncClient, fake: FakeProvider
) -> None:
    answers = [
        lambda request: httpx.Response(500),
        lambda request: httpx.Response(302, headers={"Location": "https://evil.example"}),
        lambda request: httpx.Response(200, content=b"[]"),
        lambda request: httpx.Response(200, content=b"{" * 100),
        lambda request: httpx.Response(200, content=b" " * (2 << 20)),
    ]
    for answer in answers:
        oidc.provider(box)._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        assert (await client.get("/login/oidc")).status_code == 503

    async def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("", request=request)

    oidc.provider(box)._client = httpx.AsyncClient(transport=httpx.MockTransport(away))
    assert (await client.get("/login/oidc")).status_code == 503
    assert (await client.get("/login")).status_code == 200


async def test_a_name_is_taken_from_nobody(box: Box, client: httpx.AsyncClient, fake: FakeProvider) -> None:
    await users.add(box, "Vera", role="administrator", password=GOOD, must_change=False, actor=SYSTEM)

    await come_back(client, fake)

    found = {each.name: (each.role, each.single_sign_on) for each in await users.every(box)}
    assert found == {"Vera": ("administrator", None), "vera 2": ("viewer", ISSUER)}
    assert (await client.get("/profile.json")).json()["name"] == "vera 2"


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": None, "email": "v@example.org"}, "v@example.org"),
        ({"preferred_username": "a:b\n\u202ec"}, "a bc"),
        ({"preferred_username": "x" * 300}, "x" * 58),
        ({"preferred_username": ["vera"], "email": 1, "name": " "}, "subject-1"),
    ],
)
async def test_a_name_is_made_of_what_can_be_one(
    box: Box, client: httpx.AsyncClient, fake: FakeProvider, claims: dict[str, Any], name: str
) -> None:
    fake.claims = claims

    assert (await come_back(client, fake)).status_code == 303
    assert [each.name for each in await users.every(box)] == [name]


async def test_a_disabled_account_stays_out(box: Box, client: httpx.AsyncClient, fake: FakeProvider) -> None:
    await users.add(box, "boss", role="administrator", actor=SYSTEM)
    await come_back(client, fake)
    await users.set_disabled(box, "vera", disabled=True, actor=SYSTEM)

    refused = await come_back(client, fake)

    assert refused.status_code == 403
    assert (await client.get("/labels")).status_code == 303


async def test_labels_of_a_claim_bound_what_somebody_sees(make_box: MakeBox, fake: FakeProvider) -> None:
    given = SET | {"oidc_label_claim": "realm.trials", "oidc_roles": "*=viewer", "oidc_role_claim": "nothing"}
    async with make_box(**given, oidc_issuer=ISSUER) as box, browser(box) as client:
        oidc.provider(box)._client = fake.client()
        fake.claims = {"realm": {"trials": ["NLST", "COVID"]}}
        await come_back(client, fake)
        some = (await users.every(box))[0].scope
        fake.claims = {}
        await come_back(client, fake)
        none = (await users.every(box))[0].scope

        assert some == {"labels": ["COVID", "NLST"]}
        assert none == {"labels": []}  # and so nothing
        assert (await client.get("/dicom-web/studies", headers=JSON)).json() == []


async def test_claims_that_the_token_lacks_are_asked_for_if_they_are_about_the_same(
    box: Box, client: httpx.AsyncClient, fake: FakeProvider
) -> None:
    fake.claims, fake.userinfo = {"groups": None}, {"sub": "another", "groups": ["chiefs"]}
    assert (await come_back(client, fake)).status_code == 403

    fake.userinfo = {"sub": "subject-1", "groups": ["radiology"], "iss": "x"}
    assert (await come_back(client, fake)).status_code == 303
    assert [each.role for each in await users.every(box)] == ["viewer"]


async def test_only_single_sign_on_may_let_in_but_for_the_first_administrator(
    make_box: MakeBox, fake: FakeProvider
) -> None:
    async with make_box(**SET, oidc_issuer=ISSUER, oidc_only=True) as box, browser(box) as client:
        for name in ("admin", "vera"):
            await users.add(box, name, role="administrator", password=GOOD, must_change=False, actor=SYSTEM)

        assert (await client.post("/login", data={"name": "vera", "password": GOOD})).status_code == 401
        assert (await client.get("/dicom-web/studies", headers=basic("vera", GOOD))).status_code == 401
        assert (await client.post("/login", data={"name": "admin", "password": GOOD})).status_code == 303
        assert (
            "Only the account admin has a password"
            in (await client.get("/login", headers={"Cookie": ""})).text
        )


async def test_an_account_of_single_sign_on_has_no_password_and_no_second_factor_here(
    make_box: MakeBox, fake: FakeProvider
) -> None:
    async with make_box(**SET, oidc_issuer=ISSUER, second_factor="everybody") as box, browser(box) as client:
        oidc.provider(box)._client = fake.client()
        await come_back(client, fake)

        assert (await client.get("/labels")).status_code == 200
        assert (await client.get("/profile/second-factor")).status_code == 409
        assert (await client.post("/login", data={"name": "vera", "password": ""})).status_code == 401


async def test_nothing_secret_of_it_is_logged_shown_or_kept_open(
    box: Box, client: httpx.AsyncClient, fake: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await come_back(client, fake)
    good = fake.token_for(fake.query["nonce"])
    shown = [await client.get(path) for path in ("/profile.json", "/login", "/users.json")]
    fake.token_status = 400
    shown.append(await come_back(client, fake))
    rows = await box.database.fetch_all("select id_token from session")

    everything = " ".join(
        [
            *(
                record.getMessage()
                for record in caplog.records
                if record.name.startswith(("dicomweb", "httpcore"))
            ),
            *(answer.text for answer in shown),
            *(str(row["id_token"]) for row in rows),
        ]
    )
    for secret in (SECRET, "an access token", good.split(".")[1], fake.query["state"], "a code", "subject-1"):
        assert secret not in everything
    assert (await key_rotation.rotate(box)).sealed == 1
    assert "refresh" in (await client.post("/logout")).headers


async def test_without_a_provider_there_is_no_such_way(guarded: Box) -> None:
    async with browser(guarded) as client:
        assert (await client.get("/login/oidc")).status_code == 404
        assert (await client.get("/login/oidc/back?code=1&state=1")).status_code == 404
        assert "/login/oidc" not in (await client.get("/login")).text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"oidc_issuer": ISSUER}, "needs oidc_client_id"),
        ({"oidc_only": True}, "would let nobody in"),
        ({"oidc_issuer": "http://sso.example", "oidc_client_id": "x"}, "must be https"),
        ({"oidc_issuer": ISSUER, "oidc_client_id": "x", "oidc_scopes": "profile"}, "must name openid"),
        ({"oidc_roles": "radiology"}, "pairs"),
        (
            {
                "oidc_issuer": ISSUER,
                "oidc_client_id": "x",
                "oidc_client_secret": "x",
                "oidc_client_secret_file": "x",
            },
            "given twice",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        setting_sources.load(given, {})


def test_roles_are_read_alike_from_text_and_toml(tmp_path: Any) -> None:
    (tmp_path / "box.toml").write_text('[oidc_roles]\n"cn=rad,dc=x" = "viewer"\n"*" = "researcher"\n')

    assert setting_sources.load({"data": tmp_path}, {}).oidc_roles == ("cn=rad,dc=x=viewer", "*=researcher")
    assert setting_sources.load({"oidc_roles": "a=viewer, b = c=operator"}, {}).oidc_roles == (
        "a=viewer",
        "b = c=operator",
    )
