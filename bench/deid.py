"""`python -m bench.deid`: de-identification of files, beside dicognito and dicom-anonymizer from PyPI.

Each tool works on the same files in processes of its own, in turns. The two others are installed into
`.venv-bench`, never beside this program; without a package index only this program is measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from pydicom.dataset import Dataset

from bench import objects
from bench.machine import Machine
from tests.deid.planted import instance, written

ROOT = Path(__file__).parent.parent
PEERS = {"dicognito": "dicognito==0.19.0", "dicom_anonymizer": "dicom-anonymizer==2.1.0"}
_VENV = ROOT / ".venv-bench"
_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.7.2"
_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.3.1"
_ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file, how often it is done, and by whom."""

    name: str
    make: Callable[[], bytes]
    times: int
    tools: tuple[str, ...] = ("box", *PEERS)
    most: float | None = None
    """CPU milliseconds that are aimed at."""
    most_memory: float | None = None
    """MB that are aimed at."""


@dataclass(kw_only=True)
class Took:
    """What a tool came to, a value for each round."""

    ms: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    failed: str = ""


def enhanced() -> bytes:
    """An Enhanced CT with functional groups of 500 frames, nearly without pixels."""
    ds = instance(SOPClassUID=_ENHANCED_CT, NumberOfFrames=500, PixelData=bytes(2000))
    ds.PerFrameFunctionalGroupsSequence = [_frame(number) for number in range(500)]
    return written(ds)


