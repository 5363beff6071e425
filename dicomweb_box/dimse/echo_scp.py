"""C-ECHO as SCP (PS3.4 A): somebody is here."""

from dicomweb_box.dimse import statuses
from dicomweb_box.dimse.call import Call
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.responses import response


async def echo(call: Call, message: Message) -> None:
    """Answer that all is well."""
    await call.association.send(message.context, response(message, statuses.SUCCESS))
