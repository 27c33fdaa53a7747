"""Networks of lines: where the input is a newline the state begins anew, so each line is an example of its own."""

import io
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from charrnn.cells import CELLS
from charrnn.cells.cell import Cache, Params, State
from charrnn.checkpoint import Checkpoint
from charrnn.checkpoint.format import from_file, to_bytes
from charrnn.corpus import Corpus, split, streams
from charrnn.errors import TextError
from charrnn.evaluate import WINDOW, score_ids
from charrnn.model import CharRNN
from charrnn.ops import Ids, cross_entropy_backward
from charrnn.sampling import generate, sample_rng
from charrnn.step import StepReport
from charrnn.train import parts, train
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
BEGINNINGS: tuple[set[int], ...] = ({0, 4}, {8}, {2, 3}, set(), {0, 1, 8})  # of lines, in each stream
B = len(BEGINNINGS)
NOISES = {  # rows of masks in the cache, rate of dropout, rate of zoneout
    "nothing": (0, 0.0, 0.0),
    "zoneout": (0, 0.0, 0.4),
    "dropout and zoneout": (T, 0.3, 0.3),
    "variational dropout": (1, 0.5, 0.0),
}

every_cell = pytest.mark.parametrize("recurrence", CELLS)
layers = pytest.mark.parametrize("num_layers", [1, 2])
noisily = pytest.mark.parametrize("noise", NOISES)


def task_of_lines(recurrence: str, num_layers: int, **config: Any) -> Problem:
    """A task with a newline where BEGINNINGS says, and nowhere else."""
    task = problem(recurrence, num_layers, T, B, line_end=NEWLINE, **config)
    task.x[task.x == NEWLINE] = 5
    for b, steps in enumerate(BEGINNINGS):
        task.x[list(steps), b] = NEWLINE
    return task


def noisy(recurrence: str, num_layers: int, noise: str) -> tuple[Problem, Cache]:
    """A task of lines and a cache with masks drawn, which every pass over it uses."""
    masks, dropout, zoneout = NOISES[noise]
    task = task_of_lines(recurrence, num_layers, zoneout=zoneout)
    cache = task.model.cache(T, B, masks)
    task.model.networks[0].draw_masks(cache, dropout, np.random.default_rng(11))
    return task, cache


def plain(model: CharRNN) -> CharRNN:
    """The same network for a text without end."""
    return CharRNN(replace(model.config, line_end=None), model.vector)


def stream(state: State, b: int) -> State:
    return [tuple(part[:, [b]] for part in layer) for layer in state]


def put(state: State, b: int, single: State) -> None:
    for layer, one in zip(state, single, strict=True):
        for part, column in zip(layer, one, strict=True):
            part[:, [b]] = column


def each_line_alone(task: Problem) -> Pass:
    """Go naively through one line after the other, each from a state of zero unless it began before the window."""
    model, nothing, loss = plain(task.model), task.model.zero_state(1), 0.0
    grads, state, dstate0 = zero_gradients(model), model.zero_state(B), model.zero_state(B)
    logits = np.empty((T, model.config.vocab_size, B))
    for b, begins in enumerate(BEGINNINGS):
        for begin, end in pairwise(sorted({0, *begins, T})):
            before = nothing if begin in begins else stream(task.state, b)
            dafter = stream(task.dstate, b) if end == T else nothing
            line = naive_pass(Problem(model, task.x[begin:end, [b]], task.y[begin:end, [b]], before, dafter))
            loss, logits[begin:end, :, [b]] = loss + line.loss, line.logits
            for name, grad in line.grads.items():
                grads[name] += grad
            if end == T:
                put(state, b, line.state)
            if begin == 0 and 0 not in begins:
                put(dstate0, b, line.dstate0)
    return Pass(loss, logits, state, grads, dstate0)


def named(result: Pass) -> Params:
    """Return every array of a pass by name."""
    dstate0 = {f"d{name}": part for name, part in arrays(result.dstate0).items()}
    return {"loss": np.array(result.loss), "logits": result.logits} | arrays(result.state) | result.grads | dstate0


def assert_close(one: Pass, other: Pass, tolerance: float) -> None:
    for (name, a), b in zip(named(one).items(), named(other).values(), strict=True):
        assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=name)


# ---- a window ----


@layers
@every_cell
def test_a_pass_over_lines_is_the_sum_of_naive_passes_over_each_line_alone(recurrence: str, num_layers: int) -> None:
    task = task_of_lines(recurrence, num_layers)
    assert_close(library_pass(task), each_line_alone(task), 1e-12)


@noisily
@layers
@every_cell
def test_every_gradient_over_lines_agrees_with_finite_differences(recurrence: str, num_layers: int, noise: str) -> None:
    task, cache = noisy(recurrence, num_layers, noise)
    check_every_gradient(task, cache)


