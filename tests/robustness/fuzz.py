"""Random changes of model files: of bytes, members and manifests."""

import copy
import hashlib
import json
import resource
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.files import manifest_of, members, npy
from tests.robustness.damage import loaded, smallest
from tests.robustness.experiment import Experiment

MEMORY, SECONDS = 300, 1.0  # limits: megabytes beyond those before the first load, seconds of processor time per load
ODD_BYTES = (0, 1, 0x7F, 0x80, 0xFF, ord("'"), ord("("), ord("\\"), ord("9"))
ODD_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 7, 255, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, -(2**63)),
    *(0.0, -0.0, 0.5, 1e308, 1e-320, float("nan"), float("inf"), -1e99, "", "\0", "\ud800", "lstm", "x" * 5000),
    *([], [[]], {}, {"": {}}, [0] * 3000, "sgd", "adamw", "nfd", "../../x", "\x1b[2J", "9" * 400),
]
ODD_HEADERS = (
    *("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "(" * 5000, "{" * 9000, "[1]*10**9", "9**9**9"),
    *(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({n},)}}" for n in (-1, 2**31, 2**62, 2**64, "True", "1e9")),
    *(
        f"{{'descr': '{kind}', 'fortran_order': False, 'shape': (2,)}}"
        for kind in ("<U9", "V8", "<M8[s]", "2f4", "f4,O")
    ),
    "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 3000 + ")}",
)


class Payload:
    """An object that leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return mark, ()


marks: list[bool] = []


def mark() -> None:
    """Leave a mark."""
    marks.append(True)


def assembled(parts: dict[str, bytes]) -> bytes:
    """Return an archive of members by name, as zipfile would write it but ten times as fast."""
    local, central = [], []
    offset = 0
    for name, content in parts.items():
        encoded = name.encode("utf-8", "surrogatepass")
        fields = struct.pack(
            "<HHHHHIIIHH", 20, 0, 0, 0, 33, zlib.crc32(content), len(content), len(content), len(encoded), 0
        )
        local.append(b"PK\3\4" + fields + encoded + content)
        central.append(b"PK\1\2\x14\3" + fields + struct.pack("<HHHII", 0, 0, 0, 0, offset) + encoded)
        offset += len(local[-1])
    end = struct.pack("<HHHHIIH", 0, 0, len(parts), len(parts), sum(map(len, central)), offset, 0)
    return b"".join([*local, *central, b"PK\5\6", end])


class Mutator:
    """Changes a model file at random."""

    def __init__(self, good: bytes) -> None:
        self.parts, self.manifest = members(good), manifest_of(good)
        self.good = assembled(self.parts)

    def mutated(self, draw: np.random.Generator) -> bytes:
        """Return a file changed in one of the ways below, and every eighth time also in random bytes."""
        ways = (self.of_bytes, self.of_a_member, self.of_a_header, self.of_the_names, self.of_the_manifest)
        bad = ways[draw.integers(len(ways))](draw)
        return havoc(bad, draw) if draw.integers(8) == 0 else bad

    def of_bytes(self, draw: np.random.Generator) -> bytes:
        """Change bytes anywhere."""
        return havoc(self.good, draw)

    def of_a_member(self, draw: np.random.Generator) -> bytes:
        """Change bytes of a member with a correct CRC, and every other time with a correct digest."""
        name = list(self.parts)[draw.integers(len(self.parts))]
        content = havoc(self.parts[name], draw)
        changed = self.parts | {name: content}
        if draw.integers(2):
            digest = hashlib.sha256(content[128:]).hexdigest()
            manifest = self.manifest | {"sha256": self.manifest["sha256"] | {name.removesuffix(".npy"): digest}}
            changed = changed | {"manifest.npy": as_member(json.dumps(manifest))}
        return assembled(changed)

    def of_a_header(self, draw: np.random.Generator) -> bytes:
        """Give a member another header, or make it an object that runs code."""
        name = list(self.parts)[draw.integers(len(self.parts))]
        if draw.integers(8) == 0:
            return assembled(self.parts | {name: npy(np.array([Payload()]))})
        header = ODD_HEADERS[draw.integers(len(ODD_HEADERS))]
        return assembled(self.parts | {name: npy(np.zeros(2, "<f4"), header)})

    def of_the_names(self, draw: np.random.Generator) -> bytes:
        """Leave out, add or rename members."""
        names = ["../../x.npy", "/x.npy", "manifest", "x" * 70_000, "\0.npy", "\udcff.npy", "history.npy.npy"]
        kept = dict(self.parts)
        content = kept.pop(list(kept)[draw.integers(len(kept))])
        for _ in range(draw.integers(3)):
            kept[names[draw.integers(len(names))][:65_000]] = content
        return assembled(kept)

    def of_the_manifest(self, draw: np.random.Generator) -> bytes:
        """Change, remove or add one to three entries of the manifest, and sometimes bytes of its text."""
        manifest = copy.deepcopy(self.manifest)
        for _ in range(draw.integers(1, 4)):
            node: Any = manifest
            while True:
                key = list(node)[draw.integers(len(node))]
                if not isinstance(node[key], dict) or not node[key] or draw.integers(4) == 0:
                    break
                node = node[key]
            changed_key(node, key, draw)
        text = json.dumps(manifest)
        return assembled(self.parts | {"manifest.npy": as_member(text, draw if draw.integers(4) == 0 else None)})


def changed_key(node: dict[str, Any], key: str, draw: np.random.Generator) -> None:
    """Change the value of a key, remove it, or add another key."""
    value = copy.deepcopy(ODD_VALUES[draw.integers(len(ODD_VALUES))])
    match draw.integers(6):
        case 0:
            if len(node) > 1:
                del node[key]
        case 1:
            node[f"{key}{draw.integers(9)}"] = value
        case _:
            node[key] = value


def as_member(text: str, draw: np.random.Generator | None = None) -> bytes:
    """Return a manifest's text as a member, with random changes if a generator is given."""
    data = text.encode("utf-8", "surrogatepass")
    return npy(np.frombuffer(havoc(data, draw) if draw else data, np.uint8))


