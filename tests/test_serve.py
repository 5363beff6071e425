"""`serve` from the outside: a started process, real sockets, real signals."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from conformance.dimse import VERIFICATION, association
from conformance.server import Server, command, environment, free_port, start
from tests.waiting import until

PATIENCE = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = start(tmp_path / "data", "--workers", "2")
    yield started
    started.kill()


def roles(server: Server) -> list[int]:
    """The process numbers of the role processes, in the order of their start: web first, worker last."""
    process = server.process.pid
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def begun_request(server: Server) -> socket.socket:
    """A connection with a request that is being worked on, whose body is not complete yet."""
    connection = connected(server)
    head = b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\n"
    connection.sendall(head + b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n")
    assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"  # it has begun to read
    connection.sendall(b"hello")
    return connection


def connected(server: Server) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port), PATIENCE)


def answer_of(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        env=environment(settings),
        timeout=300,
        check=False,
    )


def test_it_says_where_it_listens_once_it_answers_and_then_that_it_is_ready(tmp_path: Path) -> None:
    port = str(free_port())
    arguments = command("serve", "--data", str(tmp_path), "--port", "0", "--dimse-port", port)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        address, dicom, ready = (process.stdout.readline() for _ in range(3))
        assert address.startswith("HTTP http://127.0.0.1:")
        assert dicom == f"DICOM DICOMWEB_BOX@127.0.0.1:{port}\n"
        assert ready == "ready\n"
        assert httpx.get(f"{address.split()[1]}/healthz", timeout=60).json() == {"status": "up"}
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_running_request_is_finished_before_it_ends(server: Server, how: signal.Signals) -> None:
    with begun_request(server) as connection:
        server.process.send_signal(how)
        until(lambda: _is_refused(server))
        connection.sendall(b"world")

        answer = answer_of(connection)

    # Ten bytes of text are no instance; what counts is that the answer came, and came whole.
    assert answer.startswith(b"HTTP/1.1 4")
    assert b"connection: close" in answer
    assert server.process.wait(PATIENCE) == 0


def test_clients_that_keep_connections_lose_no_request_when_it_ends(server: Server) -> None:
    failures: list[BaseException] = []
    answered = [0] * 6

    def ask(number: int) -> None:
        # No retries: each request is sent once.
        with httpx.Client(
            base_url=server.url, transport=httpx.HTTPTransport(retries=0), timeout=60
        ) as client:
            while True:
                try:
                    assert client.get("/healthz").status_code == 200
                except httpx.ConnectError:
                    return
                except Exception as error:  # noqa: BLE001
                    failures.append(error)
                    return
                answered[number] += 1

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(len(answered))]
    for client in clients:
        client.start()
    until(lambda: failures or min(answered) > 10)
    server.process.send_signal(signal.SIGTERM)
    for client in clients:
        client.join(PATIENCE)

    assert failures == []
    assert server.process.wait(PATIENCE) == 0


def test_a_second_signal_ends_it_at_once(server: Server) -> None:
    processes = roles(server)
    with begun_request(server):
        server.process.send_signal(signal.SIGTERM)
        until(lambda: _is_refused(server))
        assert server.process.poll() is None

        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(PATIENCE) != 0
        until(lambda: not any(map(alive, processes)))


def test_a_dead_web_role_is_started_again_and_nobody_is_refused(tmp_path: Path) -> None:
    server = start(tmp_path / "data", "--workers", "1")
    try:
        web, _worker = roles(server)
        os.kill(web, signal.SIGKILL)

        # Nobody accepts at this moment, yet the connection stands and is answered by the next one.
        for _ in range(20):
            assert httpx.get(f"{server.url}/healthz", timeout=PATIENCE).status_code == 200

        until(lambda: len(roles(server)) == 2)
        assert web not in roles(server)
        assert b"web-0 ended" in server.log.read_bytes()
        assert server.stop() == 0
    finally:
        server.kill()


def test_a_dead_dimse_role_is_started_again_and_nobody_is_refused(tmp_path: Path) -> None:
    server = start(tmp_path / "data", "--workers", "1", "--dimse-workers", "1", dimse=True)
    try:
        _web, dimse, _worker = roles(server)
        os.kill(dimse, signal.SIGKILL)

        # Nobody accepts at this moment, yet the connection stands and is answered by the next one.
        with association(server.dimse, [(VERIFICATION, ImplicitVRLittleEndian)]) as made:
            assert made.send_c_echo().Status == 0

        until(lambda: len(roles(server)) == 3)
        assert dimse not in roles(server)
        assert b"dimse-0 ended" in server.log.read_bytes()
        assert server.stop() == 0
    finally:
        server.kill()


def test_a_dead_worker_is_started_again(server: Server) -> None:
    worker = roles(server)[-1]

    os.kill(worker, signal.SIGKILL)

    until(lambda: worker not in roles(server) and len(roles(server)) == 3)
    assert server.stop() == 0


def test_roles_end_when_the_supervisor_is_killed(server: Server) -> None:
    processes = roles(server)

    server.process.kill()

    until(lambda: not any(map(alive, processes)))


def test_roles_run_alone(tmp_path: Path) -> None:
    for flags in (("--role", "web", "--workers", "1"), ("--role", "dimse", "--dimse-workers", "1")):
        alone = start(tmp_path / "data", *flags, dimse=True)
        try:
            assert len(roles(alone)) == 1
            assert bool(alone.url) == ("web" in flags)
            assert bool(alone.dimse) == ("dimse" in flags)
        finally:
            assert alone.stop() == 0

    arguments = command("serve", "--data", str(tmp_path / "data"), "--role", "worker")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment()) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        worker.send_signal(signal.SIGTERM)
    assert worker.returncode == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_only_this_machine_is_served_until_there_are_accounts(tmp_path: Path, host: str) -> None:
    done = run("serve", "--data", str(tmp_path), "--host", host, "--port", "0", "--no-auth")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "loopback" in done.stderr


def test_a_taken_port_is_one_line_and_a_failure(server: Server, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]

    done = run("serve", "--data", str(tmp_path / "other"), "--port", port)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr.splitlines()[-1]


def test_a_dimse_port_that_was_chosen_and_is_taken_is_a_failure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        done = run("serve", "--data", str(tmp_path), "--port", "0", "--dimse-port", port)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr.splitlines()[-1]


def test_without_dimse_it_serves_where_another_program_has_the_port_that_nobody_chose(tmp_path: Path) -> None:
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", 11112)) as taken:
        _serve_beside(taken, tmp_path)
        return
    _serve_beside(None, tmp_path)  # somebody else has it already


def _serve_beside(taken: socket.socket | None, folder: Path) -> None:
    arguments = command("serve", "--data", str(folder), "--port", "0")
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = [process.stdout.readline(), process.stdout.readline()]
        process.send_signal(signal.SIGTERM)
        errors = process.stderr.read()
    assert said[1] == "ready\n"
    assert "DIMSE is not served: cannot listen on 127.0.0.1:11112" in errors
    assert process.returncode == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_dimse_is_served_to_this_machine_alone_until_there_are_accounts(tmp_path: Path, host: str) -> None:
    done = run(
        "serve", "--data", str(tmp_path), "--dimse-host", host, "--port", "0",
        "--dimse-port", str(free_port()), "--no-auth",
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (2, "")
    assert f"dimse_host {host} is not loopback" in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--role", "dimse", "--dimse-port", "0"), "needs dimse_port or dimse_tls_port"),
        (("--dimse-port", "21113", "--dimse-tls-port", "21113"), "must be another port"),
        (("--dimse-port", "0", "--dimse-tls-port", "21113"), "dimse_tls_cert"),
    ],
)
def test_dimse_that_is_half_told_is_refused_in_a_line(
    tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    done = run("serve", "--data", str(tmp_path), "--port", "0", *flags)

    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_a_data_folder_that_cannot_be_made_is_a_failure_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")

    done = run("serve", "--data", str(tmp_path / "data"), "--port", "0")

    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("dicomweb-box: ")


def test_the_demonstration_is_loaded_once(tmp_path: Path) -> None:
    for _ in range(2):
        server = start(tmp_path / "data", "--demo", "--workers", "1")
        try:
            studies = httpx.get(f"{server.dicomweb}/studies", timeout=60).json()
            modalities = {value for study in studies for value in study["00080061"]["Value"]}
            removed = httpx.delete(
                f"{server.dicomweb}/studies/{studies[0]['0020000D']['Value'][0]}", timeout=60
            )
        finally:
            server.stop()

    assert removed.status_code == 204
    assert {"CT", "MR", "US", "SR", "NM", "RTDOSE"} <= modalities
    # One was removed in the first round, and did not come back with the second.
    assert len(studies) == 15


def test_the_numbers_of_all_web_processes_are_told_by_each(server: Server) -> None:
    for _ in range(20):
        httpx.get(f"{server.url}/healthz", timeout=60)

    lines = httpx.get(f"{server.url}/metrics", timeout=60).text.splitlines()

    answered = [
        int(line.split()[-1]) for line in lines if "requests_total{" in line and 'status="2xx"' in line
    ]
    assert len(answered) == 2
    assert sum(answered) == 20
    assert 'dicomweb_box_http_requests_running{process="web-' in "\n".join(lines)


def test_the_log_names_no_patient(server: Server) -> None:
    httpx.get(
        f"{server.dicomweb}/studies",
        params={"PatientName": "Secret^Sylvia", "StudyDate": "wrong"},
        timeout=60,
    )
    httpx.get(f"{server.url}/studies/1.2.3", params={"PatientName": "Secret^Sylvia"}, timeout=60)
    with connected(server) as connection:
        connection.sendall(b"GET /?PatientName=Secret^Sylvia HTTP/9.9\r\n\r\n")
        answer_of(connection)

    assert server.stop() == 0
    assert b"Secret" not in server.log.read_bytes()


def test_a_head_without_end_is_refused(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        try:
            for _ in range(64):
                connection.sendall(b"x" * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = answer_of(connection)
        except ConnectionResetError:
            answer = b"HTTP/1.1 431"  # it hung up while we were still sending

    assert answer.startswith(b"HTTP/1.1 431")
    assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200


def test_a_long_but_bounded_head_is_taken(server: Server) -> None:
    answer = httpx.get(f"{server.url}/healthz", headers={"X-Long": "x" * 65536}, timeout=60)

    assert answer.status_code == 200


def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    for pause in (0.35, 0.5, 0.6, 0.7):
        arguments = command("serve", "--data", str(tmp_path / "data"), "--port", "0")
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment()) as process:
            time.sleep(pause)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) in (0, -signal.SIGTERM)


def _is_refused(server: Server) -> bool:
    try:
        connected(server).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize(
    ("settings", "served"), [({}, False), ({"DICOMWEB_BOX_INSECURE_HTTP": "true"}, True)]
)
def test_plain_http_beyond_this_machine_needs_a_word(
    tmp_path: Path, settings: dict[str, str], served: bool
) -> None:
    if served:
        server = start(
            tmp_path / "data", "--host", "0.0.0.0", "--workers", "1", settings=settings, accounts=True
        )
        try:
            port = server.url.rpartition(":")[2]
            assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=60).status_code == 200
            foreign = httpx.get(
                f"http://127.0.0.1:{port}/healthz", headers={"Host": "evil.example"}, timeout=60
            )
            assert foreign.status_code == 421
        finally:
            server.stop()
        assert "can be overheard" in server.log.read_text()
    else:
        done = run("serve", "--data", str(tmp_path / "data"), "--host", "0.0.0.0", "--port", "0", **settings)
        assert (done.returncode, done.stdout) == (2, "")
        assert "tls_cert" in done.stderr
        assert "insecure_http" in done.stderr
