"""The command line: one function for each command, results to standard output, all else to standard error.

What a command needs is imported in it: `settings` or `--help` need not wait for an archive to load.
"""

import argparse
import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from dicomweb_box import __version__, setting_sources, settings
from dicomweb_box.cli import accounts, archive, deid, peers, vault
from dicomweb_box.cli.grammar import Parser
from dicomweb_box.cli.running import FAILED, INTERRUPTED, WRONG, failed
from dicomweb_box.errors import BadRequest, BadSetting, BoxError

_NOBODY_ELSES: Final = 0o027
"""What is written holds patients' data: neither read nor listed by other users of the machine."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0, 1 for a job that failed, 2 for a wrong command line."""
    asked = vars(parser().parse_args(arguments))
    os.umask(os.umask(_NOBODY_ELSES) | _NOBODY_ELSES)
    command: Callable[[settings.Settings, dict[str, Any]], int] = asked.pop("command")
    flags = {name: asked.pop(name) for name in list(asked) if name in settings.NAMES}
    try:
        return command(setting_sources.load(flags, setting_sources.environment()), asked)
    except (BadSetting, BadRequest) as error:
        return failed(str(error), WRONG)
    except BoxError as error:
        return failed(str(error), FAILED)
    except OSError as error:
        return failed(
            f"{error.strerror or type(error).__name__}: {error.filename or ''}".rstrip(": "), FAILED
        )
    except KeyboardInterrupt:
        return failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return FAILED
    except Exception as error:  # noqa: BLE001  (never a traceback: the operator gets one line)
        place = traceback.extract_tb(error.__traceback__)[-1]
        return failed(f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}", FAILED)


def parser() -> argparse.ArgumentParser:
    """The grammar of every command."""
    made = Parser(prog="dicomweb-box", description="The DICOMweb-native image archive.")
    made.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = made.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for part in (archive, peers, accounts, deid, vault):
        part.grammar(commands)
    return made
