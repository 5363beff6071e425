"""The project's own files: locks, make targets, the wheel."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-tools.lock")


def pins(lock: str) -> dict[tuple[str, str], str]:
    """Version by name and environment marker."""
    found = re.findall(r"^([\w.-]+)==(\S+)(?: ; (.*?))? \\$", (ROOT / lock).read_text(), re.MULTILINE)
    return {(name, marker): version for name, version, marker in found}


@pytest.mark.parametrize("lock", LOCKS)
def test_each_locked_release_has_its_hashes_and_no_address(lock: str):
    said = (ROOT / lock).read_text()
    assert len(pins(lock)) > 10
    assert not re.search(r"https?:|file:|--index|--find-links|\s@\s", said)
    for entry in re.split(r"^(?=[\w.-]+==)", said, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in entry


@pytest.mark.parametrize("lock", LOCKS[1:])
def test_the_locks_agree(lock: str):
    runtime, other = pins("requirements.lock"), pins(lock)
    common = runtime.keys() & other.keys()
    assert {key: other[key] for key in common} == {key: runtime[key] for key in common}
    if lock == "requirements-dev.lock":
        assert runtime.keys() <= other.keys()


@pytest.mark.parametrize("target", ["run", "test", "bench", "soak", "format", "audit", "scan", "clean"])
def test_each_make_target_is_there_and_explained(target: str):
    assert re.search(rf"^{target}:.*## \w", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_continuous_integration_runs_make_test():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "exec make test" in script.read_text()


def test_the_wheel_carries_the_program_its_pages_and_nothing_else(tmp_path: Path):
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"dicomweb_box"}
    for part in (
        "migrations/0001_archive.sqlite.sql",
        "_assets/templates/layout.html",
        "_assets/static/app.css",
    ):
        assert f"dicomweb_box/{part}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_no_file_names_a_place_of_one_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout
    if not listed:
        pytest.skip("not a git checkout")
    here = str(ROOT.parent)
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".lock", ".html", ".css", ".sql", ""} and path.is_file():
            assert here == "/" or f"{here}/" not in path.read_text(errors="ignore"), name
