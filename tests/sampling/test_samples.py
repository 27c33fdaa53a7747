import os
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pytest

from charrnn.core.cells import CELLS
from charrnn.core.config import Purpose
from charrnn.core.errors import DivergedError, UsageError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids
from charrnn.core.sample import DIVERGED, nats, sample_rng
from charrnn.core.vocab import Vocab, codes_of
from charrnn.sampling import batched
from charrnn.sampling import samples as module
from charrnn.sampling.incremental import PromptState
from charrnn.sampling.samples import LANES, Piece, SampleOptions, SampleWriter, samples, sort_pieces, task_ranges
from tests.helpers.files import cell_settings
from tests.helpers.models import tiny_model
from tests.sampling.test_batched import naive_ids

LETTERS = Vocab(codes_of("abcdefg"))
every_cell = pytest.mark.parametrize("cell", CELLS)


class Text(NamedTuple):
    text: str
    finish: str
    nats_per_char: float | None


def write(model: CharRNN, count: int, seed: int = 5, prompt: Ids | None = None, **options: Any) -> list[Text]:
    """Write samples, and join the pieces of each."""
    texts, parts, cores = list[Text](), "", options.pop("cores", 1)
    start = np.array([1, 2]) if prompt is None else prompt
    for piece in samples(PromptState(model, start), LETTERS, seed, count, SampleOptions(**options), cores):
        assert piece.sample == len(texts)
        parts += piece.text
        if piece.finish:
            texts.append(Text(parts, piece.finish, piece.nats_per_char))
            parts = ""
    assert parts == ""
    return texts


def naive_sample(model: CharRNN, index: int, length: int, filters: dict[str, Any], stops: list[str]) -> Text:
    prompt = np.array([1, 2])
    ids = naive_ids(model, prompt, sample_rng(5, index), filters, length)
    text, finish = LETTERS.decode(ids), "length"
    for end in range(1, length + 1):
        sizes = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if sizes:
            text, finish = text[: end - max(sizes)], "stop"
            break
    whole = np.array([*prompt, *ids])
    logits, _ = model.forward(whole[:-1, None], model.zero_state(1), model.cache(len(whole), 1))
    losses = nats(logits[1:, :, 0].astype(np.float64), whole[2:])[: len(text)]
    return Text(text, finish, losses.mean() if len(text) else None)


@pytest.mark.parametrize("burst", [1, 32])
@every_cell
def test_every_sample_equals_a_naive_one(cell: str, burst: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LANES", 3)  # so that a lane has several samples
    monkeypatch.setattr(module, "BURST_STEPS", burst)
    monkeypatch.setattr(batched, "NUMBERS_AHEAD", 7)
    model = tiny_model(num_layers=2, zoneout=0.1, **cell_settings(cell))
    filters, stops = {"temperature": 1.3, "top_p": 0.97}, ["ab", "gcc", "de"]
    for length in (0, 1, 20):
        texts = write(model, 11, length=length, filters=filters, stops=stops, scored=True)
        for index, text in enumerate(texts):
            expected, finish, loss = naive_sample(model, index, length, filters, stops)
            assert text == (expected, finish, loss if loss is None else pytest.approx(loss, rel=1e-12))
    assert {text.finish for text in texts} == {"stop", "length"}


@every_cell
def test_a_sample_is_the_same_to_the_last_bit_for_any_count(cell: str) -> None:
    model = tiny_model(dtype=np.float32, hidden_size=33, ensemble=2, **cell_settings(cell))
    options: dict[str, Any] = {"length": 70, "stops": ["abc", "dd"], "scored": True}
    many = write(model, 3 * LANES, **options)
    assert len({text for text, *_ in many}) > 20
    for count in (1, 2, 3, LANES, LANES + 1, LANES + 2, 2 * LANES + 3):
        for cores in (1, 2, 3) if count > LANES else (2,):
            assert (
                write(model, count, **options, cores=cores) == many[:count]
            )  # the losses show a difference in one bit


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, LANES + 1, 2 * LANES + 1, 500, 10_000])
def test_tasks_use_all_lanes(count: int, processes: int) -> None:
    tasks = list(task_ranges(count, processes))
    assert [i for task in tasks for i in task] == list(range(count))
    assert [task.start for task in tasks] == [0, *range(1, count, len(tasks[1]) if len(tasks) > 1 else 1)][: len(tasks)]
    assert all((task.start - 1) % LANES == 0 and len(task) <= module.MAX_TASK for task in tasks[1:])


