import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.checkpoint.format import to_bytes
from charrnn.core import network
from charrnn.core.cells import CELLS
from charrnn.core.cells.cell import Cache
from charrnn.core.config import CELL_NAMES, ModelConfig
from charrnn.core.errors import TextError
from charrnn.core.model import CharRNN, parameter_shapes, size_of
from charrnn.core.state import TrainState
from charrnn.core.train import EvalReport, Report, train
from charrnn.data.corpus import Corpus
from charrnn.evaluation.text import MIN_BATCHED, score, score_ids
from charrnn.parallel import cores, executor
from charrnn.parallel.executor import ParallelExecutor
from charrnn.training import time_budget
from charrnn.training.estimate import (
    HIDDEN_SIZES,
    PARAMETERS_PER_CHAR,
    estimate,
    network_fit,
    remaining,
    training_memory,
)
from tests.helpers.files import cell_settings, corpus_of, random_text, tiny_run
from tests.helpers.models import B, T, tiny_model

TRAINED, HELD_OUT = 101, 599
PER_EPOCH = 7


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(random_text(TRAINED + HELD_OUT))


@pytest.fixture
def state(corpus: Corpus) -> TrainState:
    return tiny_run(corpus, val_fraction=0.855)


# ---- time ----


def test_an_estimate_covers_the_rest_of_the_run(
    state: TrainState, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_budget, "seconds_per_step", lambda *_: 0.25)
    monkeypatch.setattr(time_budget, "seconds_per_char", lambda *_: 0.125)
    found = estimate(state, corpus.ids)
    assert (found.train_chars, found.val_chars, found.parameters) == (TRAINED, HELD_OUT, len(state.model.vector))
    assert (found.epochs, found.chars_per_second) == (16 / PER_EPOCH, B * T / 0.25)
    assert found.seconds == 16 * 0.25 + 4 * HELD_OUT * 0.125
    state.step = 13
    later = estimate(state, corpus.ids)
    assert (later.epochs, later.seconds) == (16 / PER_EPOCH, 3 * 0.25 + HELD_OUT * 0.125)


@pytest.mark.parametrize("val_fraction", [0.855, 0.0])
def test_measuring_changes_nothing(val_fraction: float, corpus: Corpus) -> None:
    state = tiny_run(corpus, val_fraction=val_fraction)
    before = to_bytes(state)
    found = estimate(state, corpus.ids)
    assert found.seconds > 0 < found.chars_per_second
    assert to_bytes(state) == before


@pytest.mark.parametrize("settings", [{}, {"steps": 18}, {"eval_every": 40}, {"eval_every": 1, "steps": 3}], ids=str)
def test_the_remaining_steps_and_validations_are_those_that_follow(settings: dict[str, Any], corpus: Corpus) -> None:
    state = tiny_run(corpus, val_fraction=0.855, **settings)
    to_come, reports = [remaining(state)], list[Report]()
    for report in train(state, corpus.ids):
        reports.append(report)
        to_come.append(remaining(state))
    validations = [isinstance(report, EvalReport) and report.loss is not None for report in reports]
    steps = [not isinstance(report, EvalReport) for report in reports]
    assert to_come == [(sum(steps[i:]), sum(validations[i:])) for i in range(len(to_come))]


def test_a_run_out_of_patience_has_nothing_remaining(state: TrainState, corpus: Corpus) -> None:
    next(report for report in train(state, corpus.ids) if report.step == 9)
    assert state.best
    assert remaining(state) == (7, 2)
    state.best = replace(state.best, step=4)
    state.config = replace(state.config, patience=1)
    assert remaining(state) == (0, 0)


def test_a_text_that_is_too_short_is_refused(state: TrainState, corpus: Corpus) -> None:
    with pytest.raises(TextError, match="too few for --batch-size 3 --seq-len 5"):
        estimate(state, corpus.ids[:10])


# ---- memory ----

