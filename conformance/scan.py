"""An active scanner against a started server: every page that an administrator can reach.

`python -m conformance.scan`; needs `wapiti` (wapiti-scanner.github.io) on the path. Prints what it found and
which of its modules had no time for all; ends with 1 where that is more than what docs/security.md answers.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from pydicom.data import get_testdata_file

from conformance.server import Server, command, environment, started
from tests.certificates import make_certificate

PASSWORD = "correct horse battery"
MODULES = (
    "backup,cookieflags,crlf,csp,csrf,exec,file,htaccess,http_headers,methods,permanentxss,redirect,sql,timesql,"
    "upload,xss,xxe"
)
OBJECTS = ("CT_small.dcm", "examples_ybr_color.dcm", "test-SR.dcm")
"""A slice, a film and a report, of pydicom's: every kind of page is there, and none a hundred times."""
LEFT_ALONE = ("/logout", "/profile/*", "/users/*", "/ohif*")
"""What would end the scanner's own log-in, and the viewer of others."""
ANSWERED = {"Cross Site Request Forgery"}
"""It looks for tokens in forms; ours are guarded by Origin and Sec-Fetch-Site (docs/security.md)."""
SECONDS = 300
TOLD = re.compile(r"Launching module|Max attack time was reached|requests were skipped")
"""What it says of how far it came; which modules were stopped it tells at this loudness alone."""
LEAST_CRAWLED = 200
"""Addresses: a scanner that was shut out, or stopped early, finds nothing either."""


def main() -> int:
    """Scan; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m conformance.scan", description=__doc__)
    parser.add_argument("--secs", type=int, default=90, help="seconds of each module at most (default 90)")
    parser.add_argument("--modules", default=MODULES, help=f"of the scanner, with commas (default {MODULES})")
    asked = parser.parse_args()
    wapiti = shutil.which("wapiti")
    if wapiti is None:
        print("wapiti is not installed: pipx install wapiti3", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        cert, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
        make_certificate(cert, key)
        settings = {"DICOMWEB_BOX_TLS_CERT": str(cert), "DICOMWEB_BOX_TLS_KEY": str(key)}
        _fill(Path(folder, "data"))
        with started(Path(folder, "data"), accounts=True, settings=settings) as server:
            found, crawled = _found(wapiti, server, Path(folder), asked.modules, asked.secs)
    print(f"{crawled} addresses crawled")
    if crawled < LEAST_CRAWLED:
        print(f"less than {LEAST_CRAWLED}: this was no scan", file=sys.stderr)
        return 2
    for kind, items in found.items():
        print(f"{kind}: {len(items)}")
        for one in sorted({f"  {item['method']} {item['path']}: {item['info']}" for item in items})[:20]:
            print(one)
    return int(bool(found.keys() - ANSWERED))


def _fill(data: Path) -> None:
    files = [str(get_testdata_file(name, download=False)) for name in OBJECTS]
    subprocess.run(
        command("import", *files, "--data", str(data)), env=environment(), check=True, capture_output=True
    )


def _found(
    wapiti: str, server: Server, folder: Path, modules: str, seconds: int
) -> tuple[dict[str, list[dict[str, str]]], int]:
    """What was found by its kind, and how many addresses were crawled."""
    report = folder / "report.json"
    leave = [word for path in LEFT_ALONE for word in ("-x", server.url + path)]
    scan = subprocess.Popen(
        [
            wapiti, "-u", f"{server.url}/studies", "--scope", "domain", "--flush-session", "-m", modules,
            "-H", f"Cookie: {_cookie(server)}", "-H", f"Origin: {server.url}", *leave,
            "--max-links-per-page", "200", "--max-files-per-dir", "100", "--max-parameters", "12",
            "--max-scan-time", str(SECONDS), "--max-attack-time", str(seconds), "--tasks", "4",
            "-f", "json", "-o", str(report), "--no-bugreport", "--store-session", str(folder),
            "--verbose", "1",
        ],
        stdout=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    assert scan.stdout is not None
    for line in scan.stdout:
        if TOLD.search(line):
            print(line.rstrip(), flush=True)
    if scan.wait():
        raise subprocess.CalledProcessError(scan.returncode, wapiti)
    said = json.loads(report.read_text())
    found = {
        kind: items
        for group in ("vulnerabilities", "anomalies")
        for kind, items in said[group].items()
        if items
    }
    return found, int(said["infos"]["crawled_pages_nbr"])


def _cookie(server: Server) -> str:
    """The cookies of an administrator's log-in."""
    added = (
        "user",
        "add",
        "wanda",
        "--role",
        "administrator",
        "--password-stdin",
        "--data",
        str(server.data),
    )
    subprocess.run(
        command(*added),
        input=PASSWORD, text=True, env=environment(), check=True, capture_output=True,
    )  # fmt: skip
    with httpx.Client(base_url=server.url, verify=False, timeout=60) as client:
        answer = client.post(
            "/login", data={"name": "wanda", "password": PASSWORD}, headers={"Origin": server.url}
        )
        assert answer.status_code == 303, answer.text
        return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


if __name__ == "__main__":
    sys.exit(main())
