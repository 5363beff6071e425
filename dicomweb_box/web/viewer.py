"""The viewer: one frame as a page that needs no script, and what its script asks before it takes over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import render, retrieve, stacks
from dicomweb_box.archive.representation import Picture
from dicomweb_box.archive.stacks import Layer, Series, Study
from dicomweb_box.asgi.identity import identify
from dicomweb_box.box import Box
from dicomweb_box.dicom.display import presets
from dicomweb_box.dicom.display.presets import Preset
from dicomweb_box.dicom.display.view import view_of
from dicomweb_box.dicom.display.voi import Window
from dicomweb_box.errors import BadRequest, Damaged, NotAcceptable, NotFound
from dicomweb_box.web import ohif, viewer_json
from dicomweb_box.web.page import HEADERS, page
from dicomweb_box.web.twins import as_json

AUTOMATIC = "automatic"
FUNCTIONS = (("linear", "Linear"), ("linear-exact", "Linear, exact"), ("sigmoid", "Sigmoid"))
_LARGE = 1024
"""Pixels of a side from which the page without a script asks for a smaller picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What the page shows: where in the study, and with which window."""

    study: Study
    at: int
    """Which of the study's series."""
    layers: Sequence[Layer]
    layer_at: int
    frame: int
    window: Window | None
    message: str | None
    """What was wrong with the window that was asked for."""

    @property
    def series(self) -> Series:
        return self.study.series[self.at]

    @property
    def layer(self) -> Layer:
        return self.layers[self.layer_at]

    def address(self, *, window: Window | str | None = None, **other: str) -> str:
        """Where the viewer shows the same, but for what is named."""
        told = {
            "series": self.series.series_uid,
            "instance": self.layer.instance_uid,
            "frame": str(self.frame),
            **other,
        }
        if window is not None:
            told["window"] = window if isinstance(window, str) else text_of(window)
        return f"/studies/{self.study.study_uid}/viewer?{urlencode(told, safe=',')}"


async def show(request: Request) -> Response:
    """GET /studies/{study_uid}/viewer."""
    shown = await _shown(request)
    if "center" in request.query_params and not shown.message:
        return RedirectResponse(shown.address(window=shown.window), 303, headers=HEADERS)
    if request.query_params.get("window") == AUTOMATIC:
        return RedirectResponse(shown.address(window=await _fitting(request, shown)), 303, headers=HEADERS)
    sight = shown.layer.sight
    return page(
        request,
        "viewer/show.html",
        status=422 if shown.message else 200,
        shown=shown,
        layer=shown.layer,
        sight=sight,
        picture=_picture(shown),
        base=_base(shown),
        typed=_typed(shown, request.query_params),
        functions=FUNCTIONS,
        presets=[(one.name, shown.address(window=one.window)) for one in _presets(shown)],
        steps=_steps(shown),
        series=[(one, _series_address(shown, one), one is shown.series) for one in shown.study.series],
        total=sum(one.sight.frames for one in shown.layers),
        patient=viewer_json.patient(shown.study),
        unit=viewer_json.PLANES.get(sight.spacing.plane) if sight.spacing else None,
        ohif=ohif.address(shown.study.study_uid) if await ohif.installed(request) else None,
        attributes=_attributes(shown),
    )


async def show_json(request: Request) -> Response:
    """GET /studies/{study_uid}/viewer.json: the series, and the instances of the one that is shown."""
    shown = await _shown(request)
    if shown.message:
        raise BadRequest(shown.message)
    return as_json(
        {
            **viewer_json.study(shown.study),
            "stack": viewer_json.stack(shown.series, shown.layers),
            "shown": {
                "series": shown.series.series_uid,
                "instance": shown.layer.instance_uid,
                "frame": shown.frame,
                "window": viewer_json.window(shown.window),
            },
        }
    )


async def fitting_json(request: Request) -> Response:
    """GET /studies/{study_uid}/viewer/window.json: the window that fits the values of one frame."""
    shown = await _shown(request)
    return as_json({"window": viewer_json.window(await _fitting(request, shown))})


async def _shown(request: Request) -> Shown:
    actor, scope = identify(request)
    asked = request.query_params
    found = await stacks.study(_box(request), request.path_params["study_uid"], scope=scope, actor=actor)
    at = _at("series", [one.series_uid for one in found.series], asked.get("series"))
    layers = await stacks.stack(
        _box(request), found.study_uid, found.series[at].series_uid, scope=scope, actor=actor
    )
    layer_at = _at("instance", [one.instance_uid for one in layers], asked.get("instance"))
    window, message = _window(_said(asked))
    return Shown(
        study=found,
        at=at,
        layers=layers,
        layer_at=layer_at,
        frame=_frame(asked.get("frame", ""), layers[layer_at].sight.frames),
        window=window,
        message=message,
    )


def _at(what: str, uids: Sequence[str], uid: str | None) -> int:
    if not uid:
        return 0
    try:
        return uids.index(uid)
    except ValueError:
        raise NotFound(f"there is no such {what} here") from None


def _frame(text: str, count: int) -> int:
    if not text:
        return 1
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= count:
        raise BadRequest(f"frame is a whole number from 1 to {count}")
    return number


