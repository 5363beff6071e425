"""The part of a picture that is shown, and how large (PS3.18 8.3.5.1.3)."""

from dataclasses import dataclass

from dicomweb_box.errors import BadRequest

MOST_SIDE, MOST_PIXELS = 16384, 1 << 25
_RULE = (
    "viewport is vw,vh or vw,vh,sx,sy,sw,sh: width and height as whole numbers from 1, then left, top, width"
    " and height of the region of the picture, each of which may be left empty"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewport:
    """Width and height that a picture must fit, and the region of it that is shown.

    The region's width or height below 0 mirrors it; None: up to the picture's own edge.
    """

    width: int
    height: int
    left: float = 0.0
    top: float = 0.0
    region_width: float | None = None
    region_height: float | None = None

    @property
    def whole(self) -> bool:
        """Whether all of the picture is shown, as it is."""
        region = (self.left, self.top, self.region_width, self.region_height)
        return region == (0, 0, None, None)

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Edges of the region within a picture so large; what lies beyond is cut off.

        Raises BadRequest where all of it lies beyond.
        """
        if self.left >= width or self.top >= height:
            raise BadRequest(f"viewport has a region outside of the {width}×{height} picture")
        right = min(width, self.left + abs(self.region_width or width))
        bottom = min(height, self.top + abs(self.region_height or height))
        return self.left, self.top, right, bottom


def viewport_of(value: str, *, region: bool = True) -> Viewport:
    """What the query parameter means; raises BadRequest that says its rule.

    `region`: whether a region may be named; of thumbnails it may not (PS3.18 Table 8.3.5-1).
    """
    members = [member.strip() for member in value.split(",")]
    if not 2 <= len(members) <= 6:
        raise BadRequest(_RULE)
    if len(members) > 2 and not region:
        raise BadRequest("viewport of a thumbnail is vw,vh")
    width, height = (_side(member) for member in members[:2])
    if width * height > MOST_PIXELS:
        raise BadRequest(f"viewport has at most {MOST_PIXELS} pixels")
    left, top, across, down = (*(_decimal(member) for member in members[2:]), None, None, None, None)[:4]
    if (left or 0) < 0 or (top or 0) < 0 or across == 0 or down == 0:
        raise BadRequest("viewport has a region that begins at 0 or above and is not empty")
    return Viewport(
        width=width, height=height, left=left or 0, top=top or 0, region_width=across, region_height=down
    )


def _side(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_SIDE):
        raise BadRequest(_RULE)
    return int(text)


def _decimal(text: str) -> float | None:
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        raise BadRequest(_RULE) from None
    if not abs(found) < 1e9:  # not a number is not below either
        raise BadRequest(_RULE)
    return found
