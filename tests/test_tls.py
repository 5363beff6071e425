"""HTTPS from the outside: what is agreed on, what is shown, and renewal while connections stand."""

import contextlib
import logging
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from conformance.server import Server, command, environment, start
from dicomweb_box.errors import BadSetting
from dicomweb_box.tls import Certificate
from tests.certificates import make_certificate
from tests.waiting import until

PATIENCE = 60.0


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(cert, key, serial=1001)
    return cert, key


@pytest.fixture
def server(tmp_path: Path, files: tuple[Path, Path]) -> Iterator[Server]:
    started = start(tmp_path / "data", "--workers", "2", settings=settings_of(files))
    yield started
    started.kill()


def settings_of(files: tuple[Path, Path]) -> dict[str, str]:
    return {"DICOMWEB_BOX_TLS_CERT": str(files[0]), "DICOMWEB_BOX_TLS_KEY": str(files[1])}


def unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def shake_hands(server: Server, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    url = httpx.URL(server.url)
    plain = socket.create_connection((url.host, url.port), PATIENCE)
    return (context or unchecked()).wrap_socket(plain, server_hostname="localhost")


def shown_serial(server: Server) -> int:
    with shake_hands(server) as connection:
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"").serial_number


def test_https_is_served_to_who_trusts_the_certificate(server: Server, files: tuple[Path, Path]) -> None:
    assert server.url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=files[0])

    with httpx.Client(base_url=server.url, verify=trusting, timeout=60) as client:
        answer = client.get("/studies", headers={"Accept": "text/html"})

    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.get(server.url, timeout=60)


def test_only_tls_of_today_is_agreed_on(server: Server) -> None:
    with shake_hands(server) as connection:
        assert connection.version() == "TLSv1.3"
    older = unchecked()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    older.set_alpn_protocols(["h2", "http/1.1"])
    with shake_hands(server, older) as connection:
        assert connection.version() == "TLSv1.2"
        assert connection.selected_alpn_protocol() == "http/1.1"
        cipher = connection.cipher()
        assert cipher is not None
        assert cipher[0].startswith("ECDHE-")
    weak = unchecked()
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES256-SHA:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shake_hands(server, weak)


def test_plain_http_is_not_answered_where_https_is_served(server: Server) -> None:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), PATIENCE) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in connection.recv(4096)


def test_a_log_in_over_https_is_kept_by_a_cookie_that_never_goes_elsewhere(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    data = tmp_path / "guarded"
    server = start(data, "--workers", "1", settings=settings_of(files), accounts=True)
    try:
        added = subprocess.run(
            command("user", "add", "vera", "--role", "viewer", "--password-stdin", "--data", str(data)),
            input="correct horse battery",
            text=True,
            env=environment(),
            check=False,
            capture_output=True,
        )
        assert added.returncode == 0, added.stderr
        with httpx.Client(base_url=server.url, verify=unchecked(), timeout=60) as client:
            answer = client.post(
                "/login",
                data={"name": "vera", "password": "correct horse battery"},
                headers={"Origin": server.url},
            )
    finally:
        server.stop()

    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-dicomweb_box=")
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= set(cookie.split("; "))
    assert "domain" not in cookie


def test_a_renewed_certificate_is_shown_and_no_request_is_lost(
    server: Server, files: tuple[Path, Path]
) -> None:
    failures: list[BaseException] = []
    answered, stop = [0] * 4, threading.Event()

    def ask(number: int) -> None:
        with httpx.Client(base_url=server.url, verify=unchecked(), timeout=60) as kept:
            while not stop.is_set():
                try:
                    assert kept.get("/healthz").status_code == 200
                    # A new handshake every time, too.
                    assert (
                        httpx.get(f"{server.url}/healthz", verify=unchecked(), timeout=60).status_code == 200
                    )
                except Exception as error:  # noqa: BLE001
                    failures.append(error)
                    return
                answered[number] += 1

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(len(answered))]
    for client in clients:
        client.start()
    until(lambda: failures or min(answered) > 2)
    for serial in (1002, 1003):
        make_certificate(*files, serial=serial)
        # Both processes see it: a new connection goes to either.
        until(lambda serial=serial: failures or {shown_serial(server) for _ in range(6)} == {serial})
    so_far = list(answered)
    until(lambda: failures or all(now > then + 2 for now, then in zip(answered, so_far, strict=True)))
    stop.set()
    for client in clients:
        client.join(PATIENCE)

    assert failures == []


