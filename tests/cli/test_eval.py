import bz2
import math
import os
from pathlib import Path

import pytest

from charrnn.api.model import load
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError
from charrnn.evaluation.dynamic import score_dynamically
from charrnn.evaluation.text import last
from tests.conftest import Run
from tests.helpers.command import NETWORK, TEXT, charrnn, ok, refused
from tests.helpers.files import with_entry

pytestmark = pytest.mark.usefixtures("model")

KEYS = {
    "text", "model", "chars", "unknown", "nats_per_char", "bits_per_char", "perplexity", "accuracy",
    "ci95_bits_per_char",
}  # fmt: skip


def test_each_text_has_a_row_of_bits_characters_and_name() -> None:
    Path("b.txt").write_text("7 größere foxes\n")
    result = ok("eval", "-m", "a", "a.txt", "-", "b.txt", input=TEXT[:100].encode())
    rows = [row.split("\t") for row in result.text.splitlines()]
    texts = {"a.txt": len(TEXT), "-": 100, "b.txt": 16}
    assert [row[1:] for row in rows] == [[str(chars), name] for name, chars in texts.items()] + [
        [str(sum(texts.values())), "total"]
    ]
    assert result.err == ""
    records = ok("eval", "-m", "a", "a.txt", "-", "b.txt", "--json", input=TEXT[:100].encode()).records
    assert [row[0] for row in rows] == [f"{record['bits_per_char']:.4f}" for record in records]
    assert [record["text"] for record in records] == [*texts, None]
    *parts, total = records
    for key in ("chars", "unknown"):
        assert total[key] == sum(record[key] for record in parts)
    for key in ("nats_per_char", "accuracy"):
        assert total[key] * total["chars"] == pytest.approx(sum(record[key] * record["chars"] for record in parts))


def test_json_has_the_same_figures_in_several_units() -> None:
    (record,) = ok("eval", "a.txt", "--json").records
    assert record.keys() == KEYS
    assert (record["text"], record["model"], record["chars"]) == ("a.txt", "checkpoints/a.npz", len(TEXT))
    assert record["bits_per_char"] == pytest.approx(record["nats_per_char"] / math.log(2))
    assert record["perplexity"] == pytest.approx(math.exp(record["nats_per_char"]))
    assert 1 < record["perplexity"] < len(set(TEXT))
    assert 0 < record["accuracy"] * len(TEXT) == pytest.approx(round(record["accuracy"] * len(TEXT)))
    low, high = record["ci95_bits_per_char"]
    assert 0 < low < record["bits_per_char"] < high < 2 * low


def test_without_a_text_it_scores_the_held_out_part_as_training_did(trained: Run) -> None:
    (record,) = ok("eval", "--json").records
    done = trained.result.records[-1]
    assert record["bits_per_char"] == done["val_bits_per_char"]
    assert record["nats_per_char"] == done["val_nats_per_char"]
    assert (record["text"], record["chars"]) == ("a.txt (held out)", len(TEXT) - int(len(TEXT) * 0.9))


def test_the_held_out_part_of_another_text_is_refused() -> None:
    Path("a.txt").write_text(TEXT + ".")
    refused(charrnn("eval", "-q"), 1, "a.txt", "name a text")
    Path("a.txt").unlink()
    refused(charrnn("eval", "-q"), 1, "a.txt", "no longer there", "name a text")


def test_a_model_without_held_out_text_needs_one() -> None:
    ok("train", "-", "-m", "b", *NETWORK, "--steps", 1, "-q", input=TEXT.encode())
    ok("train", "a.txt", "-m", "c", *NETWORK, "--steps", 1, "--val-fraction", 0, "-q")
    refused(charrnn("eval", "-m", "b"), 1, "stdin", "name a text")
    refused(charrnn("eval", "-m", "c"), 1, "--val-fraction 0", "name a text")
    assert ok("eval", "-m", "c", "a.txt").err == ""


