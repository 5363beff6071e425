"""How long, how many, how large."""

from dataclasses import dataclass, field

PDU_SIZE = 256 << 10
"""What we offer to take in one P-DATA-TF PDU. They are passed on as they come, so this costs no memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Seconds that each thing may take."""

    connect: float = 10.0
    """Until there is a connection (requestor)."""
    associate: float = 15.0
    """From the connection, through TLS, to a whole A-ASSOCIATE-RQ or its answer: however slowly it drips."""
    close: float = 5.0
    """ARTIM (PS3.8 9.1.5): until the peer closes, or answers a release."""
    idle: float = 300.0
    """Between messages, while nothing is being served."""
    network: float = 60.0
    """For the next piece of a message under way, a whole PDU, and for the peer to take what was sent."""
    response: float = 120.0
    """For each response to a request of ours, pending ones included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one process takes on as acceptor."""

    associations: int = 256
    """At the same time; over it A-ASSOCIATE-RJ, transient, local limit exceeded."""
    associations_of_address: int = 128
    half_open: int = 512
    """Connections that have not asked for an association yet; over it the oldest is closed."""
    half_open_of_address: int = 256
    pdu_size: int = PDU_SIZE
    timeouts: Timeouts = field(default_factory=Timeouts)
