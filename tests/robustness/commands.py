"""Random command lines on random texts."""

import os
import re
import resource
from pathlib import Path
from typing import Any

import numpy as np
import typer

from charrnn.cli import app
from charrnn.training import estimate as estimate
from tests.helpers.command import charrnn
from tests.robustness.experiment import OPTIONS, TEXT, Experiment, ended, forked, measured

LIMITS = {resource.RLIMIT_AS: 4 << 30, resource.RLIMIT_NOFILE: 64}  # bytes, descriptors
SECONDS, ALONE = 20, 50  # of a command at most; one in this many runs in a new interpreter
VALUES = (
    *(
        "0",
        "1",
        "2",
        "3",
        "7",
        "-1",
        "0.5",
        "1.0",
        "1e-3",
        "nan",
        "inf",
        "1e999",
        "9" * 30,
        "",
        " ",
        "-",
        "--",
        "a",
        "b",
    ),
    *("a.npz", "a.txt", "./a.txt", "none", "nope.txt", ".", "/", "./", "\udcff", "é\u202e\x1b[2J", "[/x]"),
    *(
        "rnn",
        "lstm",
        "gru",
        "relu",
        "sgd",
        "adam",
        "linear",
        "nfc",
        "utf-16",
        "latin-1",
        "rot13",
        "auto",
        "1s",
        "x" * 300,
    ),
)
AMOUNTS = {"--steps", "--epochs", "--time", "--length", "-n", "--count", "--patience"}
LONG = {"-1", "3", "7", "9" * 30}  # values with which AMOUNTS would take too long


COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group


def names(command: str, flags: bool) -> list[str]:
    """Return the options of a command with or without a value, except --debug."""
    options = [
        option for option in COMMANDS[command].params if option.opts[-1].startswith("-") and option.name != "debug"
    ]
    return [name for option in options if option.is_flag == flags for name in option.opts]


def any_line(draw: np.random.Generator) -> list[str]:
    """Draw a command line: a command, some of its options, valid and invalid values, existing and missing texts."""

    def one_of(choices: object) -> str:
        pool = list(choices)  # type: ignore[call-overload]
        return str(pool[draw.integers(len(pool))])

    name = one_of(["train", "train", *COMMANDS])
    line = [
        name,
        *(["--steps", "2", *map(str, OPTIONS)] if name == "train" else ["--length", "9"] if name == "sample" else []),
    ]
    for _ in range(draw.integers(5)):
        option, value = one_of(names(name, flags=False)), one_of(VALUES)
        line += [option, "1" if option in AMOUNTS and value in LONG else value]
    line += [one_of([*names(name, flags=True), "--no-such"]) for _ in range(draw.integers(3))]
    if name in ("train", "eval"):
        line += [one_of(["a.txt", "noise.txt", "nope.txt", "-", ".", "\udcff"]) for _ in range(draw.integers(3))]
    return line if draw.integers(20) else [*line[: draw.integers(len(line))], one_of(VALUES)]


def any_text(draw: np.random.Generator) -> bytes:
    """Draw the bytes of a text: noise, noise of a few characters, or a text with one byte changed."""
    match draw.integers(4):
        case 0:
            return draw.bytes(int(draw.integers(3000)))
        case 1:
            return bytes(draw.choice(list(b"a\n\0\xef\xbb\xbf\r"), int(draw.integers(300))))
        case 2:
            pieces = [
                "\u202e",
                "\u200b",
                "\x1b[31m",
                "\r\n",
                "é",
                "e\u0301",
                "漢",
                "\U0010ffff",
                "\u2028",
                "a",
                "b",
            ]
            return "".join(draw.choice(pieces, int(draw.integers(900)))).encode()
        case _:
            text = bytearray(TEXT.encode())
            text[draw.integers(len(text))] = draw.integers(256)
            return bytes(text)


class Commands(Experiment):
    """A random command line exits with 0, 1 or 2; a failure is one line; there is never a traceback."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        os.chdir(folder)
        (folder / "a.txt").write_text(TEXT)
        assert ended(forked(folder, "train", "a.txt", *OPTIONS, "--steps", 2, "-q")) == 0
        self.model = (folder / "checkpoints" / "a.npz").read_bytes()
        estimate.STEP_SECONDS = estimate.VALIDATION_SECONDS = 0.01  # --dry-run need not be accurate
        self.before = {what: resource.getrlimit(what) for what in LIMITS}
        for what, limit in LIMITS.items():
            resource.setrlimit(what, (limit, self.before[what][1]))

    def attempt(self, number: int) -> str:
        """Run a command line; return a description if its end is wrong."""
        draw = np.random.default_rng([number, 6])
        line, noise = any_line(draw), any_text(draw)
        for path, content in {"a.txt": TEXT.encode(), "noise.txt": noise, "checkpoints/a.npz": self.model}.items():
            (self.folder / path).write_bytes(content)
        code, err = self.run(line, alone=number % ALONE == ALONE - 1)
        words = f"{line}: exit {code}: {err!r}"
        if code not in (0, 1, 2) or "Traceback" in err:
            return words
        failed = [text for text in err.splitlines() if text.startswith("charrnn: ")]
        if len(failed) != (code > 0) and not (code == 2 and "Usage:" in err):
            return words
        return words if re.search(r"\x1b|\u202e", err) else ""

    def close(self) -> None:
        """Remove the limits."""
        for what, limits in self.before.items():
            resource.setrlimit(what, limits)

    def run(self, line: list[str], alone: bool) -> tuple[int, str]:
        """Run a command line in a fork or in a new interpreter; return its exit code and stderr."""
        if alone and not any("\0" in word for word in line):
            result = charrnn(*line, cwd=self.folder)
            return result.code, result.err
        code, _, _ = measured(forked(self.folder, *line), SECONDS)
        return code, (self.folder / "stderr").read_text("utf-8", "replace")
