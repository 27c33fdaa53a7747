"""The runs and commands of tests/fixtures/before, which record what the program did at an earlier commit.

    python -m tests.helpers.before COMMIT    # with the code of that commit: writes the models and expected.json

The fixtures pin behaviour that must not change, so only the code of that commit may make them.
"""

import hashlib
import io
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from charrnn.checkpoint.archive import pack
from tests.helpers.command import Result, ok

KEPT = Path(__file__).parents[1] / "fixtures" / "before"
HALF, WHOLE = 24, 36  # steps
TINY = (
    "--hidden-size 8 --embed-size 8 --num-layers 1 --batch-size 24 --seq-len 16 --lr 0.1 --warmup 5 --dropout 0"
    " --eval-every 8 --save-every 10 --threads 1 --json -q --optimizer adamw"
)
TIMES = ("seconds", "chars_per_second")
CUT = " in row blocks"  # of large products; those of the fixtures are too small to be cut, so no bit depends on it
ADDED = (
    "holdout",
    "held_out",
    "encoding_errors",
    "seconds",
    "line_number",
)  # keys of JSON objects that the program has got since

KEEP = ("gru", "lstm", "tanh", "relu", "lines", "ensemble", "unknown", "nfd")  # runs with a half-way model in git
RUNS = {
    "gru": "--lr 0.2",
    "lstm": "--cell lstm --num-layers 2 --schedule linear --sample-every 20",
    "tanh": "--cell rnn --optimizer sgd --schedule constant --lr 0.4 --weight-decay 0.001",
    "relu": "--cell rnn --activation relu --optimizer adagrad --schedule linear --weight-decay 0.001",
    "lines": "--lines --seed 7",
    "ensemble": "--ensemble 2 --optimizer adam --schedule linear --lr 0.15 --weight-decay 0.0001",
    "unknown": "--min-count 2 --schedule constant",  # without --dropout, for the default
    "nfd": "--normalize nfd --cell lstm --optimizer rmsprop --lr 0.05 --weight-decay 0.001",
    "dropout": "--dropout 0.2 --num-layers 2 --optimizer sgd --schedule linear --lr 0.4 --weight-decay 0.001",
    "variational": "--variational-dropout 0.2 --num-layers 2 --cell lstm --optimizer adam --weight-decay 0.001",
    "zoneout": "--zoneout 0.2 --num-layers 2 --optimizer adagrad --schedule constant --weight-decay 0.001",
    "zoneout-lstm": "--zoneout 0.2 --cell lstm --lines",
    "zoneout-tanh": "--zoneout 0.2 --cell rnn --lines --dropout 0.1",
    "nothing-held-out": "--val-fraction 0 --grad-clip 0.1 --cell rnn",
    "impatient": "--patience 1 --lr 1e-12",  # changes no weight, so it ends at the second validation
    "init-from": "--init-from gru --normalize none --warmup 0 --lr 0.004",
    "two-threads": "--threads 2 --batch-size 32",
    "all": "--lines --ensemble 2 --zoneout 0.1 --dropout 0.1 --min-count 2 --num-layers 2 --threads 2 --seed 3",
}
PROMPTS = {
    "gru": "Who calls?",
    "lstm": "THE FERRY AT ELSMORE\n\n",
    "tanh": "over the wat",
    "relu": '"It is not a rule," said Ben',
    "lines": "Every morning",
    "ensemble": "    Over the water, and un",
    "unknown": "blue doors, and green d",
    "nfd": "Zoë & the café of Dôle, ",
}
READS = [
    *(f"sample -m {name} -t 0 -n 60 -p '{prompt}' --seed 0 --threads 1" for name, prompt in PROMPTS.items()),
    "sample -m unknown -t 0 --no-copy 4 -n 80 --seed 0 --prompt-file begun.txt --no-echo --threads 1",
    "sample -m lstm -t 0 --regex '([A-Z][a-z]{3,5} ){4}' --seed 0 --threads 1",
    *(f"sample -m {name} -t 0.8 -n 200 --seed 1 --threads 1" for name in ("gru", "tanh")),
    "sample -m gru --top-k 5 -n 150 --seed 2 --threads 1",
    "sample -m lstm --top-p 0.7 -n 150 --seed 3 --threads 1",
    "sample -m tanh --min-p 0.1 -n 150 --seed 4 --threads 1",
    "sample -m ensemble --top-k 20 --top-p 0.95 --min-p 0.02 -t 1.2 -n 150 --seed 5 --threads 2",
    "sample -m gru --count 40 --stop '\n' -n 30 --seed 6 --threads 1",
    "sample -m lines --count 40 --stop '\n' --stop '. ' -n 40 --seed 7 --threads 2",
    "sample -m ensemble --count 40 -n 12 -p 'The ' --seed 8 --threads 1",
    "sample -m lstm --count 3 --json -n 20 --seed 9 --threads 1",
    "sample -m gru --regex '[A-Z][a-z]{2,8}( [a-z]+){1,3}[.!?]' --count 8 --seed 10 --threads 1",
    "sample -m lines --no-copy 5 -t 0.3 -n 150 --seed 11 --threads 1",
    "sample -m unknown --only 'aehnorst \n' --ban h -n 100 --seed 12 --threads 1",
    "sample -m unknown --unknown skip -p 'Fish & soup, 2 sous' -n 40 --seed 13 --threads 1",
    "sample -m nfd -p 'Benoît, Zoë' -n 60 --seed 14 --threads 1",
    *(f"info -m {name} --json" for name in KEEP if name not in ("relu", "lines")),
    *(f"eval -m {name} --json --threads 1 text.txt odd.txt" for name in KEEP),
    "eval -m lines --json --threads 1 long.txt",
    "eval -m ensemble --json --threads 2 long.txt",
    "eval -m gru --against lstm --against tanh --threads 1 text.txt begun.txt",
    "eval -m gru --lines --threads 1 text.txt",
    "eval -m relu --lines --json --threads 2 begun.txt",
    "eval -m gru --lines --against lines --against unknown --threads 1 odd.txt",
    "eval -m lines --lines --threshold 3.6 --below --threads 1 - < text.txt",
    "eval -m gru --per-char --threads 1 - < begun.txt",
    "eval -m ensemble --per-char --json --threads 1 name.txt",
    "eval -m gru --next 5 --threads 1 - < begun.txt",
    "eval -m lines --next 5 --json --threads 1 name.txt",
    "eval -m gru --dynamic --json --threads 1 text.txt",
    "eval -m ensemble --dynamic --threads 1",
    "eval -m gru --against-baselines --threads 1",
    "eval -m unknown --against-baselines --json --threads 1 odd.txt",
    "eval -m gru --novelty --threads 1",
    "eval -m unknown --novelty --json --threads 1 begun.txt odd.txt",
    "eval -m gru --neurons --threads 1 --color never text.txt",
    "eval -m lstm --neurons --json --threads 1 text.txt",
    "eval -m lstm --neuron 1:3 --json --threads 1 name.txt",
    "eval -m tanh --heatmap --threads 1 --color never odd.txt",
    "eval -m lstm --memory --threads 1 begun.txt",
    "eval -m tanh --memory --json --threads 1 name.txt",
]


