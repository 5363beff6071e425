"""Why an instance is not de-identified, and therefore goes nowhere."""

from dicomweb_box.errors import BoxError


class Doubt(BoxError):
    """An instance that is held back; the reason names attributes and never their values."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
