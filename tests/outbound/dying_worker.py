"""A worker for tests to kill: hands each item to a receiver, which is a file, then says that it took it.

Arguments: the data folder, the database's address, the receiver's file.
"""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

from dicomweb_box import setting_sources
from dicomweb_box.box import Box, open_box
from dicomweb_box.outbound import leases, worker
from dicomweb_box.outbound.worker import Desk, Handler

leases.LEASE = timedelta(seconds=1)
worker.BEAT = 0.05


async def main(data: str, address: str, taken: Path) -> None:
    receiver = os.open(taken, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def send(box: Box, desk: Desk) -> None:
        for item in desk.batch.items:
            os.write(receiver, f"{item.instance_uid}\n".encode())
            await desk.settle(item.number, "delivered")
            await asyncio.sleep(0.004)

    async with open_box(
        setting_sources.load({"data": data, "database_url": address, "no_auth": True}, {})
    ) as box:
        print("working", flush=True)
        await worker.run(box, asyncio.Event(), {"send": Handler(most=20, run=send)}, rest=0.1)


asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
