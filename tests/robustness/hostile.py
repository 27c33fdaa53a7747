"""Model files that are valid but for what they say: hostile names, values at the edge, and headers by their grammar."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.files import manifest_of, npy, with_manifest
from tests.robustness.experiment import OPTIONS, TEXT, Experiment, ended, forked, measured
from tests.robustness.fuzz import Loads, Mutator, assembled

SECONDS = 20.0  # of a command
FORGED = "charrnn: forged"
CONTROLS = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
TEXTS = (
    *(f"\n{FORGED}\n", f"\r\n{FORGED}", f"a.txt\x1b[2J\n{FORGED}", "\x1b]0;title\x07", "\x9b31m", "\u202etxt.a", "\t"),
    *(f"\u2028{FORGED}", f"\x0b{FORGED}", f"\x85{FORGED}", "[/x]", "[bold]", "%s%n{}", "", " ", "-", "--help", "."),
    *("/", "..", "\udcff", "\ud800", "\0", "a\0b", "x" * 5000, "é" * 300, "a.txt", "./a.txt", "../a.txt", "$(id)"),
    *("/dev/zero", "/dev/stdin", "/proc/self/environ", "https://example.org/a.txt", "rot13", "idna", "nfkc", "utf-16"),
)
NUMBERS = (
    *(0, 1, 2, 3, 7, 255, 65535, 65536, 2**31 - 1, 2**53 - 1, 2**63 - 1, 2**63, -1),
    *(0.0, -0.0, 0.5, 1.0, 0.999, 1e-320, 1e-300, 1e300, 1.7e308, -1e300, 1e16),
)
COMMANDS = (
    ("info",),
    ("info", "--json"),
    ("sample", "-n", 5, "--seed", 1),
    ("sample", "-n", 5, "--seed", 1, "--no-copy", 9),
    ("eval",),
    ("eval", "a.txt"),
    ("eval", "a.txt", "--json"),
    ("eval", "--novelty", "a.txt"),
    ("train", "--resume", "--dry-run", "--json"),
    ("train", "a.txt", "--resume", "--steps", 3),
    ("train", "a.txt", "--resume", "--steps", 3, "--json"),
)


def changed(node: Any, draw: np.random.Generator) -> Any:
    """Return a value of a manifest with hostile texts and numbers in some places, most of them of the same type."""
    if isinstance(node, dict):
        return {changed(k, draw) if draw.random() < 0.01 else k: changed(v, draw) for k, v in node.items()}
    if isinstance(node, list):
        return [changed(item, draw) for item in node for _ in range(draw.integers(1, 4))]
    if draw.random() > 0.12:
        return node
    if isinstance(node, str):
        return TEXTS[draw.integers(len(TEXTS))]
    if isinstance(node, bool) or node is None:
        return (True, False, None, TEXTS[draw.integers(len(TEXTS))])[draw.integers(4)]
    number = NUMBERS[draw.integers(len(NUMBERS))]
    return type(node)(number) if draw.random() < 0.9 else number


class Strings(Experiment):
    """A command reads a model with a hostile manifest: it must be refused, or shown without harm, in a pipe."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "a.txt").write_text(TEXT)
        line = ("train", "a.txt", *OPTIONS, "--hidden-size", 2, "--steps", 2, "-m", "m.npz", "-q")
        assert ended(forked(folder, *line)) == 0
        self.model = (folder / "m.npz").read_bytes()
        self.manifest = manifest_of(self.model)

    def attempt(self, number: int) -> str:
        """Change the manifest and run a command; return a description of a wrong end."""
        draw = np.random.default_rng([number, 8])
        fixed = {name: self.manifest[name] for name in ("format", "version", "sha256")}
        parts = {name: value for name, value in self.manifest.items() if name not in fixed}
        for name in draw.permutation(sorted(parts))[: draw.integers(1, 4)]:
            parts[str(name)] = changed(parts[str(name)], draw)
        try:
            data = with_manifest(self.model, json.dumps(fixed | parts))
        except UnicodeEncodeError:
            return ""
        (self.folder / "m.npz").write_bytes(data)
        command = COMMANDS[draw.integers(len(COMMANDS))]
        code, _, _ = measured(forked(self.folder, *command, "-m", "m.npz", stdout="stdout"), SECONDS)
        out, err = ((self.folder / name).read_bytes().decode("utf-8", "replace") for name in ("stdout", "stderr"))
        wrong = self.wrong(code, out, err, "--json" in command)
        return f"{wrong}: {command}: exit {code}: {err!r} {out[:300]!r}: {fixed | parts}" if wrong else ""

    def wrong(self, code: int, out: str, err: str, is_json: bool) -> str:
        """Return what is wrong with the end of a command, empty if nothing is."""
        if code not in (0, 1, 2) or "Traceback" in err:
            return "a traceback, or no end"
        lines = [line for line in err.split("\n") if line.startswith("charrnn: ")]
        if len(lines) != (code > 0) or FORGED in lines:
            return "a forged line"
        if CONTROLS.search(err):
            return "control characters on stderr"
        if not is_json:
            return "control characters on stdout" if CONTROLS.search(out.replace("\x1b[2m", "")) else ""
        try:
            [json.loads(line) for line in out.split("\n")[:-1]]
        except ValueError:
            return "no JSON"
        return ""


