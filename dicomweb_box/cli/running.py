"""How commands run and speak."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from dicomweb_box import log as logs
from dicomweb_box import settings
from dicomweb_box.errors import BadSetting

if TYPE_CHECKING:
    from rich.console import Console

    from dicomweb_box.box import Box

T = TypeVar("T")
FAILED, WRONG = 1, 2
INTERRUPTED = 130


def failed(sentence: str, code: int) -> int:
    """Say in one line what failed; the code."""
    print(f"dicomweb-box: {' '.join(sentence.split())}", file=sys.stderr)
    return code


def run(chosen: settings.Settings, job: Callable[["Box"], Coroutine[Any, Any, Any]]) -> Any:
    """What `job` returns or raises, with the box that the settings tell of."""
    from dicomweb_box.box import open_box

    if chosen.data.exists() and not chosen.data.is_dir():
        raise BadSetting(f"{chosen.data} is not a folder")
    logs.set_up("command", level="warning", style=chosen.log_format)

    async def main() -> Any:
        async with open_box(chosen) as box:
            return await job(box)

    return asyncio.run(main())


@contextmanager
def held(chosen: settings.Settings) -> Iterator[tuple["Box", Callable[[Coroutine[Any, Any, T]], T]]]:
    """The box, and what waits for something of it: for work that is itself not of the event loop."""
    from dicomweb_box.box import open_box

    logs.set_up("command", level="warning", style=chosen.log_format)
    with asyncio.Runner() as runner:
        opened = open_box(chosen)
        box = runner.run(_entered(opened))
        try:
            yield box, runner.run
        finally:
            runner.run(_left(opened))


async def _entered(opened: AbstractAsyncContextManager["Box"]) -> "Box":
    return await opened.__aenter__()


async def _left(opened: AbstractAsyncContextManager["Box"]) -> None:
    await opened.__aexit__(None, None, None)


def existing(chosen: settings.Settings) -> settings.Settings:
    """The same; BadSetting where there is no archive yet: a mistyped folder must not look sound."""
    if not there_is_one(chosen):
        raise BadSetting(f"there is no archive in {chosen.data}")
    return chosen


def there_is_one(chosen: settings.Settings) -> bool:
    """Whether there is an archive already."""
    return (
        chosen.database_url is not None
        or (chosen.data / "index.db").exists()
        or (chosen.data / "blobs").exists()
    )


def progress(label: str, total: int) -> AbstractContextManager[Callable[[], None]]:
    """A progress bar on a terminal, else nothing: called once for each step."""
    if not sys.stderr.isatty():
        return nullcontext(lambda: None)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    class Bar(Progress):
        def __enter__(self) -> Callable[[], None]:  # type: ignore[override]  # hands out its step, not itself
            super().__enter__()
            task = self.add_task(label, total=total)
            return lambda: self.advance(task)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Bar(*columns, console=Console(stderr=True))


def print_json(content: Any) -> None:
    """Print it for programs."""
    print(json.dumps(content, ensure_ascii=False, indent=2))


def console() -> "Console":
    """Standard output for tables, which are cut to some width on a terminal alone."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 240, highlight=False, markup=False)
