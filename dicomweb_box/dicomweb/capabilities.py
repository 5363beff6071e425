"""Retrieve Capabilities (PS3.18 8.9, Annex H), and the same as OpenAPI: made from the routes there are."""

from collections.abc import Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.dicom.media_types import Offer
from dicomweb_box.dicomweb import openapi, wadl
from dicomweb_box.dicomweb.answers import chosen, service_url
from dicomweb_box.dicomweb.retrieval import tag_of
from dicomweb_box.dicomweb.transactions import transactions

WADL = Offer(media_type="application/vnd.sun.wadl+xml")
JSON = Offer(media_type="application/json")


def described(routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """The routes, and those that tell of them."""

    async def capabilities(request: Request) -> Response:
        """OPTIONS /."""
        offer = chosen(request, (WADL, JSON))
        make = wadl.as_xml if offer == WADL else wadl.as_json
        body = make(transactions(routes), _base(request))
        headers = {"Allow": "OPTIONS", "Vary": "Accept"}
        return Response(body, media_type=offer.media_type, headers=headers)

    async def description(request: Request) -> Response:
        """GET /openapi.json."""
        chosen(request, (JSON,))
        server = request.app.state.box.settings.public_url or "/"
        body = orjson.dumps(openapi.document(transactions(everything), server))
        headers = {"ETag": tag_of(body), "Cache-Control": "no-cache"}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=JSON.media_type, headers=headers)

    everything: list[BaseRoute] = [
        *routes,
        Route("/", capabilities, methods=["OPTIONS"]),
        Route("/openapi.json", description),
    ]
    return everything


def _base(request: Request) -> str:
    """The base URL of the service (Annex H); by the name it was asked under, where no other is set."""
    base = service_url(request)
    return base if "://" in base else f"{request.url.scheme}://{request.url.netloc}{base}"
