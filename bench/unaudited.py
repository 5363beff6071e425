"""`python -m bench.unaudited serve …`: the program without its audit of acts, to measure the audit by."""

import sys
from typing import Any

from dicomweb_box import __main__
from dicomweb_box.accounts import audit


async def _nothing(*_: Any) -> None:
    """Where an act would be recorded."""


if __name__ == "__main__":
    audit.record = _nothing  # roles are forks of this process, and look it up where they call it
    sys.exit(__main__.main())