def test_unknown_characters_are_counted_noted_and_left_out_of_the_mean() -> None:
    plain, strange = "7 größere foxes than 3", "7 größ☃ere fox☃eés than 3"
    scores = [ok("eval", "-m", "a", "-", "--json", input=text.encode()) for text in (plain, strange)]
    (known,), (mixed,) = (score.records for score in scores)
    assert mixed == known | {"unknown": 3}
    assert [score.err for score in scores] == ["", "-: left out 3 characters that the model does not know\n"]


def test_a_model_with_an_unknown_symbol_scores_every_character() -> None:
    ok("train", "a.txt", "-m", "b", *NETWORK, "--steps", 1, "--min-count", 2, "-q")
    (record,) = ok("eval", "-m", "b", "-", "--json", input="7☃é".encode()).records
    assert (record["chars"], record["unknown"]) == (3, 0)


def test_a_byte_order_mark_and_windows_newlines_change_no_score_and_are_noted_once() -> None:
    text = TEXT.replace("\n", "\r\n")
    Path("b.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    result = ok("eval", "-m", "a", "b.txt")
    assert result.err == "b.txt: dropped the byte-order mark\nb.txt: CR LF became LF\n"
    assert result.text == ok("eval", "a.txt", "-q").text.replace("a.txt", "b.txt")
    assert ok("eval", "b.txt", "-q").err == ""


def test_a_text_is_normalized_as_the_model_requires() -> None:
    ok("train", "a.txt", "-m", "b", *NETWORK, "--steps", 1, "--normalize", "nfd", "-q")
    for name, text in (("composed.txt", "größer"), ("apart.txt", "gro\u0308ßer")):
        Path(name).write_text(text)
    composed, apart, _ = (
        row.split("\t")[:2] for row in ok("eval", "-m", "b", "composed.txt", "apart.txt").text.splitlines()
    )
    assert composed == apart == [apart[0], "7"]
    prompted = [ok("sample", "-m", "b", "-p", text, "--seed", 1, "-q").out for text in ("größer", "gro\u0308ßer")]
    assert prompted[0] == prompted[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["b.txt", "nothing to score"]),
        (b"foxes\xe9", ["b.txt", "byte 5"]),
        (None, ["b.txt", "No such file"]),
    ],
)
def test_a_text_that_cannot_be_scored_is_refused(content: bytes | None, words: list[str]) -> None:
    if content is not None:
        Path("b.txt").write_bytes(content)
    refused(charrnn("eval", "-m", "a", "b.txt"), 1, *words)


def test_an_empty_name_is_a_missing_file() -> None:
    refused(charrnn("eval", "-m", "a", ""), 1, "No such file")
    refused(charrnn("train", "", "-m", "b", "-q"), 1, "No such file")


def test_rows_before_a_text_that_fails_are_written() -> None:
    result = charrnn("eval", "-m", "a", "a.txt", "nothere.txt")
    assert (result.code, result.text.split("\t")[1:]) == (1, [str(len(TEXT)), "a.txt\n"])
    assert result.err == "charrnn: nothere.txt: No such file or directory\n"


# ---- --against-baselines ----

BASELINES = ["order-7 Kneser-Ney", "gzip", "bz2", "xz"]


def test_each_text_has_a_row_for_the_model_and_one_for_each_baseline() -> None:
    args = ("eval", "-m", "a", "a.txt", "-", "--against-baselines")
    result = ok(*args, input=TEXT[:700].encode())
    rows = [row.split("\t") for row in result.text.splitlines()]
    assert [row[1:3] for row in rows] == [[str(len(TEXT)), "a.txt"]] * 5 + [["700", "-"]] * 5
    assert [row[3] for row in rows] == ["checkpoints/a.npz", *BASELINES] * 2
    assert result.err == f"read the text of the model: a.txt, {len(TEXT):,} characters\n"
    records = ok(*args, "--json", input=TEXT[:700].encode()).records
    assert all(record.keys() == KEYS for record in records)
    assert [(f"{record['bits_per_char']:.4f}", record["model"]) for record in records] == [(r[0], r[3]) for r in rows]
    assert [record["accuracy"] is None for record in records] == [False, True, True, True, True] * 2


