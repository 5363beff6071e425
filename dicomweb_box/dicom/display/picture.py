"""A frame as it is shown: grey or colour, shutters, overlays, graphics, and where all of it lies."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dicomweb_box.dicom import pixels
from dicomweb_box.dicom.display import grey, icc, raster
from dicomweb_box.dicom.display.annotation import Words, annotated, shown
from dicomweb_box.dicom.display.display import Display
from dicomweb_box.dicom.display.graphics import draw_graphic, draw_text
from dicomweb_box.dicom.display.grey import Grey
from dicomweb_box.dicom.display.overlays import Overlay
from dicomweb_box.dicom.display.placement import Area, Placed, placed
from dicomweb_box.dicom.display.presentation import Layer, Presentation
from dicomweb_box.dicom.display.view import View
from dicomweb_box.dicom.display.voi import Window
from dicomweb_box.dicom.json_values import Bulk
from dicomweb_box.errors import Damaged

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Image  # also by rooms, which may not import PIL

    Array = np.ndarray[Any, Any]
    Shown = Image | Array


_AS_IT_IS = (None, "no")
"""Values of iccprofile by which colours stay as they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One frame, and all that is needed to show it."""

    display: Display
    number: int
    native: bytes | memoryview
    """In little endian, as the archive gives it."""
    bulk: Bulk
    """Gives bulk values of its instance."""
    state: Presentation | None = None
    state_bulk: Bulk | None = None
    words: Words | None = None


def picture(frame: Frame, view: View) -> "tuple[Shown, bytes | None]":
    """The frame as a picture of grey levels or RGB, and the colour profile that is to be put in its file.

    It is an array where nothing of it is turned, scaled or written upon. Raises Damaged where the frame's
    bytes are too few, BadRequest where the view asks for what is not in the frame.
    """
    found = levels(frame, view)
    if view.graphics:
        found = _covered(frame, found)
    if frame.state is None and frame.words is None and view.viewport is None and view.iccprofile in _AS_IT_IS:
        return found, None
    made = _placed(frame, view, found)
    if frame.state is not None and view.graphics:
        made = _drawn(made, frame.state)
    shown_now, profile = made.picture, None
    if view.iccprofile not in _AS_IT_IS and shown_now.mode == "RGB":
        path = frame.display.profile_path
        own = frame.bulk(path) if path else b""
        shown_now, profile = icc.managed(shown_now, own, frame.display.space, view.iccprofile)
    if frame.words is not None:
        shown_now = annotated(shown_now, frame.words)
    return shown_now, profile


def levels(frame: Frame, view: View) -> "Array":
    """(rows, columns) of grey or (rows, columns, 3) of RGB, each from 0 to 255; before anything is drawn."""
    display = frame.display
    if display.image.samples >= 3:
        return _colour(display, frame.native)
    how = _transformations(frame, view)
    palette = frame.state.palette if frame.state is not None else None
    if display.cells is None:
        found = grey.calculated(how, pixels.samples(display.image, frame.native))
        return found if palette is None else palette.spread(found)
    patterns = _patterns(display, frame.native)
    if palette is not None:
        return palette.spread(grey.levels(how, display.cells, patterns))
    if display.palette is not None and not display.supplemental:
        return display.palette.coloured(display.cells, patterns)
    found = grey.levels(how, display.cells, patterns)
    if display.palette is not None:
        return display.palette.supplemented(display.cells, found, patterns)
    return found


def fitting(frame: Frame) -> Window | None:
    """The window that fits the frame's own values, whatever the instance says; None of colours."""
    display = frame.display
    if display.image.samples >= 3 or (display.palette is not None and not display.supplemental):
        return None
    how = display.grey(frame.number)
    if display.cells is None:
        return grey.fitting_values(how, pixels.samples(display.image, frame.native))
    return grey.fitting(how, display.cells, _patterns(display, frame.native))


def _transformations(frame: Frame, view: View) -> Grey:
    how, state = frame.display.grey(frame.number), frame.state
    if state is not None:
        how = replace(
            how,
            modality=state.modality,
            voi=state.voi or _everything(frame.display, state),
            presentation=state.presentation,
            inverse=state.inverse,
        )
    return how if view.window is None else replace(how, voi=view.window)


def _everything(display: Display, state: Presentation) -> Window | None:
    """A window over all that can be stored; None of floats, which have no end."""
    if display.cells is None:
        return None
    low, high = grey.reach(state.modality, display.cells)
    return Window(center=(low + high) / 2, width=high - low or 1, function="LINEAR_EXACT")


def _placed(frame: Frame, view: View, found: "Array") -> Placed:
    display, state = frame.display, frame.state
    picture = raster.image(found)
    if state is None:
        return placed(picture, viewport=view.viewport, aspect=display.aspect)
    return placed(
        picture,
        area=_within_reach(state.area, *picture.size),
        rotation=state.rotation,
        flip=state.flip,
        viewport=view.viewport,
        aspect=state.aspect or display.aspect,
    )