def test_all_processes_write_tasks_and_no_worker_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    options: dict[str, Any] = {"length": 9, "stops": ["a"]}
    monkeypatch.setattr(module, "LANES", 2)
    monkeypatch.setattr(module, "MAX_TASK", 4)
    alone = write(model, 30, **options)
    for cores in (2, 3, 50):
        assert write(model, 30, **options, cores=cores) == alone
    first = samples(PromptState(model, np.array([1])), LETTERS, 5, 30, SampleOptions(length=9), 3)
    assert next(first).sample == 0
    first.close()  # type: ignore[attr-defined]  # a generator
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_the_error_of_a_worker_is_raised() -> None:
    model = tiny_model()
    model.params["head.b_y"][:] = np.nan
    with pytest.raises(DivergedError):
        write(model, 40, cores=2)


def test_the_random_numbers_of_a_sample_depend_only_on_seed_and_index() -> None:
    first = {(seed, index): sample_rng(seed, index).random() for seed in (0, 1, 2**63 - 1) for index in (0, 1, 2)}
    assert len(set(first.values())) == len(first)
    assert all(sample_rng(*key).random() == number for key, number in reversed(first.items()))
    assert np.random.default_rng([0, 0, Purpose.INIT]).random() not in first.values()


def test_samples_come_in_order_and_the_first_one_while_it_is_written() -> None:
    model = tiny_model()
    pieces = samples(PromptState(model, np.array([1])), LETTERS, 1, 3, SampleOptions(length=None))
    assert {piece.sample for piece in islice(pieces, 5)} == {0}
    done: Any = "length"
    mixed = [Piece(1, "d", done), Piece(0, "a"), Piece(2, "e"), Piece(0, "b"), Piece(0, "c", done), Piece(2, "f", done)]
    given = iter(mixed)
    ordered = sort_pieces(given)
    assert next(ordered) == Piece(0, "a")
    assert next(given) == Piece(2, "e")  # no more was read than could be passed on
    assert "".join(piece.text for piece in sort_pieces(iter(mixed))) == "abcdef"


def test_the_text_of_a_slow_model_comes_character_by_character(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    expected = write(model, 2, length=50)
    monkeypatch.setattr(batched, "BURST_SECONDS", -1.0)
    pieces = list(samples(PromptState(model, np.array([1, 2])), LETTERS, 5, 1, SampleOptions(length=50)))
    assert [len(piece.text) for piece in pieces] == [1] * 50
    assert write(model, 2, length=50) == expected


def test_a_sample_that_is_empty_or_not_scored_has_no_mean_loss() -> None:
    model = tiny_model()
    assert write(model, 2, length=0, scored=True) == [Text("", "length", None)] * 2
    assert write(model, 1, length=3)[0].nats_per_char is None


def test_options_out_of_range_are_refused() -> None:
    SampleOptions(filters={"top_p": 1}, stops=["a", " "])
    with pytest.raises(UsageError, match="--top-p"):
        SampleOptions(filters={"top_p": 0})
    with pytest.raises(UsageError, match="--stop: the text is empty"):
        SampleOptions(stops=["a", ""])


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("weight", [np.nan, np.inf, 3e38])
def test_logits_that_are_not_finite_raise_a_clear_error(weight: float, temperature: float) -> None:
    model = tiny_model(dtype=np.float32, activation="relu")
    model.vector[:] = weight
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        write(model, 2, filters={"temperature": temperature})


def test_a_divergence_after_the_end_of_a_sample_is_ignored() -> None:
    losses = np.zeros(0)
    assert SampleWriter(0, SampleOptions(length=2), LETTERS).write([0, 1, DIVERGED], losses) == Piece(0, "ab", "length")
    assert SampleWriter(0, SampleOptions(stops=["b"]), LETTERS).write([0, 1, DIVERGED], losses) == Piece(0, "a", "stop")
    with pytest.raises(DivergedError):
        SampleWriter(0, SampleOptions(stops=["bb"]), LETTERS).write([0, 1, DIVERGED], losses)
