"""A15: an identity service that is asked what patients are called, and that fails closed."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicomweb_box import setting_sources
from dicomweb_box.accounts import key_memory
from dicomweb_box.cli import main
from dicomweb_box.errors import BadSetting
from dicomweb_box.outbound.identity_client import read_service
from dicomweb_box.vault.telling import TELLING
from tests.vault.files import file

Answer = Callable[[dict[str, Any]], tuple[int, bytes]]


class Service:
    """A service on this machine; `answer` says what it does with a request."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}/pseudonyms"
        self.asked: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self.codings: list[str | None] = []
        self.coding = ""
        """The content coding of its answers."""
        self.answers: list[Answer] = []
        self.answer: Answer = given("EXT-7")
        self.over = threading.Event()

    def next(self) -> Answer:
        """What to do now: `answers` in turn, then `answer`."""
        return self.answers.pop(0) if self.answers else self.answer


def given(*pseudonyms: str, **more: str) -> Answer:
    """Answers with these pseudonyms for the patient that was asked for."""

    def answer(asked: dict[str, Any]) -> tuple[int, bytes]:
        one = asked["people"][0]
        return 200, json.dumps({"people": [{**one, "alias": name, **more} for name in pseudonyms]}).encode()

    return answer


def plainly(status: int, content: bytes) -> Answer:
    return lambda asked: (status, content)