def _within_reach(area: Area | None, width: int, height: int) -> Area | None:
    """The area, no further beyond the edges than the frame is large; None where there is none."""
    if area is None:
        return None
    left, right = max(area.left, -width), min(area.right, 2 * width)
    top, bottom = max(area.top, -height), min(area.bottom, 2 * height)
    if right <= left or bottom <= top:
        return None
    return Area(left=left, top=top, right=right, bottom=bottom)


def _covered(frame: Frame, made: "Array") -> "Array":
    """The levels with what shutters hide hidden, and overlays white or in the colour of their layer."""
    display, state = frame.display, frame.state
    shape = made.shape[0], made.shape[1]
    masks: list[tuple[Any, Any]] = []
    shutter = state.shutter if state is not None else display.shutter
    if shutter is not None:
        masks.append((shutter.hidden(shape), shutter.level))
    for overlay, bulk, layer in _overlays(frame):
        hides = shutter is not None and shutter.overlay_group == overlay.group
        mask = overlay.mask(frame.number, shape, bulk, _bits(frame))
        if mask is not None:
            ink = shutter.level if hides and shutter is not None else _ink(layer, made.ndim == 3)
            masks.append((mask, ink))
    if not masks:
        return made
    made = made.copy()
    for mask, ink in masks:
        made[mask] = ink
    return made


def _overlays(frame: Frame) -> Iterator[tuple[Overlay, Bulk, Layer | None]]:
    """The planes that are drawn: all of the image, or those that a state activates and its own."""
    state = frame.state
    if state is None:
        for overlay in frame.display.overlays:
            yield overlay, frame.bulk, None
        return
    layers = dict(state.activated)
    own = {overlay.group for overlay in state.overlays}
    hiding = None if state.shutter is None else state.shutter.overlay_group
    for overlay in frame.display.overlays:
        if overlay.group in layers and overlay.group not in own:
            yield overlay, frame.bulk, state.layer(layers[overlay.group])
    for overlay in state.overlays:
        if frame.state_bulk is not None and (overlay.group in layers or overlay.group == hiding):
            yield overlay, frame.state_bulk, state.layer(layers.get(overlay.group, ""))


def _bits(frame: Frame) -> "Array | None":
    """The cells with all of their bits, where unused ones may hold overlays: not in compressed frames."""
    image = frame.display.image
    if image.encapsulated or frame.display.cells is None or image.bits_allocated == 1:
        return None
    return _patterns(frame.display, frame.native)


def _drawn(made: Placed, state: Presentation) -> Placed:
    """The picture with the graphics and texts of a state, layer by layer."""
    from PIL import ImageDraw

    if not state.graphics and not state.texts:
        return made
    if made.picture.mode == "L" and any(layer.rgb for layer in state.layers):
        made = replace(made, picture=made.picture.convert("RGB"))
    colours = made.picture.mode == "RGB"
    draw = ImageDraw.Draw(made.picture)
    names = [layer.name for layer in state.layers]
    named = {one.layer for one in state.graphics} | {one.layer for one in state.texts}
    for name in (*names, *sorted(named - set(names))):
        ink = _ink(state.layer(name), colours)
        for graphic in state.graphics:
            if graphic.layer == name:
                draw_graphic(draw, made, graphic, ink)
        for text in state.texts:
            if text.layer == name:
                draw_text(draw, made, text, ink, shown)
    return made


def _ink(layer: Layer | None, colours: bool) -> Any:
    level = 255 if layer is None else layer.level
    if not colours:
        return level
    return layer.rgb if layer is not None and layer.rgb is not None else (level,) * 3


def _patterns(display: Display, native: bytes | memoryview) -> "Array":
    """The cells as unsigned bit patterns; the tables of grey know what they mean."""
    import numpy as np

    image = display.image
    if image.bits_allocated == 1:
        return pixels.samples(image, native)
    if len(native) < image.frame_length:
        raise Damaged(f"a frame has {len(native)} bytes where {image.frame_length} are described")
    count = image.rows * image.columns
    kind = "<u2" if image.bits_allocated == 16 else "u1"
    return np.frombuffer(native, kind, count).reshape(image.rows, image.columns)


def _colour(display: Display, native: bytes | memoryview) -> "Array":
    import numpy as np

    cells = pixels.samples(display.image, native)[..., :3]
    if cells.dtype == np.uint8 and display.image.bits_stored == 8:
        return np.ascontiguousarray(cells)
    most = (1 << display.image.bits_stored) - 1
    turned: Array = np.rint(np.clip(cells, 0, most) * (255 / most)).astype(np.uint8)
    return turned
