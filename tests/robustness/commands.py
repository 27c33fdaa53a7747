"""Command lines put together at random, on texts of random bytes."""

import os
import re
import resource
import signal
from pathlib import Path

import numpy as np

from tests.helpers.command import charrnn
from tests.robustness.experiment import OPTIONS, TEXT, Experiment, ended, forked

LIMIT, SECONDS, ALONE = 4 << 30, 20, 50  # bytes of memory, seconds, and every how many goes through a new interpreter
VALUES = (
    *("0", "1", "2", "3", "7", "-1", "0.5", "1.0", "1e-3", "nan", "inf", "1e999", "9" * 30, "", " ", "-", "--", "a", "b"),
    *("a.npz", "a.txt", "./a.txt", "none", "nope.txt", ".", "/", "/dev/null", "\0", "\udcff", "é\u202e\x1b[2J", "[/x]"),
    *("rnn", "lstm", "gru", "relu", "sgd", "adam", "linear", "nfc", "utf-16", "latin-1", "rot13", "auto", "1s", "x" * 300),
)
OPTIONS_OF = {
    "train": (
        "--model --cell --activation --hidden-size --num-layers --embed-size --dropout --variational-dropout --zoneout "
        "--ensemble --seq-len --batch-size --optimizer --lr --schedule --warmup --weight-decay --grad-clip --val-fraction "
        "--eval-every --patience --save-every --init-from --min-count --encoding --normalize --seed --threads --color"
    ).split(),
    "sample": "--model --length --prompt --prompt-file --temperature --count --seed --unknown --color".split(),
    "eval": "--model --color".split(),
    "info": "--model --color".split(),
}
FLAGS = {
    "train": "--resume --force --lines --dry-run --json --quiet -q --no-such".split(),
    "sample": "--no-echo --json --quiet --bogus".split(),
    "eval": "--json --against-baselines --dynamic --quiet".split(),
    "info": "--json --quiet --help".split(),
}
ENDLESS = {("--length", "-1"), ("--length", "9" * 30), ("--count", "9" * 30)}  # do as they are told


def any_line(draw: np.random.Generator) -> list[str]:
    """Draw a command line: a command, some of its options, values that fit or not, texts that are there or not."""

    def one_of(choices: object) -> str:
        pool = list(choices)  # type: ignore[call-overload]
        return str(pool[draw.integers(len(pool))])

    name = one_of(["train"] * 4 + ["sample"] * 2 + ["eval", "info"])
    line = [name, *(["--steps", "2", *OPTIONS] if name == "train" else ["--length", "9"] if name == "sample" else [])]
    for _ in range(draw.integers(5)):
        pair = (one_of(OPTIONS_OF[name]), one_of(VALUES))
        line += pair if pair not in ENDLESS else ()
    line += [one_of(FLAGS[name]) for _ in range(draw.integers(3))]
    if name in ("train", "eval"):
        line += [one_of(["a.txt", "noise.txt", "nope.txt", "-", ".", "\udcff"]) for _ in range(draw.integers(3))]
    return line if draw.integers(20) else [*line[: draw.integers(len(line))], one_of(VALUES)]


def any_text(draw: np.random.Generator) -> bytes:
    """Draw bytes: noise, noise of few kinds, or a text with noise in it."""
    match draw.integers(4):
        case 0:
            return draw.bytes(int(draw.integers(3000)))
        case 1:
            return bytes(draw.choice(list(b"a\n\0\xef\xbb\xbf\r"), int(draw.integers(300))))
        case 2:
            pieces = ["\u202e", "\u200b", "\x1b[31m", "\0", "\r\n", "é", "e\u0301", "漢", "\U0010ffff", "\u2028", "a", "b"]
            return "".join(draw.choice(pieces, int(draw.integers(900)))).encode()
        case _:
            text = bytearray(TEXT.encode())
            text[draw.integers(len(text))] = draw.integers(256)
            return bytes(text)


class Commands(Experiment):
    """A command line at random ends with 0, 1 or 2; a failure is one line; there is never a traceback."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        os.chdir(folder)
        self.codes = [0, 0, 0]
        (folder / "a.txt").write_text(TEXT)
        assert ended(forked(folder, "train", "a.txt", *OPTIONS, "--steps", 2, "-q")) == 0
        self.model = (folder / "checkpoints" / "a.npz").read_bytes()
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    def attempt(self, number: int) -> str:
        """Run a command line; return what it did that it should not have."""
        draw = np.random.default_rng([number, 6])
        line, noise = any_line(draw), any_text(draw)
        for path, content in {"a.txt": TEXT.encode(), "noise.txt": noise, "checkpoints/a.npz": self.model}.items():
            (self.folder / path).write_bytes(content)
        code, out, err = self.run(line, alone=number % ALONE == ALONE - 1)
        words = f"{line}: exit {code}: {err!r}"
        if code not in (0, 1, 2) or "Traceback" in err:
            return words
        failed = [text for text in err.splitlines() if text.startswith("charrnn: ")]
        if len(failed) != (code > 0) and not (code == 2 and "Usage:" in err):
            return words
        return words if re.search(r"\x1b|\u202e", err) else ""

    def run(self, line: list[str], alone: bool) -> tuple[int, str, str]:
        """Run a line in a fork, or now and then in an interpreter of its own; return code, stdout and stderr."""
        if alone and not any("\0" in word for word in line):
            result = charrnn(*line, cwd=self.folder)
            return result.code, result.out.decode("utf-8", "replace"), result.err
        process = forked(self.folder, *line, stdout=self.folder / "stdout")
        signal.signal(signal.SIGALRM, lambda *_: os.kill(process, signal.SIGKILL))
        signal.alarm(SECONDS)
        code = ended(process)
        signal.alarm(0)
        said = [(self.folder / name).read_text("utf-8", "replace") for name in ("stdout", "stderr")]
        return code, said[0], said[1]
