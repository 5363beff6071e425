"""Two data sets side by side: what one says and the other does not."""

from collections.abc import Sequence
from dataclasses import dataclass

from dicomweb_box.dicom.words.tree import Row, Tree


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One attribute in both; a side without it is None."""

    left: Row | None
    right: Row | None
    differs: bool

    @property
    def row(self) -> Row:
        """Either side, for what both say alike."""
        found = self.left or self.right
        assert found is not None  # noqa: S101  (a pair is made of at least one)
        return found


def side_by_side(left: Tree, right: Tree, *, everything: bool = False) -> Sequence[Pair]:
    """The attributes of both in the order of their paths; where not `everything`, those that differ.

    Items are compared by their number. Values are compared as they are shown, lengths left out.
    """
    of_left = {row.path: row for row in left.rows}
    of_right = {row.path: row for row in right.rows}
    paths = sorted(of_left.keys() | of_right.keys(), key=_order)
    pairs = (_pair(of_left.get(path), of_right.get(path)) for path in paths)
    return [pair for pair in pairs if everything or (pair.differs and pair.row.tag)]


def _pair(left: Row | None, right: Row | None) -> Pair:
    differs = left is None or right is None
    if left is not None and right is not None:
        differs = (left.vr, left.value, bool(left.bulk)) != (right.vr, right.value, bool(right.bulk))
        differs |= bool(left.bulk) and left.length != right.length
    return Pair(left=left, right=right, differs=differs)


def _order(path: str) -> tuple[int, ...]:
    # Tags are eight hexadecimal digits, item numbers decimal: at one depth only one of them stands.
    return tuple(int(part, 16 if len(part) == 8 else 10) for part in path.split("/"))
