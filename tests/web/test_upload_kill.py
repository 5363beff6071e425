"""An upload across the sudden end of the server."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from conformance.server import started
from tests.builders import make_instance
from tests.web.uploading import JSON, content_digest


def test_a_file_goes_on_after_the_server_was_killed_within_a_chunk(tmp_path: Path) -> None:
    data = make_instance()
    with started(tmp_path / "data") as server:
        session = httpx.post(f"{server.url}/upload", json={"name": "Kill"}, headers=JSON, timeout=60).json()[
            "address"
        ]
        files = {"files": [{"path": "a.dcm", "size": len(data)}]}
        [file] = httpx.post(f"{server.url}{session}/files", json=files, headers=JSON, timeout=60).json()[
            "files"
        ]
        first = httpx.patch(
            server.url + file["address"],
            content=data[:300],
            headers={"Upload-Offset": "0", "Content-Digest": content_digest(data[:300])},
            timeout=60,
        )
        assert first.status_code == 204
        at = urlsplit(server.url)
        with socket.create_connection((at.hostname, at.port)) as broken:
            head = (
                f"PATCH {file['address']} HTTP/1.1\r\nHost: {at.netloc}\r\nUpload-Offset: 300\r\n"
                f"Content-Length: {len(data) - 300}\r\n\r\n"
            )
            broken.sendall(head.encode() + data[300:500])
            server.kill()
    with started(tmp_path / "data") as server:
        address = server.url + file["address"]
        assert httpx.head(address, timeout=60).headers["upload-offset"] == "300"
        last = httpx.patch(
            address,
            content=data[300:],
            headers={"Upload-Offset": "300", "Upload-Complete": "?1", **JSON},
            timeout=60,
        )
        assert (last.status_code, last.json()["state"]) == (200, "stored")
        assert [path for path in (tmp_path / "data" / "uploads").rglob("*") if path.is_file()] == []
