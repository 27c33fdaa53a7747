"""Networks of lines: where the input is a newline the state is reset to zero, so that lines are independent."""

import io
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from charrnn.checkpoint.format import from_file, to_bytes
from charrnn.core import batches
from charrnn.core.batches import split
from charrnn.core.cells import CELLS
from charrnn.core.cells.cell import Cache, Params, State
from charrnn.core.errors import TextError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids, cross_entropy_backward
from charrnn.core.sample import sample_rng
from charrnn.core.score import WINDOW
from charrnn.core.state import TrainState
from charrnn.core.train import StepReport, split_text, train
from charrnn.data.corpus import Corpus
from charrnn.evaluation.text import score_ids
from charrnn.sampling.batched import generate
from tests.helpers.files import cell_settings, corpus_of, random_text, tiny_run
from tests.helpers.naive import (
    Pass,
    Problem,
    arrays,
    check_every_gradient,
    library_pass,
    naive_pass,
    network,
    problem,
    zero_gradients,
)

NEWLINE = 2
T = 9
STARTS: tuple[set[int], ...] = ({0, 4}, {8}, {2, 3}, set(), {0, 1, 8})  # the steps that begin a line, per stream
B = len(STARTS)
NOISES = {  # rows of masks in the cache, rate of dropout, rate of zoneout
    "nothing": (0, 0.0, 0.0),
    "zoneout": (0, 0.0, 0.4),
    "dropout and zoneout": (T, 0.3, 0.3),
    "variational dropout": (1, 0.5, 0.0),
}

every_cell = pytest.mark.parametrize("recurrence", CELLS)
layers = pytest.mark.parametrize("num_layers", [1, 2])
every_noise = pytest.mark.parametrize("noise", NOISES)


def task_of_lines(recurrence: str, num_layers: int, **config: Any) -> Problem:
    """Return a problem with newlines at STARTS and nowhere else."""
    task = problem(recurrence, num_layers, T, B, line_end=NEWLINE, **config)
    task.x[task.x == NEWLINE] = 5
    for b, steps in enumerate(STARTS):
        task.x[list(steps), b] = NEWLINE
    return task


def noisy(recurrence: str, num_layers: int, noise: str) -> tuple[Problem, Cache]:
    """Return a problem of lines and a cache with masks, which every pass over it uses."""
    masks, dropout, zoneout = NOISES[noise]
    task = task_of_lines(recurrence, num_layers, zoneout=zoneout)
    cache = task.model.cache(T, B, masks)
    task.model.networks[0].draw_masks(cache, dropout, np.random.default_rng(11))
    return task, cache


def continuous(model: CharRNN) -> CharRNN:
    """Return a network for continuous text with the same parameters."""
    return CharRNN(replace(model.config, line_end=None), model.vector)


def stream(state: State, b: int) -> State:
    """Return the state of one stream, with one column."""
    return [tuple(part[:, [b]] for part in layer) for layer in state]


def put(state: State, b: int, single: State) -> None:
    """Write the state of one stream to its column."""
    for layer, one in zip(state, single, strict=True):
        for part, column in zip(layer, one, strict=True):
            part[:, [b]] = column


def naive_pass_over_lines(task: Problem) -> Pass:
    """Run the naive pass over each line alone, from a zero state unless the line began before the window."""
    model, zero, loss = task.model, task.model.zero_state(1), 0.0
    grads, state, dstate0 = zero_gradients(model), model.zero_state(B), model.zero_state(B)
    logits = np.empty((T, model.config.vocab_size, B))
    for b, starts in enumerate(STARTS):
        for start, end in pairwise(sorted({0, *starts, T})):
            before = zero if start in starts else stream(task.state, b)
            dafter = stream(task.dstate, b) if end == T else zero
            line = naive_pass(Problem(model, task.x[start:end, [b]], task.y[start:end, [b]], before, dafter))
            loss, logits[start:end, :, [b]] = loss + line.loss, line.logits
            for name, grad in line.grads.items():
                grads[name] += grad
            if end == T:
                put(state, b, line.state)
            if start == 0 and 0 not in starts:
                put(dstate0, b, line.dstate0)
    return Pass(loss, logits, state, grads, dstate0)


def named(result: Pass) -> Params:
    """Return the arrays of a pass by name."""
    dstate0 = {f"d{name}": part for name, part in arrays(result.dstate0).items()}
    return {"loss": np.array(result.loss), "logits": result.logits} | arrays(result.state) | result.grads | dstate0


def assert_close(one: Pass, other: Pass, tolerance: float) -> None:
    for (name, a), b in zip(named(one).items(), named(other).values(), strict=True):
        assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=name)


# ---- a window ----


@layers
@every_cell
def test_a_pass_equals_naive_passes_over_each_line_alone(recurrence: str, num_layers: int) -> None:
    task = task_of_lines(recurrence, num_layers)
    assert_close(library_pass(task), naive_pass_over_lines(task), 1e-12)


