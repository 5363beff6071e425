"""Elements put into a data set at its top while it is rewritten, in the place of others or beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dicomweb_box.dicom.element_heads import whole_sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What else is to become of the data set."""

    elements: Mapping[int, bytes] = field(default_factory=dict)
    """Whole elements at its top, by tag: in the place of those that are there, or added."""
    items: Mapping[int, bytes] = field(default_factory=dict)
    """Whole items to be added to sequences at its top, by tag."""
    utf8: bool = False
    """Text becomes UTF-8; `elements` then say so."""


class Pending:
    """Changes that are still to be made, on the way through a data set."""

    def __init__(self, changes: Changes, more: Mapping[int, bytes]) -> None:
        """`more` are whole elements as well, by tag."""
        self.items = dict(changes.items)
        """Items still to be added to sequences."""
        whole = {tag: whole_sequence(tag, items) for tag, items in changes.items.items()}
        self.elements = sorted(({**changes.elements, **more} | whole).items(), reverse=True)
        """Elements still to be put in, the next one last."""

    def put_in(self, tag: int, text: bytearray) -> bool:
        """Put in the changed elements up to this tag; whether it is one of them.

        A sequence that is there is not put in: its items are added to those it has.
        """
        put = None
        while self.elements and self.elements[-1][0] <= tag:
            put, element = self.elements.pop()
            if put == tag and tag in self.items:
                return False
            self.items.pop(put, None)
            text += element
        return put == tag
