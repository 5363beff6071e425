"""The servers measured: this one, and Orthanc with its DICOMweb plugin where Debian's packages are."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAM = "dicomweb_box"
PLUGINS = Path("/usr/share/orthanc/plugins")


@dataclass(kw_only=True)
class Server:
    """A running server; `port` is on the loopback address and the service lies at /dicom-web."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    started_in: float
    settle: float
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    dimse: int = 0
    """Port of DIMSE on the loopback address; 0: not asked for."""
    ae_title: str = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def ended(self) -> bool:
        """Whether its process is no more, a moment after it broke a connection."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        return self.process.poll() is not None

    def start_anew(self) -> None:
        """Start it once more over what it has stored, on the same port."""
        self.process = _process(self.command, self.environment, self.folder)
        _wait(self.name, self.process, self.folder, self.port)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def orthanc_program() -> str | None:
    """Where Orthanc is installed with its DICOMweb plugin, or None."""
    program = shutil.which("Orthanc", path=os.environ.get("PATH", "") + ":/usr/sbin")
    return program if program and list(PLUGINS.glob("*DicomWeb*")) else None


def start_box(
    folder: Path, *flags: str, accounts: bool = False, program: str = PROGRAM, dimse: bool = False
) -> Server:
    """This server, or another `program` that is one, over a folder; it asks for log-ins where `accounts`, and
    serves DIMSE where `dimse`.
    """
    port, dicom = free_port(), free_port() if dimse else 0
    more = [*flags, *(() if accounts else ("--no-auth",)), "--port", str(port), "--dimse-port", str(dicom)]
    command = [*box_command("serve", folder, program), *more]
    server = _start("box", command, box_environment(), folder, port, settle=0.5)
    server.dimse, server.ae_title = dicom, "DICOMWEB_BOX"
    return server


def box_command(name: str, folder: Path, program: str = PROGRAM) -> list[str]:
    """This program's command line over the folder of a server."""
    return [sys.executable, "-m", program, *name.split(), "--data", str(folder / "data")]


def box_environment() -> dict[str, str]:
    """Ours, without any setting of the program."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DICOMWEB_BOX_")}
    return kept | {"PYTHONPATH": str(ROOT)}


def start_orthanc(
    folder: Path, program: str, plugins: tuple[str, ...] = ("DicomWeb", "Gdcm"), **more: object
) -> Server:
    """Orthanc over an empty folder: durable, and tuned after the scalability page of its book.

    `more` are settings of its own.
    """
    port, dicom = free_port(), free_port()
    settings = {
        "Name": "bench",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "HttpPort": port,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "SyncStorageArea": True,
        "StorageCompression": False,
        "StorageAccessOnFind": "Never",
        "SaveJobs": False,
        "KeepAlive": True,
        "TcpNoDelay": True,
        "HttpThreadsCount": 50,
        "LimitFindResults": 0,
        "LimitFindInstances": 0,
        "StableAge": 10,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "Plugins": [str(path) for name in plugins for path in PLUGINS.glob(f"*{name}*")],
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            "EnableWado": False,
            "StudiesMetadata": "Full",
            "SeriesMetadata": "Full",
            "EnableMetadataCache": True,
        },
    }
    (folder / "orthanc.json").write_text(json.dumps(settings | more))
    # Without TCP_NODELAY Debian's DCMTK waits 45 ms for an acknowledgement at each message.
    environment = dict(os.environ) | {"MALLOC_ARENA_MAX": "5", "TCP_NODELAY": "1"}
    command = [program, str(folder / "orthanc.json")]
    server = _start("orthanc", command, environment, folder, port, settle=12)
    server.dimse, server.ae_title = dicom, "ORTHANC"
    return server


def version(name: str) -> str:
    """What is measured, in words."""
    if name == "box":
        from dicomweb_box import __version__

        return f"dicomweb_box {__version__}"
    program = orthanc_program()
    said = subprocess.run([program or "", "--version"], capture_output=True, text=True, check=False).stdout
    return "Orthanc " + (said.split()[1] if len(said.split()) > 1 else "")


def _start(
    name: str, command: list[str], environment: dict[str, str], folder: Path, port: int, settle: float
) -> Server:
    began = time.monotonic()
    process = _process(command, environment, folder)
    _wait(name, process, folder, port)
    return Server(
        name=name,
        port=port,
        process=process,
        started_in=time.monotonic() - began,
        settle=settle,
        command=command,
        environment=environment,
        folder=folder,
    )


def _process(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> "subprocess.Popen[bytes]":
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )


def _wait(name: str, process: "subprocess.Popen[bytes]", folder: Path, port: int) -> None:
    began = time.monotonic()
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > began + 60:
            raise RuntimeError(
                f"{name} did not start:\n" + (folder / "log").read_text(errors="replace")[-3000:]
            )
        time.sleep(0.005)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/dicom-web/studies?limit=1", timeout=5
        ) as response:
            return bool(response.status in {200, 204})
    except urllib.error.HTTPError as error:
        return error.code == 401  # it asks who we are
    except OSError:
        return False


def free_port() -> int:
    """A port that nobody had a moment ago."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
