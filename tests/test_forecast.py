import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn import forecast as module
from charrnn import head, step, threads
from charrnn.cells import CELLS
from charrnn.cells.cell import Cache
from charrnn.checkpoint import Checkpoint
from charrnn.checkpoint.format import to_bytes
from charrnn.config import CELL_NAMES, HIDDEN_SIZES, PARAMETERS_PER_CHAR, ModelConfig
from charrnn.corpus import Corpus
from charrnn.errors import TextError
from charrnn.evaluate import score_ids
from charrnn.evaluate.text import SHORT
from charrnn.forecast import fit_to_text, forecast, memory, still_to_do, window_bytes
from charrnn.model import CharRNN, parameter_shapes, size_of
from charrnn.train import EvalReport, Report, train
from tests.helpers.files import cell_settings, corpus_of, random_text, tiny_run
from tests.helpers.models import B, T, tiny_model

LEARNT, HELD_OUT = 101, 599
PER_EPOCH = 7


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(random_text(LEARNT + HELD_OUT))


@pytest.fixture
def checkpoint(corpus: Corpus) -> Checkpoint:
    return tiny_run(corpus, val_fraction=0.855)


# ---- how long ----


def test_it_tells_what_a_run_would_take(
    checkpoint: Checkpoint, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "seconds_per_step", lambda *_: 0.25)
    monkeypatch.setattr(module, "seconds_per_char", lambda *_: 0.125)
    told = forecast(checkpoint, corpus.ids)
    assert (told.train_chars, told.val_chars, told.parameters) == (LEARNT, HELD_OUT, len(checkpoint.model.vector))
    assert (told.epochs, told.chars_per_second) == (16 / PER_EPOCH, B * T / 0.25)
    assert told.seconds == 16 * 0.25 + 4 * HELD_OUT * 0.125
    checkpoint.step = 13
    later = forecast(checkpoint, corpus.ids)
    assert (later.epochs, later.seconds) == (16 / PER_EPOCH, 3 * 0.25 + HELD_OUT * 0.125)


@pytest.mark.parametrize("val_fraction", [0.855, 0.0])
def test_measuring_changes_nothing(val_fraction: float, corpus: Corpus) -> None:
    checkpoint = tiny_run(corpus, val_fraction=val_fraction)
    before = to_bytes(checkpoint)
    told = forecast(checkpoint, corpus.ids)
    assert told.seconds > 0 < told.chars_per_second
    assert to_bytes(checkpoint) == before


@pytest.mark.parametrize("settings", [{}, {"steps": 18}, {"eval_every": 40}, {"eval_every": 1, "steps": 3}], ids=str)
def test_what_is_left_is_what_comes(settings: dict[str, Any], corpus: Corpus) -> None:
    checkpoint = tiny_run(corpus, val_fraction=0.855, **settings)
    left, reports = [still_to_do(checkpoint)], list[Report]()
    for report in train(checkpoint, corpus.ids):
        reports.append(report)
        left.append(still_to_do(checkpoint))
    validations = [isinstance(report, EvalReport) and report.loss is not None for report in reports]
    steps = [not isinstance(report, EvalReport) for report in reports]
    assert left == [(sum(steps[i:]), sum(validations[i:])) for i in range(len(left))]


def test_a_run_out_of_patience_has_nothing_left(checkpoint: Checkpoint, corpus: Corpus) -> None:
    next(report for report in train(checkpoint, corpus.ids) if report.step == 9)
    assert checkpoint.best
    assert still_to_do(checkpoint) == (7, 2)
    checkpoint.best = replace(checkpoint.best, step=4)
    checkpoint.train = replace(checkpoint.train, patience=1)
    assert still_to_do(checkpoint) == (0, 0)


def test_a_text_that_is_too_short_is_refused(checkpoint: Checkpoint, corpus: Corpus) -> None:
    with pytest.raises(TextError, match="too few for --batch-size 3 --seq-len 5"):
        forecast(checkpoint, corpus.ids[:10])


# ---- how much memory ----

