"""Unusual and hostile texts, and models from strangers."""

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import TextError
from charrnn.data.reading import characters
from tests.helpers.command import NETWORK, charrnn, ok, on_terminal, refused
from tests.helpers.files import with_entry

HOSTILE = "\x1b]0;title\x07\x1b[2J\x1b[31m\x9b31m\u202e\u2066\x08\r\x7f\0"
RAW = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # control characters for a terminal
SCRIPTS = "שלום مرحبا \u200b\u200d\u200f\ufeff e\u0301 👩\u200d👩\u200d👧 \u2028 \U000e0041 漢字\n"


def controls_in(text: str) -> list[str]:
    """Return the control characters in the output on a terminal, except the line ends and returns of a progress bar."""
    return RAW.findall(text.replace("\r", ""))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"abc\xed\xa0\x80def" * 50, ("byte 3", "--encoding")),
        (b"a\n" + bytes([0xC0, 0x80]) * 50, ("byte 2",)),
        (b"\xff\xfeh\0i\0" * 50, ("byte 0",)),
        (b"\0" * 500, ("U+0000",)),
        ("\u200b".encode() * 500, ("U+200B",)),
        (b"a", ("U+0061",)),
    ],
    ids=["lone surrogates", "overlong NULs", "UTF-16", "NULs", "zero-width spaces", "one letter"],
)
def test_input_that_is_not_text_is_refused(work: Path, content: bytes, words: tuple[str, ...]) -> None:
    (work / "bad.txt").write_bytes(content)
    refused(charrnn("train", "bad.txt", *NETWORK, "--steps", 2), 1, "bad.txt", *words)


def test_every_character_can_be_trained_sampled_and_scored(work: Path) -> None:
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x3000, 97), 0x10FFFF])).replace("\r", "")[:50_000]
    (work / "all.txt").write_text(text + SCRIPTS * 40, newline="")
    small = ("--hidden-size", 2, "--num-layers", 1, "--embed-size", 2, "--batch-size", 1, "--seq-len", 32)
    ok("train", "all.txt", *small, "--steps", 2, "--val-fraction", 0.002, "-q")
    vocab = CheckpointStore(Path("checkpoints/all.npz")).load().vocab
    assert len(vocab) > 49_000
    written = ok("sample", "-n", 500, "--seed", 1, "-t", 3, "-q").text
    assert len(set(written)) > 400
    (scored,) = ok("eval", "-", "--json", input=written.encode()).records
    assert (scored["chars"], scored["unknown"]) == (len(written), 0)


def test_ten_megabytes_without_a_newline_can_be_trained_on(work: Path) -> None:
    (work / "long.txt").write_bytes(b"abcdefghij" * 1_000_000)
    limits = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))"
    line = ("train", "long.txt", *NETWORK, "--steps", 2, "--val-fraction", 0.00001, "--json", "-q")
    assert ok(*line, prelude=limits).records[0]["chars"] == 10_000_000


def test_no_control_characters_reach_a_terminal(work: Path) -> None:
    name = f"{HOSTILE}.txt".replace("\0", "")
    (work / name).write_text((HOSTILE + "abc\n") * 90, newline="")
    line = ("train", name, *NETWORK, "--seq-len", 8, "--steps", 2, "--color", "never")
    loud = on_terminal(*line, "--resume")
    assert loud.code == 0, loud.err
    for args in (("sample", "-n", 99), ("sample", "-p", HOSTILE.replace("\0", ""), "-n", 9), ("info",), ("eval", name)):
        shown = on_terminal(*args, "--color", "never")
        assert controls_in(shown.text + shown.err) == []
    assert controls_in(loud.text) == []
    assert controls_in(loud.err.replace("\x1b[A", "")) == []


NAME = HOSTILE.replace("\0", "") + "\ncharrnn: forged\u2028\t"  # of a file, which may have such a name
COMMANDS = (
    ("info",),
    ("eval",),
    ("train", "--resume", "-m", "a"),
    ("train", "a.txt", "--resume"),
    ("train", "a.txt", "--resume", "--dry-run"),
    ("sample", "-n", 9, "--no-copy", 9, "--ban", "\x1b"),  # which is in the training text
)


@pytest.fixture
def hostile(model: Path) -> Path:
    """A model whose file has hostile names of texts and of the model that it started from."""
    data = with_entry(with_entry(model.read_bytes(), "origin/sources", [NAME, NAME]), "init_from", NAME)
    model.write_bytes(data)
    return model


def test_no_control_characters_of_a_model_reach_a_terminal(hostile: Path) -> None:
    for args in COMMANDS:
        shown = on_terminal(*args, "--color", "never")
        assert controls_in(shown.text + shown.err.replace("\x1b[A", "")) == []
        assert "Traceback" not in shown.err
    assert json.loads(on_terminal("info", "--json").text)["init_from"] == NAME


def test_names_in_a_model_forge_no_lines_and_escape_nothing_in_a_pipe(hostile: Path) -> None:
    assert json.loads(ok("info", "--json").text)["corpus"]["sources"] == [NAME, NAME]
    for args in COMMANDS:
        piped = charrnn(*args)
        assert RAW.findall(piped.text + piped.err) == []
        assert not re.search(r"^charrnn: forged|\u2028", piped.text + piped.err, re.MULTILINE)


MODES = ("--lines", "--per-char", "--novelty", "--neurons", "--dynamic", "--against-baselines", "--heatmap")


@pytest.mark.parametrize("text", ["abc", "ab\ncd ", "a b. c\nd"])
def test_texts_of_a_few_characters_are_trained_on_and_scored_in_every_mode(work: Path, text: str) -> None:
    Path("few.txt").write_text(text)
    for part in (0, 0.2):
        size = ("--batch-size", 1, "--seq-len", 2, "--hidden-size", 4, "--steps", 2)
        ok("train", "few.txt", *size, "--val-fraction", part, "-m", "few", "--force", "-q")
    for mode in MODES:
        assert ok("eval", "few.txt", "-m", "few", mode, "-q").text, mode
    refused(charrnn("eval", "few.txt", "-m", "few", "--memory", "-q"), 1, "too few to measure")


ENCODINGS = ("utf-8", "utf-16", "utf-7", "latin-1", "shift_jis", "gb18030", "iso2022_jp", "hz", "idna", "punycode")


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.binary(max_size=60), st.integers(1, 60), st.sampled_from(ENCODINGS), st.sampled_from(["none", "nfc", "nfd"]))
def test_any_bytes_are_text_or_a_text_error(data: bytes, size: int, encoding: str, form: str) -> None:
    blocks = [data[begin : begin + size] for begin in range(0, len(data), size)]
    with suppress(TextError):
        assert isinstance("".join(characters(blocks, "x", encoding, form, [])), str)
