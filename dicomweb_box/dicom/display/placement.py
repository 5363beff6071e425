"""Where the pixels of a frame come to lie in a picture of it: cut, turned, mirrored and scaled."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicomweb_box.dicom.display.viewport import Viewport

if TYPE_CHECKING:
    from PIL.Image import Image

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Affine:
    """Gives each point of a frame its place in a picture; both count from their top left edges."""

    xx: float = 1.0
    xy: float = 0.0
    x: float = 0.0
    yx: float = 0.0
    yy: float = 1.0
    y: float = 0.0

    def __call__(self, point: Point) -> Point:
        """The place of a point."""
        across, down = point
        return self.xx * across + self.xy * down + self.x, self.yx * across + self.yy * down + self.y

    def then(self, after: "Affine") -> "Affine":
        """This and then another."""
        x, y = after((self.x, self.y))
        return Affine(
            after.xx * self.xx + after.xy * self.yx,
            after.xx * self.xy + after.xy * self.yy,
            x,
            after.yx * self.xx + after.yy * self.yx,
            after.yx * self.xy + after.yy * self.yy,
            y,
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture, and how points of the frame and of the displayed area (0 to 1) come to lie in it."""

    picture: "Image"
    of_frame: Affine
    of_display: Affine


@dataclass(frozen=True, kw_only=True, slots=True)
class Area:
    """Part of a frame in pixels from its top left edge; it may reach beyond the frame."""

    left: int
    top: int
    right: int
    bottom: int


def placed(
    made: "Image",
    *,
    area: Area | None = None,
    rotation: int = 0,
    flip: bool = False,
    viewport: Viewport | None = None,
    aspect: float = 1.0,
) -> Placed:
    """A whole frame cut to an area, turned clockwise, mirrored, and scaled to a viewport, in this order.

    Raises BadRequest where the viewport's region lies outside.
    """
    from PIL import Image

    where = Affine()
    if area is not None and (area.left, area.top, area.right, area.bottom) != (0, 0, *made.size):
        made = made.crop((area.left, area.top, area.right, area.bottom))
        where = Affine(x=-area.left, y=-area.top)
    width, height = made.size
    turn = rotation % 360
    if turn == 90:
        made, step = made.transpose(Image.Transpose.ROTATE_270), Affine(0, -1, height, 1, 0, 0)
    elif turn == 180:
        made, step = made.transpose(Image.Transpose.ROTATE_180), Affine(-1, 0, width, 0, -1, height)
    elif turn == 270:
        made, step = made.transpose(Image.Transpose.ROTATE_90), Affine(0, 1, 0, -1, 0, width)
    else:
        step = Affine()
    where = where.then(step)
    if flip:
        made = made.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        where = where.then(Affine(xx=-1, x=made.width))
    display = Affine(xx=made.width, yy=made.height)
    if viewport is None:
        return Placed(made, where, display)
    made, step = fitted(made, viewport, 1 / aspect if turn in (90, 270) else aspect)
    return Placed(made, where.then(step), display.then(step))


def fitted(made: "Image", viewport: Viewport, aspect: float) -> "tuple[Image, Affine]":
    """The region as large as it fits the viewport, neither cut nor distorted (PS3.18 8.3.5.1.3).

    `aspect`: height of a pixel by its width.
    """
    from PIL import Image

    box = viewport.box(*made.size)
    across, down = box[2] - box[0], (box[3] - box[1]) * aspect
    scale = min(viewport.width / across, viewport.height / down)
    size = (max(1, round(across * scale)), max(1, round(down * scale)))
    if size != made.size or not viewport.whole:
        made = made.resize(size, Image.Resampling.BILINEAR, box=box)
    right, below = size[0] / across, size[1] / (box[3] - box[1])
    where = Affine(xx=right, x=-box[0] * right, yy=below, y=-box[1] * below)
    if (viewport.region_width or 1) < 0:
        made = made.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        where = where.then(Affine(xx=-1, x=size[0]))
    if (viewport.region_height or 1) < 0:
        made = made.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        where = where.then(Affine(yy=-1, y=size[1]))
    return made, where
