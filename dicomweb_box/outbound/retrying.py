"""How long to wait before something is tried again."""

import random
from datetime import timedelta

FIRST = timedelta(seconds=5)
LONGEST = timedelta(hours=1)
MOST_ATTEMPTS = 20
"""About eleven hours with the waits between them; the last one that fails is the end."""

_spread = random.SystemRandom()


def wait(attempts: int) -> timedelta:
    """How long after so many attempts: twice as long each time, up to an hour, and not alike for all."""
    doubled = FIRST * 2 ** min(attempts - 1, 20) if attempts > 0 else FIRST
    return min(doubled, LONGEST) * _spread.uniform(0.75, 1.25)
