"""Who does which kind of transfer."""

from dicomweb_box.outbound.worker import Handlers

HANDLERS: Handlers = {}