def _window(text: str) -> tuple[Window | None, str | None]:
    if not text.strip() or text == AUTOMATIC:
        return None, None
    try:
        return view_of([("window", text)])[0].window, None
    except BadRequest as error:
        return None, f"{error}."


def _said(asked: Mapping[str, str]) -> str:
    """The window as the parameter says it, or as the fields of the form do."""
    parts = [asked.get(name, "").strip() for name in ("center", "width", "function")]
    return ",".join(parts) if parts[0] or parts[1] else asked.get("window", "")


async def _fitting(request: Request, shown: Shown) -> Window | None:
    if shown.layer.sight.kind != "frames" or not shown.layer.sight.grey:
        return None
    actor, scope = identify(request)
    names = shown.study.study_uid, shown.series.series_uid, shown.layer.instance_uid
    instance = await retrieve.one_with_frames(_box(request), *names, scope=scope, actor=actor)
    try:
        return await render.fitting(_box(request), Picture(instance=instance, number=shown.frame))
    except (Damaged, NotAcceptable):
        return None  # the picture itself says that it cannot be shown


def _typed(shown: Shown, asked: Mapping[str, str]) -> dict[str, str]:
    """What the fields of the form hold: what was typed where that was wrong, else the window shown."""
    if shown.message:
        return {name: asked.get(name, "") for name in ("center", "width", "function")}
    center, width, function = (
        f"{text_of(shown.window)},linear".split(",")[:3] if shown.window else ("", "", "")
    )
    return {"center": center, "width": width, "function": function}


def _presets(shown: Shown) -> list[Preset]:
    sight = shown.layer.sight
    return [*sight.presets, *presets.BY_MODALITY.get(shown.series.modality, ())] if sight.grey else []


def _base(shown: Shown) -> str:
    """Where the DICOMweb resource of the instance is."""
    return (
        f"/dicom-web/studies/{shown.study.study_uid}/series/{shown.series.series_uid}"
        f"/instances/{shown.layer.instance_uid}"
    )


def _picture(shown: Shown) -> str:
    """The address of the frame as a picture, no larger than a window of a browser."""
    asked = {} if shown.window is None else {"window": text_of(shown.window)}
    rows, columns = shown.layer.rows or 0, shown.layer.columns or 0
    if max(rows, columns) > _LARGE or shown.layer.sight.aspect != 1:
        side = min(_LARGE, max(rows, columns))
        asked["viewport"] = f"{side},{side}"
    tail = f"?{urlencode(asked, safe=',')}" if asked else ""
    return f"{_base(shown)}/frames/{shown.frame}/rendered{tail}"


def _steps(shown: Shown) -> list[tuple[str, str | None, str]]:
    """The ways on: their names, addresses (None: there is none), and what they are to a program."""
    layers, at = shown.layers, shown.layer_at
    before = layers[at - 1] if at > 0 else None
    after = layers[at + 1] if at + 1 < len(layers) else None
    return [
        ("Previous frame", _of_frame(shown, shown.frame - 1, before), "prev"),
        ("Next frame", _of_frame(shown, shown.frame + 1, after), "next"),
        ("Previous instance", _of_layer(shown, before), ""),
        ("Next instance", _of_layer(shown, after), ""),
        ("Previous series", _of_series(shown, shown.at - 1), ""),
        ("Next series", _of_series(shown, shown.at + 1), ""),
    ]


def _of_frame(shown: Shown, number: int, beyond: Layer | None) -> str | None:
    if 1 <= number <= shown.layer.sight.frames:
        return shown.address(window=shown.window, frame=str(number))
    if beyond is None:
        return None
    number = beyond.sight.frames if number < 1 else 1
    return shown.address(window=shown.window, instance=beyond.instance_uid, frame=str(number))


def _of_layer(shown: Shown, layer: Layer | None) -> str | None:
    if layer is None:
        return None
    return shown.address(window=shown.window, instance=layer.instance_uid, frame="1")


def _of_series(shown: Shown, at: int) -> str | None:
    found = shown.study.series
    return _series_address(shown, found[at]) if 0 <= at < len(found) else None


def _series_address(shown: Shown, series: Series) -> str:
    # Without a window: values of one series mean nothing in another.
    return f"/studies/{shown.study.study_uid}/viewer?{urlencode({'series': series.series_uid})}"


def _attributes(shown: Shown) -> str:
    return (
        f"/studies/{shown.study.study_uid}/series/{shown.series.series_uid}"
        f"/instances/{shown.layer.instance_uid}"
    )


def text_of(window: Window) -> str:
    """The window as the parameter of rendered resources is written (PS3.18 8.3.5.1.4)."""
    function = "" if window.function == "LINEAR" else f",{window.function.lower().replace('_', '-')}"
    return f"{window.center:.10g},{window.width:.10g}{function}"


def _box(request: Request) -> Box:
    box: Box = request.app.state.box
    return box


ROUTES: list[BaseRoute] = [
    Route("/studies/{study_uid}/viewer", show, name="viewer"),
    Route("/studies/{study_uid}/viewer.json", show_json, name="viewer_json"),
    Route("/studies/{study_uid}/viewer/window.json", fitting_json, name="viewer_window_json"),
]