@noisily
@every_cell
def test_a_change_in_one_line_changes_no_other(recurrence: str, noise: str) -> None:
    task, cache = noisy(recurrence, 2, noise)
    before, felt = library_pass(task, cache), 0
    for t, b in zip(*np.nonzero(task.x != NEWLINE), strict=True):
        changed = task._replace(x=task.x.copy())
        changed.x[t, b] = 1 if task.x[t, b] != 1 else 0
        result = library_pass(changed, cache)
        end = min({T, *(begin for begin in BEGINNINGS[b] if begin > t)})
        differs = np.any(result.logits != before.logits, axis=1)  # (T, B)
        felt += differs[t:end, b].any()
        differs[t:end, b] = False
        assert not differs.any()
        if end < T:
            assert_array_equal(np.array(result.state), np.array(before.state))
    assert felt > 0.5 * np.count_nonzero(task.x != NEWLINE)  # masks may hide one


@pytest.mark.parametrize("at", [(1, 0), (4, 0), (8, 1), (2, 2)])
@every_cell
def test_a_loss_teaches_nothing_but_the_symbols_of_its_own_line(recurrence: str, at: tuple[int, int]) -> None:
    task = task_of_lines(recurrence, 2)
    (step, b), cache, grads = at, task.model.cache(T, B), zero_gradients(task.model)
    y = np.full_like(task.x, -1)
    y[at] = 3
    logits, _ = task.model.forward(task.x, task.state, cache)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    dstate0 = task.model.backward(cross_entropy_backward(probs, y, 1), task.x, cache, grads)
    begins = [t for t in BEGINNINGS[b] if t <= step]
    own = task.x[max(begins, default=0) : step + 1, b]
    assert set(np.flatnonzero(grads["embed.W"].any(axis=1))) == set(own)
    reached = {i for part in arrays(dstate0).values() for i in np.flatnonzero(part.any(axis=0))}
    assert reached == (set() if begins else {b})


@noisily
@every_cell
def test_lines_whole_equal_the_same_in_windows_with_carried_state(recurrence: str, noise: str) -> None:
    task, cache = noisy(recurrence, 2, noise)
    whole, state, windows = library_pass(task, cache), task.state, list[tuple[Problem, Cache]]()
    drawn = {name: array for name, array in cache.items() if name.endswith(("mask", "keep"))}
    for begin, end in ((0, 3), (3, 4), (4, T)):  # a line begins with the second, another with the third
        own = {name: array[begin:end] if len(array) == T else array for name, array in drawn.items()}
        part = task._replace(x=task.x[begin:end], y=task.y[begin:end], state=state)
        windows.append((part, cache | own))
        result = library_pass(*windows[-1])
        assert_array_equal(result.logits, whole.logits[begin:end])
        state = result.state
    assert_array_equal(np.array(state), np.array(whole.state))
    dstate, grads = task.dstate, zero_gradients(task.model)
    for part, own in reversed(windows):
        dstate = library_pass(part._replace(dstate=dstate), own, grads).dstate0
    assert_array_equal(np.array(dstate), np.array(whole.dstate0))
    for name in grads:  # sums over steps, cut differently
        assert_allclose(grads[name], whole.grads[name], rtol=0, atol=1e-12, err_msg=name)


@noisily
@every_cell
def test_a_window_without_newlines_is_read_as_by_a_network_without_lines(recurrence: str, noise: str) -> None:
    task, cache = noisy(recurrence, 2, noise)
    task.x[task.x == NEWLINE] = 5
    without = {name: array for name, array in cache.items() if not name.endswith(("alive", "out"))}
    assert_close(library_pass(task, cache), library_pass(task._replace(model=plain(task.model)), without), 0)


@every_cell
def test_a_network_without_lines_has_no_memory_for_them(recurrence: str) -> None:
    task = task_of_lines(recurrence, 2)
    lines, without = (model.cache(T, B) for model in (task.model, plain(task.model)))
    assert sum(array.size for array in lines.values()) - sum(array.size for array in without.values()) == (
        2 * (task.model.config.hidden_size + 1) * T * B
    )


@every_cell
def test_a_window_of_fewer_steps_uses_the_same_cache(recurrence: str) -> None:
    task = task_of_lines(recurrence, 2)
    cache = {name: np.full_like(array, np.nan) for name, array in task.model.cache(T + 2, B).items()}
    assert_close(library_pass(task, cache), library_pass(task), 0)
    short = task._replace(x=task.x[2:5], y=task.y[2:5])
    assert_close(library_pass(short, cache), library_pass(short), 0)


# ---- scores and samples ----


def lines_of(ids: Ids) -> list[Ids]:
    """Cut ids after each newline; the last line may be without."""
    return [line for line in np.split(ids, np.flatnonzero(ids == NEWLINE) + 1) if len(line)]


