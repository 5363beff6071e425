"""Associations and DIMSE messages over asyncio (PS3.7, PS3.8): the network, and nothing of an archive."""
