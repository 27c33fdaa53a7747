import math
import shutil
import subprocess
from pathlib import Path
from typing import IO

import pytest

from tests.helpers.command import ENVIRONMENT, NETWORK, TEXT, charrnn, command, ok, on_terminal, refused

pytestmark = pytest.mark.usefixtures("model")

FIGURES = ["chars", "unknown", "nats_per_char", "bits_per_char", "perplexity", "accuracy"]
KEYS = ["text", "line", "model", *FIGURES, "line_number", "spans"]
LINES = [
    "7 größere foxes",
    "",
    "\tfox\thens.",
    "9 ☃ hens than",
    "foxes foxes foxes",
    "than 7 hens",
]  # the last does not end
WHOLE = "\n".join(LINES)


def write(name: str, text: str) -> None:
    Path(name).write_bytes(text.encode())


@pytest.fixture(scope="session")
def geese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of another text, with an unknown symbol."""
    folder = tmp_path_factory.mktemp("geese")
    (folder / "b.txt").write_text("".join(f"MANY GEESE {n}!\n" for n in range(300)) + "Q")
    ok("train", "b.txt", *NETWORK, "--steps", 40, "--min-count", 2, "-q", cwd=folder)
    return folder / "checkpoints" / "b.npz"


@pytest.fixture
def other(model: Path, geese: Path) -> None:
    """The model `geese` as b, next to the model a."""
    shutil.copy(geese, model.parent)


# ---- --lines ----


def test_each_line_has_a_row_of_bits_and_the_unchanged_line() -> None:
    write("b.txt", WHOLE)
    result = ok("eval", "-m", "a", "--lines", "b.txt")
    rows = [row.split("\t", 1) for row in result.text.removesuffix("\n").split("\n")]
    assert [line for _, line in rows] == LINES
    records = ok("eval", "-m", "a", "--lines", "--json", "-", "-q", input=WHOLE.encode()).records
    assert [bits for bits, _ in rows] == [f"{record['bits_per_char']:.4f}" for record in records]
    assert result.err == "b.txt: left out 1 characters that the model does not know\n"


def test_json_has_the_line_and_the_scores_that_a_text_would_have() -> None:
    records = ok("eval", "-m", "a", "--lines", "--json", "-", "-q", input=WHOLE.encode()).records
    assert all(list(record) == KEYS for record in records)
    assert [record["line"] for record in records] == LINES
    assert [record["chars"] for record in records] == [len(line) + 1 - line.count("☃") for line in LINES[:-1]] + [
        len(LINES[-1])
    ]
    assert [record["unknown"] for record in records] == [line.count("☃") for line in LINES]
    alone = [ok("eval", "-m", "a", "-", "--json", "-q", input=f"{line}\n".encode()).records for line in LINES[:-1]]
    for record, (text,) in zip(records, alone, strict=False):
        for key in FIGURES:
            assert record[key] == pytest.approx(text[key], rel=1e-5)


def test_bulk_has_the_same_bytes_on_any_number_of_cores_and_through_a_pipe() -> None:
    lines = [f"{n % 700} hens, {n} foxes\n" for n in range(9_000)]  # enough to be shared, some of them equal
    write("bulk.txt", "".join(lines))
    line = ("eval", "-m", "a", "--lines", "--score", "peak:3", "-q", "--json")
    alone, shared = (ok(*line, "bulk.txt", "--threads", threads).text for threads in (1, 2))
    assert shared == alone
    assert shared.count("\n") == len(lines)
    piped = ok(*line, "-", "--threads", 2, input="".join(lines).encode()).text
    assert piped == alone.replace('"text": "bulk.txt"', '"text": "-"')


def test_a_line_of_unknown_characters_has_no_figures() -> None:
    (record,) = ok("eval", "-m", "a", "--lines", "--json", "-", "-q", input="☃☃".encode()).records
    assert [record[key] for key in FIGURES] == [0, 2, None, None, None, None]
    assert ok("eval", "-m", "a", "--lines", "-", "-q", input="☃☃".encode()).text == "-\t☃☃\n"
    assert ok("eval", "-m", "a", "--lines", "-", input=b"").out == b""


def test_many_lines_are_written_in_order_with_the_scores_they_have_alone() -> None:
    many = [f"{n} foxes{' than' * (n % 9)}" for n in range(3000)]
    rows = ok("eval", "-m", "a", "--lines", "-", input="\n".join(many).encode()).text.splitlines()
    assert [row.split("\t")[1] for row in rows] == many
    assert rows[1234] + "\n" == ok("eval", "-m", "a", "--lines", "-", input=many[1234].encode() + b"\n").text


def test_the_number_of_cores_changes_no_bit_of_a_score() -> None:
    line = ("eval", "-m", "a", "--lines", "--json", "a.txt", "--threads")
    assert ok(*line, 1).out == ok(*line, 3).out


def test_lines_of_several_texts_are_in_order_and_without_a_text_those_of_the_held_out_part() -> None:
    write("b.txt", "one\ntwo")
    rows = ok("eval", "-m", "a", "--lines", "b.txt", "-", input=b"three\n").text.splitlines()
    assert [row.split("\t")[1] for row in rows] == ["one", "two", "three"]
    rows = ok("eval", "-m", "a", "--lines").text.splitlines()
    assert "\n".join(row.split("\t", 1)[1] for row in rows) + "\n" == TEXT[int(len(TEXT) * 0.9) :]


def test_a_line_is_scored_when_it_arrives() -> None:
    """As after `tail -f`: each row is read before the next line is written."""
    process = subprocess.Popen(
        command("eval", "-m", "a", "--lines", "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
        bufsize=0,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin
    assert stdout
    for line in ("7 foxes", "", "3 hens"):
        stdin.write(f"{line}\n".encode())
        assert row_of(stdout).split("\t")[1] == f"{line}\n"
    stdin.write(b"half a ")
    stdin.write(b"line")
    stdin.close()
    assert row_of(stdout).split("\t")[1] == "half a line\n"
    assert (stdout.read(), process.wait(timeout=60)) == (b"", 0)
    stdout.close()


def row_of(stdout: IO[bytes]) -> str:
    """Return the next line, without reading beyond it."""
    row = b""
    while not row.endswith(b"\n"):
        row += stdout.read(1)
    return row.decode()


def test_a_line_cannot_send_escapes_to_a_terminal() -> None:
    write("b.txt", "\x1b[31mred\n")
    line = ("eval", "-m", "a", "--lines", "b.txt", "-q")
    assert on_terminal(*line, "--color", "never").text.split("\t")[1] == "␛[31mred\n"
    assert on_terminal(*line).text.split("\t")[1] == "␛\x1b[1;31m[31mred\x1b[0m\n"  # with its odd part marked


# ---- --threshold ----


def test_a_threshold_passes_on_lines_above_it_or_with_below_lines_under_it() -> None:
    rows = [row.split("\t", 1) for row in ok("eval", "-m", "a", "--lines", "a.txt").text.splitlines()]
    costs = sorted(float(bits) for bits, _ in rows)
    middle = (costs[94] + costs[95]) / 2
    above = ok("eval", "-m", "a", "--lines", "a.txt", "--threshold", middle).text
    below = ok("eval", "-m", "a", "--lines", "a.txt", "--threshold", middle, "--below").text
    assert above.splitlines() == [line for bits, line in rows if float(bits) > middle]
    assert below.splitlines() == [line for bits, line in rows if float(bits) < middle]
    assert above.count("\n") + below.count("\n") == len(rows)
    records = ok("eval", "-m", "a", "--lines", "a.txt", "--threshold", middle, "--json").records
    assert [record["line"] for record in records] == above.splitlines()


def test_unknown_characters_count_in_full_for_a_threshold() -> None:
    text = "foxes foxes\n☃☃☃☃☃☃\n"
    assert ok("eval", "-m", "a", "--lines", "-", "--threshold", 12, "-q", input=text.encode()).text == "☃☃☃☃☃☃\n"


# ---- --against ----


@pytest.mark.usefixtures("other")
def test_scores_of_several_models_are_in_columns_and_the_best_is_named() -> None:
    text = "3 foxes than 4\nMANY GEESE 7!\nQ 4"
    singles = [ok("eval", "--lines", "-", "-q", "-m", name, input=text.encode()).text for name in ("a", "b")]
    columns = [[row.split("\t")[0] for row in single.splitlines()] for single in singles]
    rows = [
        row.split("\t")
        for row in ok("eval", "--lines", "-", "-q", "-m", "a", "--against", "b", input=text.encode()).text.splitlines()
    ]
    assert [row[:2] for row in rows] == [list(pair) for pair in zip(*columns, strict=True)]
    assert [row[2:] for row in rows[:2]] == [["a", "3 foxes than 4"], ["b", "MANY GEESE 7!"]]
    records = ok("eval", "--lines", "-", "--json", "-q", "-m", "a", "--against", "b", input=text.encode()).records
    assert [record["best"] for record in records[:4]] == [True, False, False, True]
    assert [record["model"] for record in records] == ["checkpoints/a.npz", "checkpoints/b.npz"] * 3
    assert all(list(record) == [*KEYS, "best"] for record in records)


@pytest.mark.usefixtures("other")
def test_several_models_are_compared_on_each_text_and_on_the_total() -> None:
    write("c.txt", "MANY GEESE 99!\n" * 50)
    result = ok("eval", "-m", "a", "--against", "b", "--against", "a", "a.txt", "c.txt", "-", input=TEXT.encode())
    rows = [row.split("\t") for row in result.text.splitlines()]
    assert [row[3:] for row in rows] == [
        ["a", str(len(TEXT)), "a.txt"],
        ["b", "250", "c.txt"],
        ["a", str(len(TEXT)), "-"],
        ["a", str(2 * len(TEXT) + 250), "total"],
    ]
    for row in rows:
        assert row[0] == row[2] != row[1]
    assert rows[0][0] == ok("eval", "-m", "a", "a.txt").text.split("\t")[0]
    assert "left out" in result.err
    assert "that a does not know" in result.err


@pytest.mark.usefixtures("other")
def test_models_are_compared_on_the_held_out_part_of_the_first() -> None:
    own, other = ok("eval", "-m", "a", "--against", "b", "--json").records
    (alone,) = ok("eval", "-m", "a", "--json").records
    assert own == alone | {"best": True}
    assert other["text"] == own["text"]
    assert other["nats_per_char"] > own["nats_per_char"]


@pytest.mark.usefixtures("other")
def test_a_model_gains_nothing_from_unknown_characters() -> None:
    """Model b knows only the digit of this line; the other characters are one likely symbol."""
    line = "größer 3 foxes größer\n".encode()
    assert ok("eval", "--lines", "-", "-q", "-m", "b", "--against", "a", input=line).text.split("\t")[2] == "a"


# ---- --per-char and --next ----


def test_each_character_has_a_row_of_surprisal_probability_and_rank() -> None:
    text = "7 foxes\t☃\\\n"
    rows = [
        row.split("\t") for row in ok("eval", "-m", "a", "--per-char", "-", "-q", input=text.encode()).text.splitlines()
    ]
    assert [row[3] for row in rows] == [*"7 foxes", "\\t", "☃", "\\\\", "\\n"]
    assert rows[8][:3] == rows[9][:3] == ["-", "-", "-"]
    known = [row for row in rows if row[0] != "-"]
    for bits, p, rank, _ in known:
        assert float(p) == pytest.approx(2 ** -float(bits), rel=1e-3, abs=1e-6)
        assert 1 <= int(rank) <= len(set(TEXT))
    (whole,) = ok("eval", "-m", "a", "-", "--json", "-q", input=text.encode()).records
    assert sum(float(row[0]) for row in known) == pytest.approx(whole["bits_per_char"] * whole["chars"], abs=1e-3)
    records = ok("eval", "-m", "a", "--per-char", "--json", "-", "-q", input=text.encode()).records
    assert "".join(record["char"] for record in records) == text
    assert [record["rank"] for record in records] == [None if row[2] == "-" else int(row[2]) for row in rows]
    assert list(records[0]) == ["text", "model", "char", "nats", "bits", "probability", "rank"]


def test_the_likeliest_next_characters() -> None:
    rows = [row.split("\t") for row in ok("eval", "-m", "a", "--next", 3, "-", input=b"7 gr").text.splitlines()]
    assert [row[2] for row in rows] == ["1", "2", "3"]
    records = ok("eval", "-m", "a", "--next", 999, "-", "--json", input=b"7 gr").records
    assert len(records) == len(set(TEXT))
    assert sum(record["probability"] for record in records) == pytest.approx(1)
    assert [record["char"] for record in records[:3]] == [row[3] for row in rows]
    for record in records:
        assert record["bits"] == pytest.approx(-math.log2(record["probability"]))
    given = ok("eval", "-m", "a", "--per-char", "--json", "-", input=b"7 gr" + records[0]["char"].encode()).records[-1]
    assert given["probability"] == pytest.approx(records[0]["probability"], rel=1e-5)
    assert ok("eval", "-m", "a", "--next", 1, "-", input=b"").text.count("\n") == 1


# ---- wrong usage ----


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("--lines --next 3", "--lines and --next: give one of them"),
        ("--next 3 --per-char", "give one of them"),
        ("--lines --dynamic", "--dynamic scores whole texts"),
        ("--next 2 --against-baselines", "--against-baselines scores whole texts"),
        ("--per-char --against a", "--per-char takes one model"),
        ("--against a --against-baselines", "give one of them"),
        ("--threshold 3", "needs --lines"),
        ("--below --lines", "--below: needs --threshold"),
        ("--lines --threshold nan", "must be a number"),
        ("--lines --threshold 3 --context 1 --json", "leave out --json"),
        ("--lines --threshold auto --below", "leave out --below"),
        ("--lines --threshold auto:2", "auto:RATE"),
        ("--lines --threshold auto:x", "auto:RATE"),
        ("--lines --score median", "must be mean, sum, max"),
        ("--lines --ignore (", "not a regular expression"),
        ("--lines --exit-code", "--exit-code: needs --threshold"),
        ("--lines --context 2", "--context: needs --threshold"),
        ("--score sum", "--score: needs --lines"),
        ("--summary 9", "--summary: needs --lines"),
        ("- -", "-: stdin can be read once"),
        (f"--lines --summary {'9' * 5000}", "--summary"),
        (f"--lines --score peak:{'9' * 5000}", "--score peak"),
        ("--lines --against a --summary 9", "--summary: needs one model: leave out --against"),
        ("--lines --summary 0", "--summary 0"),
        ("--lines --threshold 3 --against a", "leave out --against"),
        ("--next 0", "--next"),
    ],
)
def test_options_that_exclude_each_other_are_refused(args: str, words: str) -> None:
    refused(charrnn("eval", "-m", "a", "a.txt", *args.split()), 2, words)


def test_a_model_to_compare_with_must_exist() -> None:
    refused(charrnn("eval", "-m", "a", "a.txt", "--against", "nothere"), 1, "nothere.npz", "--against")


def test_a_wrong_byte_ends_the_rows_at_its_line_or_is_replaced() -> None:
    line, log = ("eval", "-m", "a", "--lines", "-", "--json"), b"7 foxes\n" * 3 + b"7 f\xff\n9 hens\n"
    result = charrnn(*line, input=log)
    assert (result.code, [record["line"] for record in result.records]) == (1, ["7 foxes"] * 3)
    assert "-: not utf-8 text at byte 27, line 4: " in result.err
    records = ok(*line, "--encoding-errors", "replace", input=log).records
    assert [record["line"] for record in records] == ["7 foxes"] * 3 + ["7 f\ufffd", "9 hens"]
    assert [record["unknown"] for record in records] == [0, 0, 0, 1, 0]
    refused(charrnn("eval", "-m", "a", "-", input=log), 1, "line 4", "iconv -f ")
    assert ok("eval", "-m", "a", "-", "-q", "--encoding-errors", "replace", input=log).text.split("\t")[1:] == [
        "35",
        "-\n",
    ]
