"""Who does which kind of transfer."""

from dicomweb_box.outbound import confirming, retrieving, sending
from dicomweb_box.outbound.worker import Handler, Handlers

HANDLERS: Handlers = {
    "send": Handler(most=sending.MOST, run=sending.send),
    "retrieve": Handler(most=1, run=retrieving.retrieve),
    "commitment": Handler(most=1, run=confirming.commit),
}
