"""What the grammars of all commands share."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from dicomweb_box import settings
from dicomweb_box.cli.running import WRONG


class Parser(argparse.ArgumentParser):
    """argparse's parser, with one line for a wrong command line; a flag is written in full."""

    def __init__(self, **more: Any) -> None:
        # Else `--key …` would be taken for `--key-command …`.
        super().__init__(allow_abbrev=False, **more)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with code 2."""
        self.exit(WRONG, f"{self.prog}: {message}; see {self.prog} --help\n")


def command(
    commands: Any, name: str, run: Callable[[settings.Settings, dict[str, Any]], int], meaning: str
) -> argparse.ArgumentParser:
    """A command, with the flags that each has."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=meaning, description=meaning)
    parser.set_defaults(command=run)
    flag(parser, "data")
    flag(parser, "config")
    return parser


def flag(parser: argparse.ArgumentParser, name: str, **more: Any) -> None:
    """The flag of a setting."""
    knob = next(knob for knob in settings.KNOBS if knob.name == name)
    meaning = knob.metadata["meaning"].replace("%", "%%")
    if "action" not in more:
        more["metavar"] = name.upper()
    parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=meaning, **more)


def scope_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that bound to a part of the archive."""
    for flag, kind, what in (
        ("--label", "labels", "with this label"),
        ("--source", "sources", "from this source"),
        ("--study", "studies", "of this study"),
    ):
        parser.add_argument(
            flag,
            dest=kind,
            action="append",
            metavar=kind[:-1].upper(),
            help=f"only what is {what}; repeatable",
        )


def scope_of(asked: dict[str, Any]) -> dict[str, Any]:
    """The part of the archive that flags name; a kind that none names is not bounded."""
    return {kind: asked[kind] for kind in ("labels", "sources", "studies") if asked[kind]}