def _frame(number: int) -> Dataset:
    frame = Dataset()
    for sequence, values in (
        ("DerivationImageSequence", {"DerivationDescription": "a derivation"}),
        ("FrameContentSequence", {"FrameAcquisitionDateTime": f"20240229{number % 24:02}1500.5",
                                  "FrameAcquisitionNumber": number, "StackID": "1"}),
        ("PlanePositionSequence", {"ImagePositionPatient": [-125, -125, number / 2]}),
        ("PlaneOrientationSequence", {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}),
        ("CTImageFrameTypeSequence", {"FrameType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]}),
        ("PixelMeasuresSequence", {"SliceThickness": 0.5, "PixelSpacing": [0.488281, 0.488281]}),
        ("FrameVOILUTSequence", {"WindowCenter": 40, "WindowWidth": 400}),
        ("PixelValueTransformationSequence", {"RescaleIntercept": -1024, "RescaleSlope": 1}),
    ):  # fmt: skip
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        setattr(frame, sequence, [item])
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = _ENHANCED_CT, f"1.2.3.4.{number}"
    frame.DerivationImageSequence[0].SourceImageSequence = [source]
    return frame


def frames(sop_class: str, rows: int, columns: int, count: int) -> bytes:
    """Native frames of eight bits."""
    pixels = np.random.default_rng(1).integers(0, 255, (rows, columns), dtype="u1").tobytes()
    ds = instance(SOPClassUID=sop_class, Rows=rows, Columns=columns, NumberOfFrames=count)
    ds.BurnedInAnnotation = "YES" if sop_class == _ULTRASOUND else "NO"
    region = Dataset()
    region.RegionDataType = 1
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 40
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = columns - 1, rows - 1
    ds.SequenceOfUltrasoundRegions = [region]
    ds.PixelData = pixels * count
    return written(ds)


CASES = (
    Case(name="attributes of a CT, in memory", make=objects.ct, times=300, tools=("box_header",), most=0.3),
    Case(name="CT of 0.5 MB, file to file", make=objects.ct, times=100, most=2),
    Case(name="attributes of 500 frames, in memory", make=enhanced, times=10, tools=("box_header",), most=30),
    Case(name="500 frames of an Enhanced CT, file to file", make=enhanced, times=5),
    Case(
        name="multi-frame of 256 MB, file to file",
        make=lambda: frames("1.2.840.10008.5.1.4.1.1.12.1", 1024, 1024, 256),
        times=1,
        most=300,
        most_memory=80,
    ),
    Case(
        name="ultrasound of 256 MB, every frame redacted",
        make=lambda: frames(_ULTRASOUND, 1024, 1024, 256),
        times=1,
        tools=("box_redacting",),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.deid", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each in the other order (default 3)")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    options = parser.parse_args()
    pythons = {"box": sys.executable, **_peers()}
    machine = Machine()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            if options.only in case.name:
                found = _measured(case, Path(folder), pythons, options.rounds, machine)
                lines += list(_lines(case, found, machine))
    print("| what | tool | ms | CPU ms | peak MB | aim | met |\n|---|---|--:|--:|--:|---|---|")
    print("\n".join(lines))
    print(
        f"\nfactor of this machine {machine.factor:.2f}; an aim stands before and behind it", file=sys.stderr
    )


def _peers() -> dict[str, str]:
    """The interpreter of those that can be had."""
    python = _VENV / "bin" / "python"
    if not (_VENV / "stamp").exists():
        venv.create(_VENV, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", *PEERS.values()]
        if subprocess.run(command, check=False).returncode:
            print("the other tools cannot be installed: this program alone is measured", file=sys.stderr)
            return {}
        (_VENV / "stamp").touch()
    return dict.fromkeys(PEERS, str(python))


def _measured(
    case: Case, folder: Path, pythons: dict[str, str], rounds: int, machine: Machine
) -> dict[str, Took]:
    source = folder / "source.dcm"
    source.write_bytes(case.make())
    tools = [tool for tool in case.tools if tool.split("_")[0] == "box" or tool in pythons]
    found = {tool: Took() for tool in tools}
    for turn in range(rounds):
        machine.time()
        for tool in tools if turn % 2 == 0 else reversed(tools):
            _once(
                tool, pythons.get(tool, sys.executable), source, folder / "out.dcm", case.times, found[tool]
            )
    return found


def _once(tool: str, python: str, source: Path, out: Path, times: int, took: Took) -> None:
    command = [python, str(ROOT / "bench" / "deid_work.py"), tool, str(source), str(out), str(times)]
    environment = {"PATH": os.environ.get("PATH", "")}
    if python == sys.executable:
        environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        took.failed = done.stderr.strip().rpartition("\n")[2][:80]
        return
    said = json.loads(done.stdout.strip().rpartition("\n")[2])
    took.ms.append(median(said["ms"]))
    took.cpu.append(said["cpu"])
    took.rss.append(said["rss"])


def _lines(case: Case, found: dict[str, Took], machine: Machine) -> Iterator[str]:
    for tool, took in found.items():
        name = tool.replace("box_header", "box").replace("box_redacting", "box").replace("_", "-")
        if not took.ms:
            yield f"| {case.name} | {name} | {took.failed} | | | | |"
            continue
        ms, cpu, rss = median(took.ms), median(took.cpu), median(took.rss)
        ours = tool.startswith("box")
        yield (
            f"| {case.name} | {name} | {ms:.3g} | {cpu:.3g} | {rss:.0f} |"
            f" {_aim(case, machine) if ours else ''} | {_met(case, cpu, rss, machine) if ours else ''} |"
        )


def _aim(case: Case, machine: Machine) -> str:
    aims = [f"≤ {case.most:g} → {case.most * machine.factor:.3g} ms"] if case.most else []
    return ", ".join(aims + ([f"≤ {case.most_memory:g} MB"] if case.most_memory else []))


def _met(case: Case, cpu: float, rss: float, machine: Machine) -> str:
    missed = []
    if case.most and cpu > case.most * machine.factor:
        missed.append(f"CPU {cpu / (case.most * machine.factor):.2f}×")
    if case.most_memory and rss > case.most_memory:
        missed.append(f"{rss:.0f} MB")
    if missed:
        return "no: " + ", ".join(missed)
    return "yes" if case.most or case.most_memory else ""


if __name__ == "__main__":
    main()