def test_baselines_learn_from_the_training_text_and_score_the_held_out_part() -> None:
    alone, (own, *others) = ok("eval", "--json").records, ok("eval", "--against-baselines", "--json").records
    assert alone == [own]
    train, held_out = TEXT[: int(len(TEXT) * 0.9)], TEXT[int(len(TEXT) * 0.9) :]
    assert {(record["text"], record["chars"]) for record in others} == {("a.txt (held out)", len(held_out))}
    added = len(bz2.compress(TEXT.encode())) - len(bz2.compress(train.encode()))
    assert others[2]["bits_per_char"] == pytest.approx(added * 8 / len(held_out))
    assert others[0]["nats_per_char"] < math.log(len(set(TEXT)))


def test_baselines_leave_out_the_characters_that_the_model_does_not_know() -> None:
    plain, strange = "7 größere foxes than 3", "7 größ☃ere fox☃eés than 3"
    known, mixed = (
        ok("eval", "-m", "a", "-", "--against-baselines", "--json", input=text.encode()).records
        for text in (plain, strange)
    )
    assert mixed == [record | {"unknown": 3} for record in known]


def test_baselines_need_the_training_text_but_no_held_out_part() -> None:
    ok("train", "-", "-m", "b", *NETWORK, "--steps", 1, "-q", input=TEXT.encode())
    ok("train", "a.txt", "-m", "c", *NETWORK, "--steps", 1, "--val-fraction", 0, "-q")
    assert ok("eval", "-m", "c", "a.txt", "--against-baselines").text.count("\n") == 5
    refused(charrnn("eval", "-m", "c", "--against-baselines"), 1, "--val-fraction 0", "name a text")
    refused(charrnn("eval", "-m", "b", "a.txt", "--against-baselines"), 1, "stdin", "leave out --against-baselines")
    refused(charrnn("eval", "-m", "b", "--against-baselines"), 1, "name a text to score and leave out")
    Path("b.txt").write_text(TEXT + ".")
    Path("b.txt").replace("a.txt")
    refused(charrnn("eval", "-m", "c", "a.txt", "--against-baselines"), 1, "a.txt: not the text", "leave out")
    refused(charrnn("eval", "-m", "c", "nothere.txt"), 1, "nothere.txt")


# ---- --dynamic ----


def test_dynamic_evaluation_lowers_the_loss_and_leaves_the_file_unchanged() -> None:
    path = Path("checkpoints/a.npz")
    content = path.read_bytes()
    (static,) = ok("eval", "a.txt", "--json").records
    (dynamic,) = ok("eval", "a.txt", "--dynamic", "--json").records
    assert dynamic["nats_per_char"] < static["nats_per_char"] - 0.1
    figures = {"nats_per_char", "bits_per_char", "perplexity", "accuracy", "ci95_bits_per_char"}
    assert {key for key in KEYS if dynamic[key] != static[key]} <= figures
    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir() if entry.suffix == ".npz"] == ["a.npz"]


def test_dynamic_evaluation_starts_each_text_with_the_weights_of_the_model() -> None:
    Path("b.txt").write_text(TEXT[::-1])
    rows = ok("eval", "-m", "a", "--dynamic", "b.txt", "a.txt", "-", input=TEXT.encode()).text.splitlines()
    alone = ok("eval", "-m", "a", "--dynamic", "a.txt").text
    assert f"{rows[1]}\n" == alone
    assert rows[2].split("\t")[:2] == rows[1].split("\t")[:2] != rows[0].split("\t")[:2]
    assert rows[3].split("\t")[1:] == [str(3 * len(TEXT)), "total"]