NOISES: list[dict[str, Any]] = [{}, {"dropout": 0.3}, {"variational_dropout": 0.3}, {"zoneout": 0.3}]


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize(("T", "B", "masks"), [(5, 3, 0), (5, 3, 1), (5, 3, 5), (1, 2, 1), (2, 1, 0)])
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
@pytest.mark.parametrize("cell", CELLS)
def test_a_workspace_is_as_large_as_what_a_network_allocates(
    cell: str, zoneout: float, T: int, B: int, masks: int
) -> None:
    model = tiny_model(num_layers=2, zoneout=zoneout, **cell_settings(cell))
    assert window_bytes(model, T, B, masks) == sum(part.nbytes for part in model.cache(T, B, masks).values())


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("val_fraction", [0.5, 0.0])
@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_memory_is_what_training_allocates(
    cell: str, noise: dict[str, Any], val_fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "shared", np.zeros)  # memory that is traced
    text = corpus_of(random_text(1200))
    before = tracemalloc.get_traced_memory()[0]
    model = {
        "hidden_size": 96,
        "num_layers": 2,
        **cell_settings(cell),
        **{name: rate for name, rate in noise.items() if name == "zoneout"},
    }
    run = {name: rate for name, rate in noise.items() if name not in model}
    optimizer = {"rnn_tanh": "sgd", "gru": "adam"}.get(cell, "adamw")
    sizes = {"seq_len": 25, "batch_size": 12, "steps": 4, "eval_every": 2}
    checkpoint = tiny_run(text, model, val_fraction=val_fraction, optimizer=optimizer, **sizes, **run)
    told, held = memory(checkpoint), []
    for report in train(checkpoint, text.ids):
        if report.step == 4 and (not val_fraction or (isinstance(report, EvalReport) and report.loss is None)):
            held.append(tracemalloc.get_traced_memory()[0] - before)  # in the second validation: there is a best one
    assert 0 <= max(held) - told < 50_000  # the state, ids, reports and other small things


@pytest.mark.parametrize("steps", [16, 5])
def test_the_workspace_of_a_long_validation_is_foretold(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = corpus_of(random_text(2 * SHORT))
    checkpoint, caches = tiny_run(text, {"line_end": 0}, val_fraction=0.5), []
    monkeypatch.setattr(head, "BLOCK", steps * len(text.vocab) * 64)
    monkeypatch.setattr("charrnn.evaluate.text.SMALLEST", 1)  # all lanes are used, 64 a core
    monkeypatch.setattr(threads, "limit", 2)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    cache = CharRNN.cache

    def spy(self: CharRNN, T: int, B: int, masks: int = 0) -> Cache:
        caches.append(cache(self, T, B, masks))
        return caches[-1]

    validated = memory(checkpoint) - memory(replace(checkpoint, train=replace(checkpoint.train, val_fraction=0.0)))
    monkeypatch.setattr(CharRNN, "cache", spy)
    score_ids(checkpoint.model, [text.ids[:SHORT]], checkpoint.vocab.start_id)
    assert validated == 2 * checkpoint.model.vector.nbytes + sum(a.nbytes for one in caches for a in one.values())


# ---- whether the network suits the text ----


@pytest.mark.parametrize(
    ("chars", "fit"),
    [
        (9_000, "too large"),
        (18_000, "suits"),
        (225_000, "suits"),
        (900_000, "suits"),
        (3_000_000, "suits"),
        (45_000_000, "too small"),
    ],
)
def test_the_default_network_as_it_was_measured(chars: int, fit: str) -> None:
    assert fit_to_text(ModelConfig(65), chars)[0] == fit


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    st.integers(1, 10**9),
    st.integers(2, 6000),
    st.sampled_from(CELL_NAMES),
    st.integers(1, 3000),
    st.integers(1, 3),
)
def test_what_is_proposed_suits_and_is_the_nearest_that_does(
    chars: int, V: int, cell: str, hidden_size: int, layers: int
) -> None:
    config = ModelConfig(V, cell, hidden_size=hidden_size, num_layers=layers)
    fit, proposed = fit_to_text(config, chars)

    def suits(size: int) -> bool:
        fewest, most = PARAMETERS_PER_CHAR
        return fewest * chars <= size_of(parameter_shapes(replace(config, hidden_size=size))) <= most * chars

    assert (fit == "suits") == suits(hidden_size) == (proposed == hidden_size)
    assert proposed is None or suits(proposed)
    between = {"suits": range(0), "too small": range(hidden_size, proposed or 10**9)}
    assert not any(suits(H) for H in HIDDEN_SIZES if H in between.get(fit, range((proposed or 0) + 1, hidden_size)))
