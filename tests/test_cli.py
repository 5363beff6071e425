"""The command line from the outside: what it prints where, and its exit codes."""

import json
import os
import pty
import subprocess
import zipfile
from functools import partial
from pathlib import Path

import httpx
import pytest

from conformance.server import command, environment, started
from tests.builders import make_instance, new_uid


def run(*arguments: str, data: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    given = environment({"DICOMWEB_BOX_DATA": str(data), **settings})
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        env=given,
        timeout=300,
        check=False,
        cwd=data.parent,
    )


def imported(*paths: Path, data: Path) -> dict[str, object]:
    done = run("import", *map(str, paths), "--json", data=data)
    assert done.returncode in (0, 1), done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a disc from another department has it."""
    folder = tmp_path / "disc"
    (folder / "series" / "deep").mkdir(parents=True)
    (folder / "series" / "one.dcm").write_bytes(make_instance())
    (folder / "series" / "deep" / "IM0001").write_bytes(make_instance())
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "readme.txt").write_text("Viewer instructions")
    return folder


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_folder_is_imported_with_a_reason_for_each_refused_file(folder: Path, data: Path) -> None:
    done = run("import", str(folder), data=data)

    assert done.returncode == 1
    assert done.stderr == ""
    rows = [line for line in done.stdout.splitlines() if "readme.txt" in line]
    assert len(rows) == 1
    assert "C000" in rows[0]
    assert "one.dcm" not in done.stdout


def test_a_second_import_finds_everything_there(folder: Path, data: Path) -> None:
    (folder / "readme.txt").unlink()
    first = imported(folder, data=data)
    second = imported(folder, data=data)

    assert (first["stored"], first["already"], first["skipped"], first["refused"]) == (2, 0, 2, [])
    assert (second["stored"], second["already"]) == (0, 2)


def test_zip_archives_are_read_through_with_folders_in_them(tmp_path: Path, data: Path) -> None:
    large = make_instance(NumberOfFrames=2_000, PixelData=bytes(64_000))
    archive = zipped(
        tmp_path / "studies.zip",
        {"a/one.dcm": make_instance(), "a/b/two.dcm": large, "DICOMDIR": b"x", "__MACOSX/a/._one.dcm": b"x"},
    )

    result = imported(archive, data=data)

    assert (result["stored"], result["skipped"], result["refused"]) == (2, 2, [])


def test_damaged_and_encrypted_and_exploding_archives_are_refused_and_disturb_nobody(
    tmp_path: Path, data: Path
) -> None:
    good = tmp_path / "good.dcm"
    good.write_bytes(make_instance())
    damaged = zipped(tmp_path / "damaged.zip", {"a.dcm": make_instance() * 50}, zipfile.ZIP_STORED)
    content = bytearray(damaged.read_bytes())
    content[2000] ^= 0xFF
    damaged.write_bytes(content)
    encrypted = zipped(tmp_path / "encrypted.zip", {"a.dcm": make_instance()})
    content = bytearray(encrypted.read_bytes())
    content[6] |= 1  # general purpose bit 0, in the local header and in the directory
    content[content.index(b"PK\1\2") + 8] |= 1
    encrypted.write_bytes(content)
    bomb = zipped(tmp_path / "bomb.zip", {"zeros": bytes(150 << 20)})

    result = imported(damaged, encrypted, bomb, good, data=data)

    assert result["stored"] == 1
    refused = {Path(str(one["name"]).split("!")[0]).name: one["message"] for one in result["refused"]}  # type: ignore[index,attr-defined]
    assert refused == {
        "damaged.zip": "the archive is damaged",
        "encrypted.zip": "the archive's member is encrypted",
        "bomb.zip": "the archive expands to more than 200 times its size",
    }
    assert list((data / "blobs" / ".spool").iterdir()) == []


def flagged(path: Path, flags: int = 0, method: int | None = None) -> Path:
    """An archive of one instance whose member says these general purpose flags, or this compression."""
    zipped(path, {"a.dcm": make_instance()})
    content = bytearray(path.read_bytes())
    for header, at in ((0, 6), (content.index(b"PK\1\2"), 8)):
        content[header + at] |= flags
        if method is not None:
            content[header + at + 2] = method
    path.write_bytes(content)
    return path


def test_archives_that_the_library_cannot_make_out_are_refused_and_disturb_nobody(
    tmp_path: Path, data: Path
) -> None:
    good = tmp_path / "good.dcm"
    good.write_bytes(make_instance())
    named = zipped(tmp_path / "named.zip", {"ü.dcm": make_instance()})
    named.write_bytes(named.read_bytes().replace("ü".encode(), b"\xff\xfe"))
    once = zipped(tmp_path / "once.zip", {"ü.dcm": make_instance()})
    once.write_bytes(once.read_bytes().replace("ü".encode(), b"\xff\xfe", 1))
    packed = zipped(tmp_path / "lzma.zip", {"a.dcm": make_instance() * 50}, zipfile.ZIP_LZMA)
    content = bytearray(packed.read_bytes())
    content[60:90] = bytes(30)
    packed.write_bytes(content)

    result = imported(
        named,
        once,
        packed,
        flagged(tmp_path / "strong.zip", flags=0x40),
        flagged(tmp_path / "method.zip", method=99),
        good,
        data=data,
    )

    assert result["stored"] == 1
    refused = {Path(str(one["name"]).split("!")[0]).name: one["message"] for one in result["refused"]}  # type: ignore[index,attr-defined]
    assert refused == {
        "named.zip": "the archive is damaged",
        "once.zip": "the archive is damaged",
        "lzma.zip": "the archive is damaged",
        "strong.zip": "the archive's member is encrypted",
        "method.zip": "the archive's member is compressed in an unknown way",
    }


def test_it_works_beside_a_running_server(folder: Path, data: Path) -> None:
    study = new_uid()
    (folder / "series" / "one.dcm").write_bytes(make_instance(study=study))
    with started(data, "--workers", "1") as server:
        run("import", str(folder), data=data)

        found = httpx.get(f"{server.dicomweb}/studies", params={"StudyInstanceUID": study}, timeout=60).json()

    assert len(found) == 1


def test_the_session_is_kept_as_the_source(folder: Path, data: Path) -> None:
    run("import", str(folder / "series"), "--session", "ward-7", data=data)

    import sqlite3

    with sqlite3.connect(data / "index.db") as database:
        assert set(database.execute("select source from instance")) == {("import:ward-7",)}
    database.close()


def test_a_terminal_gets_a_progress_bar(folder: Path, data: Path) -> None:
    mine, theirs = pty.openpty()
    arguments = command("import", str(folder / "series"), "--data", str(data))
    done = subprocess.run(
        arguments, stdout=subprocess.PIPE, stderr=theirs, env=environment({"TERM": "xterm"}), check=False
    )
    os.close(theirs)
    shown = os.read(mine, 65536).decode()
    os.close(mine)

    assert done.returncode == 0
    assert "Importing" in shown
    assert "2/2" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("serve", "--nonsense"),
        ("serve", "--port", "eighty"),
        ("serve", "--workers", "0"),
        ("import",),
        ("import", "/nowhere/at/all"),
        ("index", "add", "NoSuchKeyword"),
        ("index", "add", "PixelData"),
        ("settings", "--config", "/nowhere.toml"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(arguments: tuple[str, ...], data: Path) -> None:
    done = run(*arguments, data=data)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("dicomweb-box")


@pytest.mark.parametrize("command", ["check", "reindex"])
def test_a_mistyped_folder_is_one_line_and_makes_no_archive(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")

    for mistyped in (tmp_path / "file", tmp_path / "nothing"):
        done = run(command, data=mistyped)

        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "nothing").exists()


def test_settings_are_shown_with_where_they_come_from(data: Path) -> None:
    data.mkdir()
    (data / "box.toml").write_text("workers = 3")

    done = run("settings", "--port", "9", "--json", data=data, DICOMWEB_BOX_AE_TITLE="OTHER")

    shown = {one["name"]: (one["value"], one["origin"].split(" ")[0]) for one in json.loads(done.stdout)}
    assert shown["port"] == ("9", "flag")
    assert shown["workers"] == ("3", "file")
    assert shown["ae_title"] == ("OTHER", "environment")
    assert shown["host"] == ("127.0.0.1", "default")
    text = run("settings", data=data).stdout
    assert "workers = 3 processes\n    web processes (default: one a CPU, at most 4; from: file" in text


def test_a_sound_archive_is_checked_and_indexed_again(folder: Path, data: Path) -> None:
    run("import", str(folder / "series"), data=data)

    checked = run("check", "--json", data=data)
    again = run("reindex", data=data)

    assert (checked.returncode, json.loads(checked.stdout)["instances"]) == (0, 2)
    assert (again.returncode, again.stdout) == (0, "indexed 2\n")
    assert run("check", data=data).returncode == 0


def test_a_missing_blob_fails_the_check_by_its_key(folder: Path, data: Path) -> None:
    run("import", str(folder / "series"), data=data)
    lost = next(path for path in (data / "blobs").rglob("*") if path.is_file())
    lost.unlink()

    done = run("check", data=data)

    assert done.returncode == 1
    assert f"missing 1\n  {lost.relative_to(data / 'blobs')}\n" in done.stdout


def test_migrating_says_what_was_applied(data: Path) -> None:
    first, second = run("migrate", data=data), run("migrate", data=data)

    assert first.returncode == second.returncode == 0
    assert "0001_archive" in first.stdout
    assert second.stdout == "nothing to do\n"


def test_attributes_are_declared_and_listed(data: Path) -> None:
    declared = run("index", "add", "SliceThickness", data=data)
    listed = run("index", "list", data=data)

    assert declared.returncode == listed.returncode == 0
    assert declared.stdout == "00180050 filling\n"
    assert listed.stdout.startswith("00180050 ")


def test_every_command_explains_itself(data: Path) -> None:
    for arguments in (
        (),
        ("serve",),
        ("import",),
        ("check",),
        ("reindex",),
        ("migrate",),
        ("settings",),
        ("index",),
    ):
        done = run(*arguments, "--help", data=data)
        assert done.returncode == 0
        assert done.stdout.startswith("usage: dicomweb-box")


def test_rules_are_listed_and_run(data: Path, folder: Path) -> None:
    imported(folder, data=data)
    assert run("rule", "list", data=data).stdout == ""
    with started(data) as server:
        made = httpx.post(
            f"{server.url}/rules",
            json={"name": "all CT", "label": "ct", "level": "series", "attribute": "Modality", "value": "CT"},
            headers={"Accept": "application/json"},
            timeout=60,
        )
        assert made.status_code == 201

    done = run("rule", "run", "all CT", data=data)

    assert (done.returncode, done.stdout) == (0, "ct on 2 series\n")
    assert run("rule", "list", data=data).stdout == "all CT: ct on 2 series, done\n"
    (listed,) = json.loads(run("rule", "list", "--json", data=data).stdout)
    assert listed["conditions"] == [["Modality", "CT"]]
    assert run("rule", "run", "nothing", data=data).returncode == 2


def test_other_users_of_the_machine_read_nothing_of_what_is_kept(
    data: Path, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(partial(os.umask, os.umask(0o022)))
    with started(data) as server:
        sent = httpx.post(
            f"{server.dicomweb}/studies",
            content=make_instance(),
            headers={"Content-Type": "application/dicom", "Accept": "application/dicom+json"},
            timeout=60,
        )
        study = sent.json()["00081190"]["Value"][0].rpartition("/")[2]
        assert httpx.get(f"{server.dicomweb}/studies/{study}/metadata", timeout=60).status_code == 200
        kept = [path for path in data.rglob("*") if "spool" not in path.name]
        open_to_others = [path.relative_to(data) for path in kept if path.stat().st_mode & 0o007]

    assert {"blobs", "index.db"} <= {path.name for path in kept}
    assert open_to_others == []
