"""What can be shown of one instance: pictures of its frames, or the whole of it in other media types."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dicomweb_box.archive.body import Body
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.dicom.display.view import View


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One picture: a frame of an instance, perhaps as a presentation state wants it."""

    instance: Instance
    number: int
    state: Instance | None = None


MakeWhole = Callable[[str, View], Awaitable[list[Body]]]
"""Gives the whole instance in a media type; raises what rendering raises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Representations:
    """What can be shown of an instance, which has pictures, or a whole, or both."""

    count: int = 0
    """Number of pictures."""
    picture: Callable[[int], Picture] | None = None
    """Gives picture 1 to `count`."""
    missing: int = 0
    """Images that there would be pictures of, if they were here."""
    what_is_missing: str = "images referred to"
    whole_types: tuple[str, ...] = ()
    """Media types of the whole, the default first."""
    written: tuple[str, ...] = ()
    """Those of them that are written here, in UTF-8; the others are as somebody stored them."""
    whole: MakeWhole | None = None
