"""The kinds of study among the shared test files as OHIF is asked to show them."""

import csv
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian

from conformance import ohif_study

CT = "1.2.826.0.1.3680043.9.4245.1760717064491086528325869788156915668"
CT_WITH_SEG = "1.2.392.200103.20080913.113635.0.2009.6.22.21.43.10.22941.1"
CT_WITH_RTSTRUCT = "2.16.840.1.113662.2.12.0.3057.1241703565.35"
CT_WITH_REPORTS = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
PDF = "1.2.826.0.1.3680043.8.498.60550260453166786647398974976728960120"
VIDEO = "1.2.826.0.1.3680043.8.498.10337856828228782300359264968970787237"
SM = "1.2.826.0.1.3680043.10.511.3.11998601772218931473771592560209750"
SM_WITH_ANNOTATIONS = "1.2.826.0.1.3680043.9.7433.3.82970457260936734119270346325882945"
SM_WITHOUT_VOLUME = "1.3.6.1.4.1.11129.5.7.999.18649109954048068.740.1688792381777315"
PALETTE_IN_SEGMENTS = "1.2.392.200039.102.3.1096.11.20020524.111958"
REPORT_WITHOUT_A_NAME = "1.2.276.0.7230010.3.1.4.2139363186.7819.982086466.2"
RTSTRUCT_ALONE = "1.2.826.0.1.3680043.8.498.2010020400001.1"

DRAWN = {
    "mr": "1.2.124.113532.10.122.1.203.20051130.122937.2950157",
    "mr-150-instances": "1.2.840.113619.6.408.28831229784644470934771902094312156645",
    "mr-4-series": "1.3.12.2.1107.5.2.19.45160.30000018091720502193200000007",
    "enhanced-mr": "1.2.826.0.1.3680043.2.1143.3365540476747857567072393009509418480",
    "enhanced-ct": "1.3.6.1.4.1.5962.1.2.10.1166562673.14401",
    "us": "1.3.6.1.4.1.5962.1.2.13.20040826185059.5457",
    "us-film": "1.2.840.114340.3.8251017118051.1.20160503.120850.2171",
    "us-palette": "1.3.46.670589.14.1000.210.4.199999.20110525182825.1.0",
    "nm": "1.3.6.1.4.1.5962.1.2.8.20040826185059.5457",
    "dx": "1.2.826.0.1.3680043.8.498.54401662452014863547255413372440461885",
    "sc": "1.2.826.0.1.3680043.8.498.13331179108403236084039838123417806584",
    "ct-with-seg": CT_WITH_SEG,
    "ct-with-rtstruct": CT_WITH_RTSTRUCT,
    "ct-with-reports": CT_WITH_REPORTS,
}
"""Studies whose first picture is drawn, and whose thumbnails are there."""

LISTED = {
    "dose": ("1.2.999.999.99.9.9999.8888", "RTDOSE"),
    "ecg": ("1.3.76.13.65829.2.20130125082826.1072139.2", "ECG"),
    "text-report": ("1.2.276.0.7230010.3.1.2.1787205428.166.1117461927.5", "SR"),
    "plan": ("1.22.333.4.555555.6.7777777777777777777777777777", "RTPLAN"),
    "ion-plan": ("1.2.333.4444.5.6.7.8.9", "RTPLAN"),
    "seg-without-pictures": ("1.3.6.1.4.1.5962.1.1.0.0.0.1196527414.5534.0.1", "SEG"),
    "labelmap-without-pictures": (
        "1.2.826.0.1.3680043.2.1125.1.38642757998921184026476030292472423",
        "SEG",
    ),
    "seg-with-value-map": ("1.3.6.1.4.1.14519.5.2.1.2744.7002.150059977302243314164020079415", "SEG"),
    "converted-ct": ("1.2.826.0.1.3680043.2.1125.1.99615878007501689887866317012655114", "SEG"),
}
"""Studies of what has no thumbnail: the viewer lists it by this modality."""

COMPARED = {
    "palette-in-segments": (PALETTE_IN_SEGMENTS, "viewer"),
    "slide-without-volume": (SM_WITHOUT_VOLUME, "microscopy"),
    "slide-with-annotations": (SM_WITH_ANNOTATIONS, "microscopy"),
    "report-without-a-name": (REPORT_WITHOUT_A_NAME, "viewer"),
    "contours-without-pictures": (RTSTRUCT_ALONE, "viewer"),
    "shown": (ohif_study.STUDY, "viewer"),
}
"""What this version of the viewer does not show, and one that it shows: opened here and before Orthanc."""

SHOWN_ELSEWHERE = {CT, PDF, VIDEO, SM}
"""Studies that have tests of their own."""

LIVER_PICTURES = "1.2.392.200103.20080913.113635.1.2009.6.22.21.43.10.23430.1"
LIVER = "1.2.826.0.1.3680043.8.498.16366991862428260128829822847373435474"
LIVER_OF_ANOTHER_SIZE = "1.2.276.0.7230010.3.1.3.0.42154.1458337731.665795"
"""Series of the study with segmentations: pictures of 512×512, segments of 512×512, and of 510×510."""

SKIPPED = {"Computed Radiography Image Storage": "they are made to show names and have no pixels"}
"""SOP classes of which no study is opened, and why."""


def files(folder: Path) -> list[Path]:
    """Those to store, one of each instance: the plainest, so that any server has the same."""
    chosen: dict[str, str] = {}
    for row in sorted(sound(folder), key=_plainness):
        chosen.setdefault(row["sop"], row["file"])
    return [folder / name for name in chosen.values()]


def document(folder: Path) -> bytes:
    """The document of the study of that kind."""
    content: bytes = pydicom.dcmread(folder / "synthetic" / "pdfpub.dcm").EncapsulatedDocument
    return content


def sound(folder: Path) -> list[dict[str, str]]:
    """The manifest's rows of what a server can take."""
    with (folder / "manifest.csv").open(newline="") as manifest:
        return [
            row
            for row in csv.DictReader(manifest)
            if row["sop"] and row["study"] and row["parse"] != "fail" and not row["file"].startswith("bad/")
        ]


def _plainness(row: dict[str, str]) -> tuple[bool, int, str]:
    return row["transfer_syntax"] != ExplicitVRLittleEndian, len(row["file"]), row["file"]