@pytest.fixture
def service() -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.asked.append(asked)
            made.tokens.add(self.headers["Authorization"])
            made.codings.append(self.headers["Accept-Encoding"])
            status, content = made.next()(asked)
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                if made.coding:
                    self.send_header("Content-Encoding", made.coding)
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass  # the other side has given up

        def log_message(self, *told: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Service(server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def data(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a project that asks the service."""
    monkeypatch.setattr(key_memory, "keep_memory_to_ourselves", lambda: None)
    folder = tmp_path / "data"
    assert main(["vault", "create", "north", "--pattern", "{service}", "--data", str(folder)]) == 0
    described(folder, service.url)
    return folder


def described(data: Path, url: str, more: str = "timeout = 60\nattempts = 2\npause = 0") -> None:
    path = data / "keys" / "projects" / "north.service.toml"
    path.write_text(
        f'url = "{url}"\n{more}\npatients = "people"\npatient_id = "id"\nissuer = "domain"\n'
        'pseudonym = "alias"\n'
        'headers = { Authorization = "Bearer secret" }\nalso = { study = "north" }\n'
    )
    path.chmod(0o600)


def deidentified(data: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], list[str]]:
    """Patient IDs of what was written, and why the rest was held back."""
    capsys.readouterr()
    out = data.parent / "out"
    main(["deidentify", str(source), "--project", "north", "--out", str(out), "--json", "--data", str(data)])
    report = json.loads(capsys.readouterr().out)
    written = [str(dcmread(path).PatientID) for path in sorted(out.iterdir())]
    return written, [one["reason"] for one in report["held_back"]]


def test_a15_a_patient_is_asked_for_once_and_is_called_what_the_service_says(
    data: Path, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for number in (1, 2):
        source = file(tmp_path / "in", number, IssuerOfPatientID="EAST")
    assert deidentified(data, source.parent, capsys) == (["EXT-7", "EXT-7"], [])
    assert deidentified(data, source.parent, capsys) == (["EXT-7", "EXT-7"], [])
    assert service.asked == [{"study": "north", "people": [{"id": "MRN-4711", "domain": "EAST"}]}]
    assert service.tokens == {"Bearer secret"}


def test_a15_what_fails_at_first_is_tried_again(
    data: Path, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    service.answers = [plainly(503, b"busy")]
    assert deidentified(data, file(tmp_path / "in").parent, capsys) == (["EXT-7"], [])
    assert len(service.asked) == 2


SILENT = "the identity service did not answer"
UNFIT = f"{SILENT} for this patient alone"


@pytest.mark.parametrize(
    ("answer", "asked", "reason"),
    [
        (plainly(500, b"{}"), 2, "the identity service answered with status 500"),
        (plainly(404, b"{}"), 1, "the identity service answered with status 404"),
        (plainly(302, b""), 1, "the identity service answered with status 302"),
        (plainly(200, b"<html>"), 1, "the identity service did not answer in JSON"),
        (plainly(200, b"[]"), 1, UNFIT),
        (plainly(200, b'{"people": ["EXT-7"]}'), 1, UNFIT),
        (plainly(200, b" " * (1 << 20) + b"{}"), 1, UNFIT),
        (given(), 1, UNFIT),
        (given("EXT-7", "EXT-8"), 1, UNFIT),
        (given("EXT-7", id="MRN-1"), 1, UNFIT),
        (given("EXT-7", domain="WEST"), 1, UNFIT),
        (given(""), 1, "the identity service knows no pseudonym for its patient"),
        (given("EXT^7"), 1, "the identity service gave for its patient what can be no pseudonym"),
        (given("MRN-4711"), 1, TELLING),
        (given("x mrn-4711 y"), 1, TELLING),
        (given("A DOE"), 1, TELLING),
        (given("19700102"), 1, TELLING),
    ],
)
def test_a15_without_a_whole_answer_nothing_is_written(
    data: Path,
    service: Service,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answer: Answer,
    asked: int,
    reason: str,
):
    service.answer = answer
    source = file(tmp_path / "in", PatientBirthDate="19700102")
    assert deidentified(data, source.parent, capsys) == ([], [reason])
    assert len(service.asked) == asked
    assert not list((data / "keys" / "projects" / "north.vault").glob("??/*"))


def test_a15_a_service_that_does_not_answer_in_time_holds_all_back_and_is_left_alone(
    data: Path, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def never(asked: dict[str, Any]) -> tuple[int, bytes]:
        service.over.wait()
        return 200, b""

    service.answer = never
    described(data, service.url, "timeout = 0.05\nattempts = 2\npause = 0")
    for number in range(4):
        source = file(tmp_path / "in", number, PatientID=f"P{number}")
    assert deidentified(data, source.parent, capsys) == ([], [SILENT] * 4)
    assert len(service.asked) <= 2


def test_a15_a_service_that_is_not_there_holds_back(
    data: Path, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    described(data, "http://127.0.0.1:1/", "timeout = 5\nattempts = 1")
    assert deidentified(data, file(tmp_path / "in").parent, capsys) == ([], [SILENT])


def test_a15_no_proxy_of_the_environment_hears_of_patients(
    data: Path,
    service: Service,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, service.url)  # where it would be answered
    described(data, "http://127.0.0.1:1/", "timeout = 5\nattempts = 1")
    assert deidentified(data, file(tmp_path / "in").parent, capsys) == ([], [SILENT])
    assert service.asked == []


def test_a15_an_answer_that_could_grow_is_not_read(
    data: Path, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    service.coding = "gzip"
    service.answer = lambda asked: (200, gzip.compress(given("EXT-7")(asked)[1]))
    reason = "the identity service answered in a content coding that was not asked for"
    assert deidentified(data, file(tmp_path / "in").parent, capsys) == ([], [reason])
    assert service.codings == ["identity"]


def test_a15_who_is_forgotten_is_not_asked_for(
    data: Path, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = file(tmp_path / "in")
    deidentified(data, source.parent, capsys)
    main(["vault", "forget", "north", "MRN-4711", "--reason", "withdrawn", "--data", str(data)])
    (tmp_path / "out").rename(tmp_path / "before")
    assert deidentified(data, source.parent, capsys) == ([], ["its patient was forgotten in this project"])
    assert len(service.asked) == 1


def test_a15_two_patients_with_one_pseudonym_are_not_mixed(
    data: Path, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file(tmp_path / "in", 1)
    source = file(tmp_path / "in", 2, PatientID="P2")
    written, held_back = deidentified(data, source.parent, capsys)
    assert written == ["EXT-7"]
    assert held_back == ["the pseudonym of its patient stands for another one already"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no url"),
        ("url =", "cannot be read"),
        ("a = " + "[" * 5000, "cannot be read"),
        ("a = " + "9" * 5000, "cannot be read"),
        ('url = "https://a.example"\nca = ""', "are texts"),
        ('url = "https://a.example"\nheaders = { A = "x\\ny" }', "each in one line"),
        ('url = "https://a.example"\nheaders = { "A b" = "x" }', "each in one line"),
        ('url = "https://a.example"\ntime = 3', "names time"),
        ('url = "http://a.example"', "https"),
        ('url = "ftp://127.0.0.1"', "https"),
        ('url = "https://a.example"\ntimeout = 0', "seconds"),
        ('url = "https://a.example"\nattempts = 1.5', "attempts are"),
        ('url = "https://a.example"\npause = "x"', "are numbers"),
        ('url = "https://a.example"\npseudonym = "issuer"', "names of their own"),
        ('url = "https://a.example"\npatients = 3', "are texts"),
        ('url = "https://a.example"\nheaders = { A = 1 }', "headers are texts"),
        ('url = "https://a.example"\nalso = 1', "are tables"),
        ('url = "https://a.example"\nalso = { patients = 1 }', "list of patients"),
    ],
)
def test_a_description_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, sentence: str):
    chosen = setting_sources.load({"data": str(tmp_path)}, {})
    with pytest.raises(BadSetting, match="is not there"):
        read_service(chosen, "north")
    path = tmp_path / "keys" / "projects" / "north.service.toml"
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_text(text)
    path.chmod(0o644)
    with pytest.raises(BadSetting, match="can be read by others"):
        read_service(chosen, "north")
    path.chmod(0o600)
    with pytest.raises(BadSetting, match=sentence):
        read_service(chosen, "north")
