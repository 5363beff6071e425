"""Storage Commitment Push Model as SCU (PS3.4 J.3): a peer reports over an association of its own."""

from dicomweb_box.dimse.call import Call
from dicomweb_box.outbound import confirming
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.responses import response


async def hear(call: Call, message: Message) -> None:
    """Keep a report and answer once it is durable. Raises Aborted, TooLarge."""
    peer = call.caller.peer.name if call.caller.peer is not None else ""
    status, comment = await confirming.heard(call.box, message, peer)
    call.counts["reports of commitment"] += 1
    await call.association.send(
        message.context,
        response(message, status, comment, EventTypeID=message.command.get("EventTypeID")),
    )
