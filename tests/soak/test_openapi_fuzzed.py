"""Whatever the OpenAPI document lets one ask is answered, and never by a failure of the server."""

import warnings
from collections.abc import Iterator
from itertools import count

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conformance.server import Server, started

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

EXAMPLES, EXAMPLES_OF_SOAK = 6, 200
LEVELS = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("fuzzed") / "data", "--demo", "--workers", "1") as running:
        yield running


@pytest.fixture(scope="module")
def real(server: Server) -> dict[str, str]:
    """The UIDs of an instance that is there."""
    found = httpx.get(
        f"{server.dicomweb}/instances", params={"limit": "1", "includefield": "all"}, timeout=60
    ).json()[0]
    return {name: found[tag]["Value"][0] for name, tag in LEVELS.items()}


def test_nothing_that_may_be_asked_fails(server: Server, real: dict[str, str], soak: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = schemathesis.openapi.from_url(f"{server.dicomweb}/openapi.json")
        asked = [
            _asked(one.ok(), real, EXAMPLES_OF_SOAK if soak else EXAMPLES)
            for one in document.get_all_operations()
            if one.ok().method.upper() != "POST"
        ]

    assert sum(asked) >= len(asked) * EXAMPLES // 2
    assert len(asked) > 30
    assert " failed: " not in server.log.read_text()


def _asked(operation, real: dict[str, str], examples: int) -> int:
    """How often it was asked: half of the times for what is there, where its path names that."""
    numbers = count(1)

    @settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(operation.as_strategy())
    def ask(case) -> None:
        if next(numbers) % 2 and case.method.upper() != "DELETE":
            case.path_parameters.update(
                {name: uid for name, uid in real.items() if name in case.path_parameters}
            )
        answer = case.call()
        assert answer.status_code < 500 or answer.status_code == 503, f"{answer.status_code} {answer.text}"

    ask()
    return next(numbers) - 1


def test_no_body_that_is_stored_fails(server: Server, soak: bool) -> None:
    kinds = st.sampled_from(
        [
            "application/dicom",
            'multipart/related; type="application/dicom"; boundary=b',
            'multipart/related; type="application/dicom+json"; boundary=b',
            'multipart/related; type="application/dicom+xml"; boundary=b',
            "multipart/related",
            "text/html",
            "",
        ]
    )
    bodies = st.one_of(
        st.binary(max_size=400),
        st.binary(max_size=200).map(lambda data: bytes(128) + b"DICM" + data),
        st.binary(max_size=200).map(lambda data: b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data),
        st.text(max_size=100).map(
            lambda text: (
                b"--b\r\nContent-Type: application/dicom+json\r\n\r\n["
                + text.encode("utf-8", "replace")
                + b"]\r\n--b--"
            )
        ),
    )

    with httpx.Client(base_url=server.dicomweb, timeout=60) as client:

        @settings(max_examples=EXAMPLES_OF_SOAK * 5 if soak else 60, deadline=None, database=None)
        @given(kinds, bodies)
        def store(kind: str, body: bytes) -> None:
            answer = client.post("/studies", content=body, headers={"Content-Type": kind})
            assert answer.status_code < 500, answer.text

        store()
