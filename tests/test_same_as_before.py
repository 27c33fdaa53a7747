"""The program behaves as it did at an earlier commit: the same files, samples and scores.

The last bits of numbers depend on numpy, its matrix library and the processor. Where these are the same as when the
fixtures were made (tests/fixtures/before/README.md), everything is compared byte by byte. Elsewhere the comparison is
limited to what must be the same on every machine: steps, scores to within 1e-4, greedy samples, and re-saved files.

Files of version 2 are compared after what version 2 added was taken out: their bytes must then be those of version 1.
"""

import json
import math
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.before import (
    HALF,
    KEPT,
    WHOLE,
    as_version_1,
    digest,
    manifest_of,
    outcome,
    read,
    run,
    without_added,
    write_models,
    write_texts,
)
from tests.helpers.command import ok

EXPECTED = json.loads((KEPT / "expected.json").read_text("utf-8"))
MADE_BY, RUNS, READS = EXPECTED["made by"], EXPECTED["runs"], EXPECTED["reads"]
MODELS = sorted(path.stem for path in KEPT.glob("*.npz"))
SCORE = 1e-4  # difference in bits or nats per character between processors
SHARE = 2e-5  # relative, for larger figures such as the loss of a whole text
COMPRESSORS = "gzip|bz2|xz"  # their libraries differ between machines
COMPRESSED = 0.1  # difference of their bits per character
BEGINNING = 16  # characters of a sample that cannot depend on the last bits of a probability
BARS = str.maketrans("", "", "0123456789?")  # drawn below a text by --heatmap