def test_a_renewal_that_cannot_be_served_leaves_the_present_one_and_is_logged(
    server: Server, files: tuple[Path, Path]
) -> None:
    cert, key = files
    whole = key.read_bytes()

    cert.write_text("nonsense")
    until(lambda: server.log.read_text().count("the present certificate is kept") >= 2)
    assert shown_serial(server) == 1001
    make_certificate(cert, key.with_name("other.pem"), serial=1004)
    until(lambda: "the key is another certificate's" in server.log.read_text())
    assert shown_serial(server) == 1001
    key.write_bytes(key.with_name("other.pem").read_bytes())
    until(lambda: {shown_serial(server) for _ in range(6)} == {1004})
    assert whole.decode() not in server.log.read_text()


def test_a_hangup_reads_the_files_anew(server: Server) -> None:
    server.process.send_signal(signal.SIGHUP)

    until(lambda: server.log.read_text().count("is served from now on") >= 2)
    assert httpx.get(f"{server.url}/healthz", verify=unchecked(), timeout=60).status_code == 200
    assert server.process.poll() is None


def test_a_hangup_ends_a_server_without_https_as_any_program(tmp_path: Path) -> None:
    server = start(tmp_path / "data", "--workers", "1")
    try:
        server.process.send_signal(signal.SIGHUP)
        assert server.process.wait(PATIENCE) == -signal.SIGHUP
    finally:
        server.kill()


def test_files_of_dimse_are_named_by_their_own_settings(tmp_path: Path, files: tuple[Path, Path]) -> None:
    def refused(**told: Path) -> str:
        with pytest.raises(BadSetting) as error:
            Certificate(files[0], files[1], setting="dimse_tls", protocols=(), **told)
        return str(error.value)

    ca = tmp_path / "ca.pem"
    assert f"dimse_tls_ca {ca} cannot be read" in refused(ca=ca)
    ca.write_text("no certificate")
    assert f"dimse_tls_ca {ca}: there is no certificate in PEM" in refused(ca=ca)
    ca.write_bytes(files[0].read_bytes())
    made = Certificate(files[0], files[1], ca=ca, setting="dimse_tls", protocols=())
    assert made.context.verify_mode is ssl.CERT_REQUIRED
    ca.write_text("broken off")
    assert made.refresh() is False  # what there is stays


def refused(cert: Path, key: Path | None) -> str:
    with pytest.raises(BadSetting) as caught:
        Certificate(cert, key)
    return str(caught.value)


def test_files_that_cannot_be_served_with_are_refused_in_words(tmp_path: Path) -> None:
    cert, key, other = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "other.pem"
    assert "cert.pem cannot be read" in refused(cert, key)
    make_certificate(tmp_path / "another.pem", other)
    make_certificate(cert, key)
    assert "another certificate's" in refused(cert, other)
    assert "no certificate with its key" in refused(cert, None)
    assert "no certificate with its key" in refused(key, key)
    make_certificate(cert, key, days=-0.5)
    assert "the certificate ended on" in refused(cert, key)
    make_certificate(cert, key, begins=3)
    assert "begins only on" in refused(cert, key)
    make_certificate(cert, key, password=b"secret")
    assert "locked by a password" in refused(cert, key)


def test_the_command_says_so_in_one_line(tmp_path: Path, files: tuple[Path, Path]) -> None:
    make_certificate(*files, days=-0.5)
    done = subprocess.run(
        command("serve", "--data", str(tmp_path / "data"), "--port", "0"),
        capture_output=True,
        text=True,
        env=environment(settings_of(files)),
        timeout=300,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "the certificate ended on" in done.stderr


def test_a_key_that_others_can_read_and_an_end_that_is_near_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(cert, key, days=90)
    with caplog.at_level(logging.WARNING):
        Certificate(cert, key)
        assert caplog.messages == []
        key.chmod(0o644)
        Certificate(cert, key)
        assert "can be read by every user" in caplog.messages[0]
        make_certificate(cert, key, days=5.5)
        Certificate(cert, key)
    assert caplog.messages[-1].startswith("the certificate ends in 5 days")


def test_one_file_may_hold_both_and_its_names_are_the_servers(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(cert, key, names=("Box.Example", "*.viewers.example", "192.0.2.1"))
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + cert.read_bytes())

    certificate = Certificate(both, None)

    assert certificate.names == {"box.example", "*.viewers.example", "192.0.2.1"}
    assert not certificate.refresh()
    make_certificate(cert, key, names=("other.example",))
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    os.utime(both, (1, 1))
    assert certificate.refresh()
    assert certificate.names == {"other.example"}
