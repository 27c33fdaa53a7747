"""Several networks side by side: each as if it were alone, and their mean as one model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from charrnn.cells import CELLS
from charrnn.cells.cell import State
from charrnn.checkpoint import Checkpoint
from charrnn.checkpoint.format import to_bytes
from charrnn.corpus import Corpus
from charrnn.evaluate import score_ids
from charrnn.model import CharRNN, initial_parameters, parameter_shapes, size_of
from charrnn.network import scope
from charrnn.ops import Array
from charrnn.step import StepReport
from charrnn.train import train
from tests.helpers.files import cell_settings, copy_of, corpus_of, random_text, tiny_run
from tests.helpers.models import B, T, tiny_config
from tests.helpers.naive import check_every_gradient, problem

K, L = 3, 2
every_cell = pytest.mark.parametrize("cell", CELLS)


def alone(model: CharRNN, k: int) -> CharRNN:
    """Network k as a model of its own."""
    params = scope(model.params, f"networks.{k}.")
    config = replace(model.config, ensemble=1)
    vector = np.concatenate([params[name].reshape(-1) for name in parameter_shapes(config)])
    return CharRNN(config, vector)


def flat(state: State) -> list[Array]:
    return [part for layer in state for part in layer]


@every_cell
def test_its_logits_are_the_mean_of_what_each_network_says_alone(cell: str) -> None:
    task = problem(cell, L, ensemble=K)
    model, x, state = task.model, task.x, task.state
    logits, after = model.forward(x, state, model.cache(T, B))
    passes = []
    for k in range(K):
        one = alone(model, k)
        passes.append(one.forward(x, state[k * L : (k + 1) * L], one.cache(T, B)))
    assert_allclose(logits, sum(each for each, _ in passes) / K, rtol=1e-14, atol=1e-14)
    assert all(map(np.array_equal, flat(after), [part for _, layers in passes for part in flat(layers)]))


@pytest.mark.parametrize("config", [{}, {"zoneout": 0.3}, {"zoneout": 0.3, "line_end": 5}], ids=str)
@every_cell
def test_the_gradient_of_the_means_loss_agrees_with_finite_differences(cell: str, config: dict[str, Any]) -> None:
    task = problem(cell, L, ensemble=K, **config)
    T, B = task.x.shape
    cache = task.model.cache(T, B, masks=T)
    for k, network in enumerate(task.model.networks):
        network.draw_masks(task.model.each(cache)[k], 0.3, np.random.default_rng(k))
    check_every_gradient(task, cache)


def test_networks_begin_differently_and_are_told_apart_by_name() -> None:
    config = tiny_config(ensemble=K, num_layers=L)
    model = CharRNN(config, initial_parameters(config, np.random.default_rng(0)))
    names = [name.split(".", 2) for name in model.params]
    assert {k for _, k, _ in names} == {"0", "1", "2"}
    assert len({model.params[f"networks.{k}.layers.1.W_hh"].tobytes() for k in range(K)}) == K
    assert len(model.vector) == K * size_of(parameter_shapes(replace(config, ensemble=1)))
    dims = [array.ndim for array in model.params.values()]
    assert dims == sorted(dims, reverse=True)  # all matrices first: weight decay is for the vector's front


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(random_text(400))


def finished(checkpoint: Checkpoint, corpus: Corpus) -> list[float]:
    return [report.loss for report in train(checkpoint, corpus.ids) if isinstance(report, StepReport)]


@every_cell
def test_each_network_learns_as_if_it_were_alone(cell: str, corpus: Corpus) -> None:
    run = {"val_fraction": 0.0, "grad_clip": 1e9, "weight_decay": 0.3, "lr": 0.03}
    together = tiny_run(corpus, {"ensemble": K, "num_layers": L, **cell_settings(cell)}, **run)
    singles = [tiny_run(corpus, {"num_layers": L, **cell_settings(cell)}, **run) for _ in range(K)]
    for k, single in enumerate(singles):
        single.model.vector[:] = alone(together.model, k).vector
    losses = np.array([finished(single, corpus) for single in singles])
    assert_allclose(finished(together, corpus), losses.mean(axis=0), rtol=1e-6)
    for k, single in enumerate(singles):
        assert_allclose(alone(together.model, k).vector, single.model.vector, rtol=1e-5, atol=1e-7)


@every_cell
def test_the_mean_is_never_worse_than_the_networks_are_on_average(cell: str, corpus: Corpus) -> None:
    together = tiny_run(corpus, {"ensemble": K, **cell_settings(cell)}, val_fraction=0.0)
    finished(together, corpus)
    costs = [score_ids(alone(together.model, k), [corpus.ids], 0).nats for k in range(K)]
    assert score_ids(together.model, [corpus.ids], 0).nats < np.mean(costs)


@every_cell
def test_a_run_stopped_at_any_report_goes_on_as_if_it_had_not_been(cell: str, corpus: Corpus) -> None:
    config = {"ensemble": 2, "num_layers": L, "zoneout": 0.2, **cell_settings(cell)}
    checkpoint = tiny_run(corpus, config, dropout=0.3, val_fraction=0.2)
    copies = [copy_of(checkpoint), *(copy_of(checkpoint) for _ in train(checkpoint, corpus.ids))]
    for stopped in copies[::5]:
        finished(stopped, corpus)
        assert to_bytes(stopped) == to_bytes(checkpoint)