def laid_out(folder: Path) -> Path:
    """Write the texts and the models of the fixtures into a folder."""
    write_texts(folder)
    write_models(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The texts and the models, for commands that only read them."""
    return laid_out(tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="module")
def same_bits(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """Whether last bits must be the same here, by the environment that the program writes into a model."""
    place = tmp_path_factory.mktemp("machine")
    write_texts(place)
    network = "--hidden-size 4 --batch-size 2 --seq-len 8 --threads 1 -q"
    ok("train", "begun.txt", "-m", "tiny", "--steps", 1, *network.split(), cwd=place)
    found = manifest_of(as_version_1((place / "checkpoints" / "tiny.npz").read_bytes()))["environment"]
    assert found.keys() == MADE_BY.keys() - {"commit"}
    assert (found["numpy"], found["threads"], found["product_threads"]) == (np.__version__, "1", "1")
    return bool(found == {name: MADE_BY[name] for name in found})


# ---- comparisons ----


def check_near(found: Any, expected: Any, within: float = SCORE) -> None:
    """Assert that two JSON values are equal except for the last digits of floats."""
    if type(expected) is float:
        assert type(found) is float
        assert math.isclose(found, expected, rel_tol=SHARE, abs_tol=within), (found, expected)
    elif type(expected) is dict:
        assert list(found) == list(expected)
        for key, value in expected.items():
            check_near(found[key], value, within)
    elif type(expected) is list:
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            check_near(one, other, within)
    else:
        assert (type(found), found) == (type(expected), expected)


def table(text: str) -> list[Any]:
    """Return the rows of an output: JSON objects, or lists of columns with numbers converted."""
    rows = [json.loads(row) if row.startswith("{") else row.split("\t") for row in text.split("\n")]
    return [[number(cell) for cell in row] if type(row) is list else row for row in rows]


def number(cell: str) -> float | str:
    """Return a cell as a float if it is one; other cells are returned unchanged."""
    return float(cell) if re.fullmatch(r"[+-]?\d+\.\d*(e[+-]\d+)?|\d+e[+-]\d+", cell) else cell


def check_alike(command: str, found: str, expected: str) -> None:
    """Assert that an output agrees within what processors differ by."""
    if command.startswith("info") or (command.startswith("sample") and " -t 0 " in command):
        assert found == expected
    elif command.startswith("sample"):
        check_sampled(command, found, expected)
    elif "--heatmap" in command:
        assert found.translate(BARS) == expected.translate(BARS)
    elif "--neurons" in command:  # equal correlations may change places, and colours at the edges of their steps
        one, other = (sorted(table(text.split("\n\n")[0].strip()), key=property_of) for text in (found, expected))
        check_near(one, other, within=0.0011)
    elif "--against-baselines" in command:
        for by, within in ((False, 1.1 * SCORE), (True, COMPRESSED)):
            check_near(table(by_compressor(found, by)), table(by_compressor(expected, by)), within)
    else:  # a table of --memory has three digits of each gradient
        short = "--memory" in command and "--json" not in command
        check_near(table(found), table(expected), within=0.0011 if short else 1.1 * SCORE)


def check_sampled(command: str, found: str, expected: str) -> None:
    """Assert that samples have the right form and the expected beginning."""
    assert set(found) <= {*(KEPT / "text.txt").read_text("utf-8"), *expected}
    if "--json" in command:
        found, expected = ("".join(record["text"] for record in table(text)[:-1]) for text in (found, expected))
    pattern = re.search(r"--regex '(.*?)'", command)
    if pattern:
        assert all(re.fullmatch(pattern[1], line) for line in found.splitlines())
    if pattern or "--stop" in command:
        assert found.count("\n") == expected.count("\n")
    else:
        assert len(found) == len(expected)
    assert found[:BEGINNING] == expected[:BEGINNING]


def property_of(row: Any) -> str:
    """Return the property in a row of --neurons."""
    return str(row["property"] if type(row) is dict else row[2])


def by_compressor(text: str, yes: bool) -> str:
    """Return the rows of --against-baselines for compressors, or the other rows."""
    by = re.compile(rf"\t({COMPRESSORS})$|\"model\": \"({COMPRESSORS})\"")
    return "\n".join(row for row in text.split("\n") if bool(by.search(row)) == yes)


def known_to_the_bit(command: str, text: str) -> str:
    """Return the part of an output that does not depend on the compressors' libraries."""
    return by_compressor(text, False) if "--against-baselines" in command else text


def check_run(found: dict[str, Any], expected: dict[str, Any], same_bits: bool) -> None:
    """Assert that a run ended as before: step, settings and losses, and where possible bytes and events."""
    check_near(found["manifest"], expected["manifest"])
    if same_bits:
        assert found == expected


# ---- the runs ----


def command_of(name: str) -> list[str]:
    """Return the command of a run, with the held-out part that it had before there was a choice."""
    return [*shlex.split(RUNS[name]["command"]), "--holdout", "tail"]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_stops_and_resumes_as_before(name: str, tmp_path: Path, same_bits: bool) -> None:
    expected, command = RUNS[name], command_of(name)
    path, kept = laid_out(tmp_path) / "checkpoints" / f"{name}.npz", KEPT / f"{name}.npz"
    path.unlink(missing_ok=True)
    events = run(command, tmp_path, HALF)
    step = expected["resumed"]["manifest"]["step"]
    assert manifest_of(path.read_bytes())["step"] == min(step, HALF)
    if same_bits:
        assert {"sha256": digest(as_version_1(path.read_bytes())), "events": digest(events.encode())} == expected[
            "halfway"
        ]
    if kept.exists():
        check_arrays(path, kept)
        shutil.copy(kept, path)
    events = run([*command, "--resume"], tmp_path, WHOLE)
    check_run(outcome(path, events), expected["resumed"], same_bits)


def check_arrays(found: Path, expected: Path) -> None:
    """Assert that the arrays of two models agree except for the last digits."""
    with np.load(found) as one, np.load(expected) as other:
        assert [*one.files] == [*other.files, "losses"]
        for name in {*other.files} - {"manifest"}:
            assert (one[name].dtype, one[name].shape) == (other[name].dtype, other[name].shape)
            np.testing.assert_allclose(one[name], other[name], rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("name", RUNS)
def test_an_uninterrupted_run_ends_as_before(name: str, tmp_path: Path, same_bits: bool) -> None:
    path = laid_out(tmp_path) / "checkpoints" / f"{name}.npz"
    path.unlink(missing_ok=True)
    events = run(command_of(name), tmp_path, WHOLE)
    check_run(outcome(path, events), RUNS[name]["whole"], same_bits)


@pytest.mark.parametrize("name", MODELS)
def test_resuming_a_finished_run_keeps_the_bytes_of_its_file(name: str, tmp_path: Path) -> None:
    path = laid_out(tmp_path) / "checkpoints" / f"{name}.npz"
    (start, *_, done) = ok("train", "-m", name, "--resume", "--threads", 1, "--json", "-q", cwd=tmp_path).records
    assert [(record["event"], record["step"]) for record in (start, done)] == [("start", HALF), ("done", HALF)]
    assert as_version_1(path.read_bytes()) == (KEPT / path.name).read_bytes()


# ---- commands ----


@pytest.mark.parametrize("command", READS)
def test_a_command_gives_the_same_output(command: str, folder: Path, same_bits: bool) -> None:
    expected, found = READS[command], without_added(read(command, folder).text)
    check_alike(command, found, expected["out"])
    if same_bits:
        assert known_to_the_bit(command, found) == known_to_the_bit(command, expected["out"])