def write_texts(folder: Path) -> None:
    """Write the text and texts made from it: one with new symbols, short ones, an odd one, a long one."""
    text = (KEPT / "text.txt").read_text("utf-8")
    (folder / "text.txt").write_text(text, "utf-8")
    (folder / "more.txt").write_text(text[1500:] + "Łódź: 8 × 9 = 72\n", "utf-8")
    (folder / "begun.txt").write_text(text[200:420], "utf-8")
    (folder / "name.txt").write_text(text[:40], "utf-8")
    (folder / "odd.txt").write_text("Fish & soup\t(☃☃)\n\nwater THE water, the 9 doors?\nZoë", "utf-8")
    (folder / "long.txt").write_text(text * 8, "utf-8")


def write_models(folder: Path) -> None:
    """Copy the models to where the program finds them by name."""
    (folder / "checkpoints").mkdir()
    for name in KEEP:
        shutil.copy(KEPT / f"{name}.npz", folder / "checkpoints")


def training(name: str) -> list[str]:
    """Return the command of a run without its budget."""
    tiny = TINY.replace("--dropout 0 ", "") if name == "unknown" else TINY
    given = RUNS[name]
    if "--init-from" in given:  # the network comes from the model
        tiny = tiny.split("--num-layers 1 ")[1]
    return ["train", "more.txt" if "--init-from" in given else "text.txt", "-m", name, *f"{tiny} {given}".split()]