@every_noise
@layers
@every_cell
def test_every_gradient_over_lines_agrees_with_finite_differences(recurrence: str, num_layers: int, noise: str) -> None:
    task, cache = noisy(recurrence, num_layers, noise)
    check_every_gradient(task, cache)


@every_noise
@every_cell
def test_a_change_in_one_line_changes_no_other(recurrence: str, noise: str) -> None:
    task, cache = noisy(recurrence, 2, noise)
    before, changes = library_pass(task, cache), 0
    for t, b in zip(*np.nonzero(task.x != NEWLINE), strict=True):
        changed = task._replace(x=task.x.copy())
        changed.x[t, b] = 1 if task.x[t, b] != 1 else 0
        result = library_pass(changed, cache)
        end = min({T, *(start for start in STARTS[b] if start > t)})
        differs = np.any(result.logits != before.logits, axis=1)  # (T, B)
        changes += differs[t:end, b].any()
        differs[t:end, b] = False
        assert not differs.any()
        if end < T:
            assert_array_equal(np.array(result.state), np.array(before.state))
    assert changes > 0.5 * np.count_nonzero(task.x != NEWLINE)  # a mask may hide a change


@pytest.mark.parametrize("at", [(1, 0), (4, 0), (8, 1), (2, 2)])
@every_cell
def test_a_loss_has_gradients_for_the_symbols_of_its_own_line_only(recurrence: str, at: tuple[int, int]) -> None:
    task = task_of_lines(recurrence, 2)
    (step, b), cache, grads = at, task.model.cache(T, B), zero_gradients(task.model)
    y = np.full_like(task.x, -1)
    y[at] = 3
    logits, _ = task.model.forward(task.x, task.state, cache)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    dstate0 = task.model.backward(cross_entropy_backward(probs, y, 1), task.x, cache, grads)
    starts = [t for t in STARTS[b] if t <= step]
    own = task.x[max(starts, default=0) : step + 1, b]
    assert set(np.flatnonzero(grads["embed.W"].any(axis=1))) == set(own)
    reached = {i for part in arrays(dstate0).values() for i in np.flatnonzero(part.any(axis=0))}
    assert reached == (set() if starts else {b})


@every_noise
@every_cell
def test_one_window_equals_three_with_carried_state(recurrence: str, noise: str) -> None:
    task, cache = noisy(recurrence, 2, noise)
    whole, state, windows = library_pass(task, cache), task.state, list[tuple[Problem, Cache]]()
    drawn = {name: array for name, array in cache.items() if name.endswith(("mask", "keep"))}
    for start, end in ((0, 3), (3, 4), (4, T)):  # lines begin at 3 and at 4
        own = {name: array[start:end] if len(array) == T else array for name, array in drawn.items()}
        part = task._replace(x=task.x[start:end], y=task.y[start:end], state=state)
        windows.append((part, cache | own))
        result = library_pass(*windows[-1])
        assert_array_equal(result.logits, whole.logits[start:end])
        state = result.state
    assert_array_equal(np.array(state), np.array(whole.state))
    dstate, grads = task.dstate, zero_gradients(task.model)
    for part, own in reversed(windows):
        dstate = library_pass(part._replace(dstate=dstate), own, grads).dstate0
    assert_array_equal(np.array(dstate), np.array(whole.dstate0))
    for name in grads:  # sums over steps, split differently
        assert_allclose(grads[name], whole.grads[name], rtol=0, atol=1e-12, err_msg=name)


@every_noise
@every_cell
def test_a_window_without_newlines_equals_that_of_a_network_for_continuous_text(recurrence: str, noise: str) -> None:
    task, cache = noisy(recurrence, 2, noise)
    task.x[task.x == NEWLINE] = 5
    without = {name: array for name, array in cache.items() if not name.endswith(("alive", "out"))}
    assert_close(library_pass(task, cache), library_pass(task._replace(model=continuous(task.model)), without), 0)


@every_cell
def test_a_network_for_continuous_text_allocates_nothing_for_lines(recurrence: str) -> None:
    task = task_of_lines(recurrence, 2)
    lines, without = (model.cache(T, B) for model in (task.model, continuous(task.model)))
    assert sum(array.size for array in lines.values()) - sum(array.size for array in without.values()) == (
        2 * (task.model.config.hidden_size + 1) * T * B
    )


# ---- scores and samples ----


def lines_of(ids: Ids) -> list[Ids]:
    """Split ids after each newline; the last line may have none."""
    return [line for line in np.split(ids, np.flatnonzero(ids == NEWLINE) + 1) if len(line)]


def text_of_lines() -> Ids:
    """Return four windows of ids: short lines, empty lines, one longer than a window, and a last one without end."""
    ids = np.random.default_rng(3).integers(0, 7, 4 * WINDOW)
    ids[300 : 310 + WINDOW][ids[300 : 310 + WINDOW] == NEWLINE] = 5
    ids[20:23], ids[-1] = NEWLINE, 0
    return ids


