"""Nobody's name in a log."""

import json
import subprocess
import sys

import pytest

from dicomweb_box.log import scrubbed


@pytest.mark.parametrize(
    ("message", "logged"),
    [
        ("GET /studies?PatientName=Doe&x=1 failed", "GET /studies?… failed"),
        ("bad name Doe^Jane here", "bad name … here"),
        ('{"Alphabetic": "Doe"}', '{"Alphabetic": …}'),
        ("(0010,0010) Doe Jane", "(0010,0010) …"),
        ("two\nlines", "two lines"),
        ("stored 1.2.840.1 from stow:127.0.0.1", "stored 1.2.840.1 from stow:127.0.0.1"),
    ],
)
def test_what_could_name_a_patient_is_dropped(message: str, logged: str) -> None:
    assert scrubbed(message) == logged


def logged_by(script: str) -> str:
    lines = (
        f"import logging\nfrom dicomweb_box import log\nfrom dicomweb_box.errors import NotFound\n{script}"
    )
    done = subprocess.run([sys.executable, "-c", lines], check=True, capture_output=True, text=True)
    return done.stderr


def test_a_line_has_time_level_role_and_message() -> None:
    line = logged_by("log.set_up('web-0')\nlogging.getLogger('x').info('stored %d', 3)")

    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert rest == "info web-0 stored 3\n"


def test_a_line_can_be_json() -> None:
    line = logged_by("log.set_up('worker', style='json')\nlogging.getLogger('x').error('full')")

    assert {"level": "error", "role": "worker", "message": "full"}.items() <= json.loads(line).items()


def test_an_exception_is_told_by_kind_and_place_never_by_its_text() -> None:
    line = logged_by(
        "log.set_up('web-0')\n"
        "try:\n    int('Doe')\n"
        "except ValueError:\n    logging.getLogger('x').exception('failed')"
    )

    assert line.count("\n") == 1
    assert "failed · ValueError (<string>:" in line
    assert "Doe" not in line


def test_our_own_errors_keep_their_sentence() -> None:
    line = logged_by(
        "log.set_up('web-0')\n"
        "try:\n    raise NotFound('no such blob')\n"
        "except NotFound:\n    logging.getLogger('x').exception('failed')"
    )

    assert "NotFound no such blob" in line


def test_quieter_levels_and_quoting_libraries_are_left_out() -> None:
    line = logged_by(
        "log.set_up('web-0', level='warning')\n"
        "logging.getLogger('x').info('chatter')\nlogging.getLogger('pydicom').error('value Doe')"
    )

    assert line == ""
