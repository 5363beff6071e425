"""One tool de-identifies one file again and again, in a process of its own; what that took, as JSON.

`python deid_work.py TOOL FILE OUT TIMES`: `bench.deid` runs it with the interpreter that has the tool.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

Work = Callable[[Path, Path], None]


def box() -> Work:
    from dicomweb_box.deid.files import deidentified_file
    from dicomweb_box.deid.policy import BASIC
    from dicomweb_box.deid.pseudonyms import Keyed

    key = Keyed(bytes(range(32)))
    return lambda source, out: void(deidentified_file(source, lambda _: out, BASIC, key))


def box_header() -> Work:
    """All but reading the file and writing it: what is done to the attributes, parsing included."""
    from dicomweb_box.deid.engine import deidentify
    from dicomweb_box.deid.policy import BASIC
    from dicomweb_box.deid.pseudonyms import Keyed

    key, read = Keyed(bytes(range(32))), dict[Path, bytes]()

    def work(source: Path, _: Path) -> None:
        data = read.get(source) or read.setdefault(source, source.read_bytes())
        deidentify(data, len(data), BASIC, key)

    return work


def box_redacting() -> Work:
    """All frames of ultrasound blanked outside of its regions."""
    from dicomweb_box.deid.files import deidentified_file
    from dicomweb_box.deid.policy import Policy
    from dicomweb_box.deid.pseudonyms import Keyed

    key, policy = Keyed(bytes(range(32))), Policy(name="basic", pixels="redact")
    return lambda source, out: void(deidentified_file(source, lambda _: out, policy, key))


def dicognito() -> Work:
    from dicognito.anonymizer import Anonymizer
    from pydicom import dcmread

    anonymizer = Anonymizer(seed="bench")

    def work(source: Path, out: Path) -> None:
        with dcmread(source) as dataset:
            anonymizer.anonymize(dataset)
            dataset.save_as(out)

    return work


def dicom_anonymizer() -> Work:
    from dicomanonymizer import anonymize_dataset
    from pydicom import dcmread

    def work(source: Path, out: Path) -> None:
        dataset = dcmread(source)
        anonymize_dataset(dataset)
        dataset.save_as(out)

    return work


def void(_: object) -> None:
    """Nothing."""


TOOLS = {one.__name__: one for one in (box, box_header, box_redacting, dicognito, dicom_anonymizer)}


def main() -> None:
    tool, source, out, times = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    warnings.simplefilter("ignore")
    work = TOOLS[tool]()
    took, began_cpu = [], 0.0
    for turn in range(times + (times > 1)):  # the first of several loads what is loaded once
        if turn == (times > 1):
            began_cpu = time.process_time()
        began = time.perf_counter()
        work(source, out)
        took.append((time.perf_counter() - began) * 1000)
    cpu = (time.process_time() - began_cpu) * 1000 / times
    print(json.dumps({"ms": took[-times:], "cpu": cpu, "rss": peak()}))


def peak() -> float:
    """The most memory that was in use since this program began, in MB."""
    said = Path("/proc/self/status").read_text()
    # Unlike what getrusage says, this does not begin with what the parent used.
    kib = next(line.split()[1] for line in said.splitlines() if line.startswith("VmHWM"))
    return int(kib) * 1024 / 1e6


if __name__ == "__main__":
    main()