class HeaderMutator(Mutator):
    """Gives a member of a model file a header that the grammar of headers produces, or nearly so."""

    def mutated(self, draw: np.random.Generator) -> bytes:
        """Return a file with another header, and every other time with another array behind it."""
        name = list(self.parts)[draw.integers(len(self.parts))]
        array = np.zeros(draw.integers(4), "<f4") if draw.integers(2) else np.frombuffer(self.parts[name][128:], "|u1")
        return assembled(self.parts | {name: npy(array, any_header(draw))})


ATOMS = (
    *("'<f4'", "'<f8'", "'|u1'", "'<u4'", "'>f4'", "'|O'", "'<U9'", "'V8'", "'f4,O'", "'2f4'", "''", "'<f'", "'\\<f4'"),
    *("()", "(1,)", "(1, 3)", "(2, 2)", "(0,)", "(-1, 3)", "(True,)", "(1.0,)", "(9**9,)", "(1,)*9", "[1]", "{}", "1"),
    *("None", "True", "False", "Ellipsis", "1j", "b'<f4'", "'<f4' '<f4'", "f'{1}'", "lambda: 0", "[('a', '<f4')]"),
    *("[('a', [('b', '<f4')])]", "[((), '<f4')]", "{'names': ['a'], 'formats': ['<f4']}", "print(1)", "0x7f", "1_0"),
    *("9" * 400, "(" * 99, "'" * 3, "'a' * 9", "-1", "~1", "1L", "(1L,)", "#", "\\", "\0", "\u0661", "*()", "**{}"),
)
KEYS = ("'descr'", "'fortran_order'", "'shape'", "'more'", "b'shape'", "descr", "1", "()", "[]", "**{}")


def any_header(draw: np.random.Generator) -> str:
    """Draw a header: a dictionary with expected and unexpected keys, values and spaces, sometimes cut or repeated."""

    def one_of(choices: tuple[str, ...]) -> str:
        return choices[draw.integers(len(choices))]

    right = {"'descr'": "'<f4'", "'fortran_order'": "False", "'shape'": "(2,)"}
    items = list(right.items())
    for _ in range(draw.integers(1, 4)):
        at = int(draw.integers(len(items) + 1))
        match draw.integers(5):
            case 0:
                items.insert(at, (one_of(KEYS), one_of(ATOMS)))
            case 1 if items:
                del items[at % len(items)]
            case 2 if items:
                items[at % len(items)] = (one_of(KEYS), items[at % len(items)][1])
            case _ if items:
                items[at % len(items)] = (items[at % len(items)][0], one_of(ATOMS))
            case _:
                pass
    space = one_of(("", " ", "  ", "\t", "\f", "\u00a0"))
    text = (
        "{" + f",{space}".join(f"{key}:{space}{value}" for key, value in items) + one_of((", }", "}", "", ",,}", "}}"))
    )
    return text[: draw.integers(len(text))] if draw.integers(16) == 0 else text + " " * int(draw.integers(60))


class Headers(Loads):
    """Files with headers of members by their grammar are loaded."""

    mutator_of = HeaderMutator
    seed = 9