def test_a_model_trained_by_soap_learns_in_its_bases_which_an_exported_one_lacks() -> None:
    ok("train", "a.txt", *NETWORK, "--steps", 30, "--optimizer", "soap", "-m", "b", "-q")
    ok("export", "-m", "b", "c.npz", "--dtype", "f4")
    network, ids = load("b").network, load("b").vocab.encode(TEXT)
    Q = CheckpointStore(Path("checkpoints/b.npz")).load().slots["Q"]
    start = load("b").vocab.start_id
    for name, bases in (("b", Q), ("c.npz", None)):
        (record,) = ok("eval", "-m", name, "a.txt", "--dynamic", "--json").records
        expected = last(score_dynamically(network, [ids], start, bases))
        assert record["nats_per_char"] == pytest.approx(expected.nats_per_char, rel=1e-6)
    both = [last(score_dynamically(network, [ids], start, bases)).nats for bases in (Q, None)]
    assert abs(both[0] - both[1]) > 1e-4 * len(TEXT)


def test_a_model_that_has_been_replaced_by_another_network_has_no_bases_for_it(model: Path) -> None:
    loaded = load("a")
    ok("train", "a.txt", *NETWORK, "--hidden-size", 5, "--steps", 1, "-m", "a", "--force", "-q")
    with pytest.raises(CheckpointError, match="a: has been replaced by another network: load it again"):
        _ = loaded.bases


def test_dynamic_evaluation_does_not_change_the_baselines() -> None:
    static, dynamic = (
        ok("eval", "-m", "a", "a.txt", "--against-baselines", "--json", *more).records for more in ((), ("--dynamic",))
    )
    assert dynamic[1:] == static[1:]
    assert dynamic[0] == ok("eval", "-m", "a", "a.txt", "--dynamic", "--json").records[0]
    assert dynamic[0]["nats_per_char"] < static[0]["nats_per_char"]


def test_a_stdin_that_nobody_reads_is_noted(model: Path) -> None:
    note = "stdin is not read: name it as - to score it"
    assert note in ok("eval", "-m", "a", input=b"x").err
    assert note in ok("eval", "-m", "a", redirect="< a.txt").err
    for result in (ok("eval", "-m", "a"), ok("eval", "-m", "a", "-", input=b"foxes"), ok("eval", "-q", input=b"x")):
        assert note not in result.err


# ---- what a model from another person names ----


@pytest.mark.parametrize("thing", ["pipe", "/dev/zero"])
def test_what_a_model_names_is_never_waited_for(model: Path, thing: str) -> None:
    os.mkfifo("pipe")
    model.write_bytes(with_entry(model.read_bytes(), "origin/sources", [thing]))
    for line in (
        ("eval",),
        ("eval", "a.txt", "--novelty"),
        ("sample", "--no-copy", 9),
        ("train", "--resume", "-m", "a"),
    ):
        refused(charrnn(*line, "-q"), 1, "was trained from stdin or a pipe", "again")


@pytest.mark.parametrize("names", [["large.txt"], 2000 * ["a.txt"]], ids=["large", "often"])
def test_no_more_is_read_than_the_text_of_the_model_has(names: list[str], model: Path) -> None:
    Path("large.txt").write_text(TEXT * 2000)
    model.write_bytes(with_entry(model.read_bytes(), "origin/sources", names))
    reading = "from charrnn.data import corpus; real = corpus.codes_of; seen = 0\n"
    counting = (
        "def codes_of(text):\n    global seen; seen += len(text); return real(text)\ncorpus.codes_of = codes_of\n"
    )
    printing = "import atexit, sys; atexit.register(lambda: print(seen, file=sys.stderr))"
    result = charrnn("eval", "-m", "a", "-q", prelude=reading + counting + printing)
    assert result.code == 1
    assert "not the text that the model was trained on" in result.err
    assert int(result.err.splitlines()[-1]) == 2 * (len(TEXT) + 1)


def test_the_texts_that_a_model_names_are_noted(model: Path) -> None:
    assert ok("eval").err.endswith(f"read the text of the model: a.txt, {len(TEXT):,} characters\n")