NOISES: list[dict[str, Any]] = [{}, {"dropout": 0.3}, {"variational_dropout": 0.3}, {"zoneout": 0.3}]


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize(("T", "B", "masks"), [(5, 3, 0), (5, 3, 1), (5, 3, 5), (1, 2, 1), (2, 1, 0)])
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
@pytest.mark.parametrize("cell", CELLS)
def test_cache_bytes_is_what_a_cache_allocates(cell: str, zoneout: float, T: int, B: int, masks: int) -> None:
    model = tiny_model(num_layers=2, zoneout=zoneout, **cell_settings(cell))
    own = model.networks[0]
    assert own.cache_bytes(T, B, masks) == sum(part.nbytes for part in own.cache(T, B, masks).values())
    assert model.cache_bytes(T, B) == sum(part.nbytes for part in model.cache(T, B).values())


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("val_fraction", [0.5, 0.0])
@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_training_memory_is_what_training_allocates(
    cell: str, noise: dict[str, Any], val_fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "shared_array", np.zeros)  # memory that tracemalloc sees
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
    state = tiny_run(text, model, val_fraction=val_fraction, optimizer=optimizer, **sizes, **run)
    expected, held = training_memory(state), []
    for report in train(state, text.ids, ParallelExecutor, score):
        if report.step == 4 and (not val_fraction or (isinstance(report, EvalReport) and report.loss is None)):
            held.append(tracemalloc.get_traced_memory()[0] - before)  # in the second validation there is a best model
    assert 0 <= max(held) - expected < 50_000  # the state, ids, reports and other small things


@pytest.mark.parametrize("steps", [16, 5])
def test_the_workspace_of_a_long_validation_is_included(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = corpus_of(random_text(2 * MIN_BATCHED))
    state, caches = tiny_run(text, {"line_end": 0}, val_fraction=0.5), []
    monkeypatch.setattr(network, "LOGITS", steps * len(text.vocab) * 64)
    monkeypatch.setattr("charrnn.evaluation.text.MIN_SPAN", 1)  # all spans are used, 64 per core
    monkeypatch.setattr(cores, "limit", 2)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    cache = CharRNN.cache

    def spy(self: CharRNN, T: int, B: int, masks: int = 0) -> Cache:
        caches.append(cache(self, T, B, masks))
        return caches[-1]

    validated = training_memory(state) - training_memory(replace(state, config=replace(state.config, val_fraction=0.0)))
    monkeypatch.setattr(CharRNN, "cache", spy)
    score_ids(state.model, [text.ids[:MIN_BATCHED]], state.vocab.start_id)
    assert validated == 2 * state.model.vector.nbytes + sum(a.nbytes for one in caches for a in one.values())


# ---- size ----


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
def test_the_default_network_as_measured(chars: int, fit: str) -> None:
    assert network_fit(ModelConfig(65), chars)[0] == fit


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    st.integers(1, 10**9),
    st.integers(2, 6000),
    st.sampled_from(CELL_NAMES),
    st.integers(1, 3000),
    st.integers(1, 3),
)
def test_the_suggested_size_is_the_nearest_that_suits(
    chars: int, V: int, cell: str, hidden_size: int, layers: int
) -> None:
    config = ModelConfig(V, cell, hidden_size=hidden_size, num_layers=layers)
    fit, proposed = network_fit(config, chars)

    def suits(size: int) -> bool:
        fewest, most = PARAMETERS_PER_CHAR
        return fewest * chars <= size_of(parameter_shapes(replace(config, hidden_size=size))) <= most * chars

    assert (fit == "suits") == suits(hidden_size) == (proposed == hidden_size)
    assert proposed is None or suits(proposed)
    between = {"suits": range(0), "too small": range(hidden_size, proposed or 10**9)}
    assert not any(suits(H) for H in HIDDEN_SIZES if H in between.get(fit, range((proposed or 0) + 1, hidden_size)))