@layers
@every_cell
def test_the_score_of_a_text_is_the_sum_of_the_scores_of_its_lines(recurrence: str, num_layers: int) -> None:
    model, ids = network(recurrence, num_layers, line_end=NEWLINE), text_of_lines()
    whole = score_ids(model, [ids[:100], ids[100:]], NEWLINE)
    alone = [score_ids(continuous(model), [line], NEWLINE) for line in lines_of(ids)]
    assert whole.nats == pytest.approx(sum(line.nats for line in alone), rel=1e-12)
    assert (whole.chars, whole.hits) == (len(ids), sum(line.hits or 0 for line in alone))
    assert whole.nats != pytest.approx(score_ids(continuous(model), [ids], NEWLINE).nats, rel=1e-6)


@every_cell
def test_after_a_newline_a_sample_does_not_depend_on_the_text_before(recurrence: str) -> None:
    model = network(recurrence, 2, line_end=NEWLINE)
    start, long = np.array([NEWLINE]), np.append(text_of_lines(), NEWLINE)
    one, other = (list(islice(generate(model, prompt, sample_rng(8, 0), {}), 200)) for prompt in (start, long))
    assert one == other
    drawn = one.index(NEWLINE)  # the same holds after a newline that the sample itself contains:
    rng = sample_rng(8, 0)
    rng.random(drawn + 1)
    assert one[drawn + 1 :] == list(islice(generate(model, start, rng, {}), 200 - drawn - 1))


# ---- training ----

NAMES = corpus_of("".join(f"{name}\n" for name in ("anna", "bea", "ben", "cora", "dan", "dora", "eb")) * 40)


def run(recurrence: str, corpus: Corpus = NAMES, network: dict[str, Any] | None = None, **settings: Any) -> TrainState:
    model = {**cell_settings(recurrence), "line_end": corpus.vocab.newline_id, **(network or {})}
    return tiny_run(corpus, model, **{"val_fraction": 0.3, "lr": 0.03} | settings)


@every_cell
def test_the_loss_of_a_step_is_the_mean_over_lines_scored_alone(recurrence: str) -> None:
    state = run(recurrence, batch_size=1, seq_len=500)
    ids, start = split_text(state.config, state.model.config, NAMES.ids)[0][:500], NAMES.vocab.start_id
    lines = np.split(ids, np.flatnonzero(ids == start) + 1)
    nats = sum(score_ids(continuous(state.model), [line], start).nats for line in lines)
    report = next(train(state, NAMES.ids))
    assert report.chars == 500
    assert report.loss == pytest.approx(nats / 500, rel=1e-6)


@pytest.mark.parametrize(
    "noise", [{}, {"dropout": 0.1}, {"variational_dropout": 0.1}, {"network": {"zoneout": 0.1}}], ids=str
)
@every_cell
def test_names_are_learnt_in_fifty_steps(recurrence: str, noise: dict[str, Any]) -> None:
    state = run(recurrence, **{"steps": 50, "seq_len": 20, **noise})
    share = 0.8 if recurrence == "rnn_sigmoid" else 0.75  # its derivative, at most 1/4, makes it slower
    losses = [report.loss for report in train(state, NAMES.ids) if isinstance(report, StepReport)]
    assert losses[0] > 1.8
    assert np.mean(losses[-5:]) < share * losses[0]
    assert state.best
    assert state.best.nats < share * losses[0]


@every_cell
def test_a_run_resumed_from_any_report_ends_with_the_same_bytes(recurrence: str) -> None:
    corpus = corpus_of(random_text(700))
    state = run(recurrence, corpus, {"zoneout": 0.3, "num_layers": 2}, dropout=0.3, val_fraction=0.8)
    files = [to_bytes(state)]
    files += [to_bytes(state) for _ in train(state, corpus.ids)]
    for file in files:
        resumed = from_file(io.BytesIO(file))
        for _ in train(resumed, corpus.ids):
            pass
        assert to_bytes(resumed) == files[-1]


# ---- the held-out part ----


@settings(deadline=None, max_examples=50, derandomize=True)
@example([1, NEWLINE, 1], 0.4)
@example([1, 1, NEWLINE, 1], 0.25)
@given(st.lists(st.sampled_from([0, 1, NEWLINE]), min_size=2, max_size=40), st.floats(0.01, 0.99))
def test_a_text_is_split_at_the_start_of_a_line(text: list[int], fraction: float) -> None:
    ids, cut = np.array(text), int(len(text) * (1 - fraction))
    starts = [at for at in range(max(cut, 1), len(text)) if text[at - 1] == NEWLINE]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "SEARCHED", 3)
        if cut and starts:
            to_train, held_out = split(ids, fraction, NEWLINE)
            assert (to_train.tolist(), held_out.tolist()) == (text[: starts[0]], text[starts[0] :])
        else:
            with pytest.raises(TextError, match=r"no whole line to train on or to hold out: .*--val-fraction"):
                split(ids, fraction, NEWLINE)
    assert split(ids, 0, NEWLINE)[0].tolist() == text