def havoc(data: bytes, draw: np.random.Generator) -> bytes:
    """Change up to eight places: flip a bit, set a byte, remove, insert or repeat a part, or truncate."""
    changed = bytearray(data)
    for _ in range(draw.integers(1, 9)):
        at, length = int(draw.integers(len(changed) + 1)), int(draw.integers(1, 40))
        match draw.integers(8):
            case 0 | 1 | 2 if at < len(changed):
                changed[at] ^= 1 << int(draw.integers(8))
            case 3 | 4 if at < len(changed):
                changed[at] = ODD_BYTES[draw.integers(len(ODD_BYTES))]
            case 5:
                del changed[at : at + length]
            case 6:
                changed[at:at] = changed[at : at + length] if draw.integers(2) else draw.bytes(length)
            case 7 if draw.integers(8) == 0:
                del changed[at:]
    return bytes(changed)


class Loads(Experiment):
    """Randomly changed files are loaded, which must raise a CheckpointError or give a consistent model."""

    mutator_of: type[Mutator] = Mutator
    seed = 5

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.mutator = self.mutator_of(smallest())
        assert loaded(self.mutator.good) is not None  # so files are refused only for their changes
        self.before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # of the tests that ran here before

    def attempt(self, number: int) -> str:
        """Load a file; return a description of what went wrong, unless it is refused."""
        bad = self.mutator.mutated(np.random.default_rng([number, self.seed]))
        start = time.process_time()
        try:
            found = loaded(bad)
        except BaseException as error:
            return f"code was run, and {error!r}" if marks else repr(error)
        seconds = time.process_time() - start
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.note("seconds of the longest load", seconds)
        self.note("megabytes of the process", megabytes)
        if marks:
            return "code was run"
        if found is not None and loaded(found) != found:
            return "the accepted model is not saved as the same file"
        if seconds > SECONDS or megabytes - self.before > MEMORY:
            return f"the load took {seconds:.1f} s, the process {megabytes:.0f} MB"
        return ""
