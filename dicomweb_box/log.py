"""Logging: one line a message, to standard error, without patient attributes."""

import json
import logging
import re
import sys
import time
import traceback
import warnings
from typing import Literal

from dicomweb_box.errors import BoxError

# What a message of ours never holds, but one of a library's may: they are dropped on the way out.
_QUERY = re.compile(r"\?[^\s\"'<>]+")
_PERSON_NAME = re.compile(r"[^\s\"'=,;:()\[\]{}]*\^[^\s\"'=,;:()\[\]{}]*")
_QUOTED_VALUE = re.compile(r"(\"(?:Alphabetic|Ideographic|Phonetic|Value)\"\s*:\s*)(\"[^\"]*\"|\[[^\]]*\])")
_ELEMENT = re.compile(r"(\([0-9A-Fa-f]{4},\s?[0-9A-Fa-f]{4}\)).*")

# Loggers whose messages quote what they read.
_QUOTING = ("pydicom", "databases", "aiosqlite", "asyncio")


def set_up(role: str, *, level: str = "info", style: Literal["text", "json"] = "text") -> None:
    """Send this process's messages to standard error, each with time, level and role."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONLine(role) if style == "json" else _TextLine(role))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUOTING:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # Warnings of libraries quote values too, and are for their developers: the suite turns them into errors.
    warnings.simplefilter("ignore")


def scrubbed(text: str) -> str:
    """The text on one line, without query strings, person names and element values."""
    text = _QUERY.sub("?…", " ".join(text.split()))
    text = _QUOTED_VALUE.sub(r"\1…", text)
    text = _ELEMENT.sub(r"\1 …", text)
    return _PERSON_NAME.sub("…", text)


class _Line(logging.Formatter):
    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role

    def parts(self, record: logging.LogRecord) -> dict[str, str]:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        message = scrubbed(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            message = f"{message} · {_told(record.exc_info[1])}"
        return {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "role": self.role,
            "message": message,
        }


class _TextLine(_Line):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(self.parts(record).values())


class _JSONLine(_Line):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.parts(record), ensure_ascii=False)


def _told(error: BaseException) -> str:
    """The error's kind and where it was raised; its text only where it is ours, which carry no values."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    text = f" {scrubbed(str(error))}" if isinstance(error, BoxError) else ""
    return f"{type(error).__name__}{text} ({places})"