def run(command: Iterable[object], folder: Path, steps: int) -> str:
    """Train up to a step; return the events, one per line, without times."""
    records = ok(*command, "--steps", steps, cwd=folder).records
    told = [{key: value for key, value in record.items() if key not in (*TIMES, *ADDED)} for record in records]
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in told)


def read(command: str, folder: Path) -> Result:
    """Run a command that writes nothing into the folder; at its end there may be a text for its stdin."""
    line, _, source = command.partition(" < ")
    return ok(*shlex.split(line), input=(folder / source).read_bytes() if source else b"", cwd=folder)


def as_version_1(data: bytes) -> bytes:
    """Return the bytes that a model file would have had before version 2, which adds the losses of the steps to it."""
    with np.load(io.BytesIO(data)) as file:
        arrays = dict(file)
    manifest = json.loads(arrays.pop("manifest").tobytes())
    if manifest["version"] == 2:
        del arrays["losses"], manifest["sha256"]["losses"]
        manifest.pop("thresholds", None)
        manifest.pop("unlike", None)
    environment = manifest["environment"]
    environment["blas"] = environment["blas"].removesuffix(CUT)
    text = json.dumps(manifest | {"version": 1}, indent=1).encode()
    return pack({"manifest": np.frombuffer(text, np.uint8), **arrays})


def without_added(text: str) -> str:
    """Return an output of JSON objects without the keys that were added."""
    spans = r', "spans": \[(\[[^]]*\](, )?)*\]'
    return re.sub("|".join([*(f', "{key}": [^,}}]+' for key in ADDED), spans]), "", text)


def manifest_of(data: bytes) -> dict[str, Any]:
    """Return what a model file says of itself, with its history, and without the digests of its arrays."""
    with np.load(io.BytesIO(data)) as arrays:
        manifest: dict[str, Any] = json.loads(arrays["manifest"].tobytes())
        manifest["history"] = arrays["history"].tolist()
    del manifest["sha256"]
    return manifest


def digest(data: bytes) -> str:
    """Return the SHA-256."""
    return hashlib.sha256(data).hexdigest()


def outcome(path: Path, events: str) -> dict[str, Any]:
    """Return what is expected of a run: its file, what it told, and of the file what another processor gets as well."""
    data = as_version_1(path.read_bytes())
    manifest = {key: value for key, value in manifest_of(data).items() if key != "environment"}
    return {"sha256": digest(data), "events": digest(events.encode()), "manifest": manifest}


# ---- making the fixtures ----


def made(name: str, folder: Path) -> dict[str, Any]:
    """Carry out a run in parts and at once; leave the half-way model, and keep it if it is one to keep."""
    path, command = folder / "checkpoints" / f"{name}.npz", training(name)
    halfway = outcome(path, run(command, folder, HALF))
    data = path.read_bytes()
    resumed = outcome(path, run([*command, "--resume"], folder, WHOLE))
    whole = outcome(path, run([*command, "--force"], folder, WHOLE))
    path.write_bytes(data)
    if name in KEEP:
        (KEPT / path.name).write_bytes(data)
    del halfway["manifest"]
    return {"command": shlex.join(command), "halfway": halfway, "resumed": resumed, "whole": whole}


def make(commit: str) -> None:
    """Write the models and expected.json, with a line for each run and for each command."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_texts(folder)
        runs = {name: made(name, folder) for name in RUNS}
        results = {command: read(command, folder) for command in READS}
        environment = manifest_of((folder / "checkpoints" / "gru.npz").read_bytes())["environment"]
    reads = {command: {"out": result.text} for command, result in results.items()}
    parts = {"made by": {"commit": commit, **environment}, "runs": runs, "reads": reads}
    text = ",\n".join(f'"{name}": {{\n{in_lines(part)}\n}}' for name, part in parts.items())
    (KEPT / "expected.json").write_text(f"{{\n{text}\n}}\n", "utf-8")


def in_lines(entries: dict[str, Any]) -> str:
    """Return the entries of a JSON object, a line each."""
    return ",\n".join(
        f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in entries.items()
    )


if __name__ == "__main__":
    make(*sys.argv[1:])