def text_of_lines() -> Ids:
    """Four windows of ids: short lines, empty ones, one longer than a window, and a last one that does not end."""
    ids = np.random.default_rng(3).integers(0, 7, 4 * WINDOW)
    ids[300 : 310 + WINDOW][ids[300 : 310 + WINDOW] == NEWLINE] = 5
    ids[20:23], ids[-1] = NEWLINE, 0
    return ids


@layers
@every_cell
def test_a_text_of_lines_costs_what_each_of_them_costs_alone(recurrence: str, num_layers: int) -> None:
    model, ids = network(recurrence, num_layers, line_end=NEWLINE), text_of_lines()
    whole = score_ids(model, [ids[:100], ids[100:]], NEWLINE)
    alone = [score_ids(plain(model), [line], NEWLINE) for line in lines_of(ids)]
    assert whole.nats == pytest.approx(sum(line.nats for line in alone), rel=1e-12)
    assert (whole.chars, whole.hits) == (len(ids), sum(line.hits or 0 for line in alone))
    assert whole.nats != pytest.approx(score_ids(plain(model), [ids], NEWLINE).nats, rel=1e-6)


@every_cell
def test_after_a_newline_a_sample_does_not_depend_on_what_came_before(recurrence: str) -> None:
    model = network(recurrence, 2, line_end=NEWLINE)
    start, long = np.array([NEWLINE]), np.append(text_of_lines(), NEWLINE)
    one, other = (list(islice(generate(model, prompt, sample_rng(8, 0), {}), 200)) for prompt in (start, long))
    assert one == other
    drawn = one.index(NEWLINE)  # it begins anew after a newline of its own too:
    rng = sample_rng(8, 0)
    rng.random(drawn + 1)
    assert one[drawn + 1 :] == list(islice(generate(model, start, rng, {}), 200 - drawn - 1))


# ---- training ----

NAMES = corpus_of("".join(f"{name}\n" for name in ("anna", "bea", "ben", "cora", "dan", "dora", "eb")) * 40)


def run(recurrence: str, corpus: Corpus = NAMES, network: dict[str, Any] | None = None, **settings: Any) -> Checkpoint:
    model = {**cell_settings(recurrence), "line_end": corpus.vocab.newline_id, **(network or {})}
    return tiny_run(corpus, model, **{"val_fraction": 0.3, "lr": 0.03} | settings)


@every_cell
def test_the_loss_of_a_step_is_the_mean_over_its_lines_each_scored_alone(recurrence: str) -> None:
    checkpoint = run(recurrence, batch_size=1, seq_len=500)
    ids, start = parts(checkpoint, NAMES.ids)[0][:500], NAMES.vocab.start_id
    lines = np.split(ids, np.flatnonzero(ids == start) + 1)
    nats = sum(score_ids(plain(checkpoint.model), [line], start).nats for line in lines)
    report = next(train(checkpoint, NAMES.ids))
    assert report.chars == 500
    assert report.loss == pytest.approx(nats / 500, rel=1e-6)


@pytest.mark.parametrize(
    "noise", [{}, {"dropout": 0.1}, {"variational_dropout": 0.1}, {"network": {"zoneout": 0.1}}], ids=str
)
@every_cell
def test_fifty_steps_teach_names(recurrence: str, noise: dict[str, Any]) -> None:
    checkpoint = run(recurrence, **{"steps": 50, "seq_len": 20, **noise})
    seen = [report.loss for report in train(checkpoint, NAMES.ids) if isinstance(report, StepReport)]
    assert seen[0] > 1.8
    assert np.mean(seen[-5:]) < 0.75 * seen[0]
    assert checkpoint.best
    assert checkpoint.best.nats < 0.75 * seen[0]


@every_cell
def test_a_run_over_lines_stopped_at_any_report_ends_with_the_same_bytes(recurrence: str) -> None:
    corpus = corpus_of(random_text(700))
    checkpoint = run(recurrence, corpus, {"zoneout": 0.3, "num_layers": 2}, dropout=0.3, val_fraction=0.8)
    files = [to_bytes(checkpoint)]
    files += [to_bytes(checkpoint) for _ in train(checkpoint, corpus.ids)]
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
def test_a_text_is_split_where_a_line_begins(text: list[int], fraction: float) -> None:
    ids, cut = np.array(text), int(len(text) * (1 - fraction))
    places = [at for at in range(max(cut, 1), len(text)) if text[at - 1] == NEWLINE]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BLOCK", 3)
        if cut and places:
            to_learn, held_out = split(ids, fraction, NEWLINE)
            assert (to_learn.tolist(), held_out.tolist()) == (text[: places[0]], text[places[0] :])
        else:
            with pytest.raises(TextError, match=r"no whole line to train on or to hold out: .*--val-fraction"):
                split(ids, fraction, NEWLINE)
    assert split(ids, 0, NEWLINE)[0].tolist() == text
