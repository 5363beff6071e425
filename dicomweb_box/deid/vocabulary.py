"""Attributes that Table E.1-1 does not list and whose text is of machines and terms, not of persons."""

from typing import Final

TECHNICAL: Final = frozenset(
    (
        0x00080070,  # Manufacturer
        0x00080100,  # Code Value
        0x00080102,  # Coding Scheme Designator
        0x00080103,  # Coding Scheme Version
        0x00080104,  # Code Meaning
        0x00080119,  # Long Code Value
        0x00080120,  # URN Code Value
        0x00081090,  # Manufacturer's Model Name
        0x00180024,  # Sequence Name
        0x00180085,  # Imaged Nucleus
        0x00181020,  # Software Versions
        0x00181040,  # Contrast/Bolus Route
        0x00181160,  # Filter Type
        0x00181210,  # Convolution Kernel
        0x00181250,  # Receive Coil Name
        0x00181251,  # Transmit Coil Name
        0x00181260,  # Plate Type
        0x00189005,  # Pulse Sequence Name
        0x00201040,  # Position Reference Indicator
        0x00209056,  # Stack ID
        0x00209421,  # Dimension Description Label
        0x00281054,  # Rescale Type
        0x00281055,  # Window Center & Width Explanation
        0x00283003,  # LUT Explanation
        0x00283004,  # Modality LUT Type
        0x00409210,  # LUT Label
        0x00480106,  # Optical Path Identifier
        0x00620009,  # Segment Algorithm Name
        0x00660031,  # Algorithm Version
        0x00660036,  # Algorithm Name
        0x20100010,  # Image Display Format
    )
)
"""Kept where they name nobody."""

DUMMIED: Final = frozenset(
    (
        0x00400032,  # Universal Entity ID
        0x00620005,  # Segment Label
        0x00620020,  # Tracking ID
        0x00700081,  # Content Description
        0x300A0043,  # Tolerance Table Label
        0x300A00C2,  # Beam Name
    )
)
"""A value stands in their place: their modules need one, and a person may have written it."""

LABELS: Final = frozenset((0x00700080,))
"""Content Label: a code string that a person wrote, and that its module needs."""

BINARY: Final = frozenset(
    (
        0x00282000,  # ICC Profile
        0x00700256,  # Fill Pattern
        0x00701808,  # Weighting Lookup Table Data
        0x40101006,  # Threat ROI Bitmap
    )
)
"""Of VR OB, and of machines: what others hold (maker notes, positions, signatures) nobody can read here."""

STRUCTURAL_UIDS: Final = frozenset(
    (
        0x0008010C,  # Coding Scheme UID
        0x00080117,  # Context UID
        0x00080118,  # Mapping Resource UID
    )
)
"""Kept as they are: they name vocabularies, of which PS3.6 registers only some."""

REDESCRIBED: Final = frozenset((0x00280004, 0x00280006, 0x00280301, 0x00282110, 0x00282114))
"""What redacted pixels are described by: Photometric Interpretation, Planar Configuration, Burned In
Annotation, Lossy Image Compression and its Method."""

TYPES: Final = frozenset((0x00080008, 0x00089007))
"""Image Type, Frame Type."""
