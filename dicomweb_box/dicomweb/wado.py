"""WADO-RS: the retrieve transaction of the Studies service (PS3.18 10.4)."""

from starlette.routing import BaseRoute

from dicomweb_box.dicomweb import (
    wado_bulk,
    wado_collections,
    wado_frames,
    wado_instances,
    wado_metadata,
    wado_rendered,
    wado_thumbnail,
)

ROUTES: list[BaseRoute] = [
    *wado_frames.ROUTES,
    *wado_metadata.ROUTES,
    *wado_instances.ROUTES,
    *wado_bulk.ROUTES,
    *wado_collections.ROUTES,
    *wado_rendered.ROUTES,
    *wado_thumbnail.ROUTES,
]
