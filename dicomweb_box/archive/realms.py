"""Realms: the archive, and beside it the cache of each peer that is offered as a proxy.

What is cached is nobody's: it is fetched again when it is gone. So it has no place in the change feed, the
counts, the check or a rebuilt index, and its blobs lie in a folder of their own, by which they are known
without a row.
"""

MAIN = "main"
_PROXY = "proxy:"
FOLDER = "proxy/"
"""What keys of cached blobs begin with."""
LASTING = "realm not like 'proxy:%'"
"""A condition on rows with a realm."""
CACHED = "realm >= 'proxy:' and realm < 'proxy;'"
"""Its contrary, by an index."""


def cache_of(peer_id: str) -> str:
    """The realm of what was fetched from a peer; by its id, so that no other peer inherits it by name."""
    return _PROXY + peer_id


def is_lasting(realm: str) -> bool:
    """Whether a realm is the archive's own."""
    return not realm.startswith(_PROXY)
