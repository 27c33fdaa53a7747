"""Ensembles: each network is trained as if it were alone, and the mean of their logits is the model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from charrnn.checkpoint.format import to_bytes
from charrnn.core.cells import CELLS
from charrnn.core.cells.cell import State
from charrnn.core.model import CharRNN, initial_parameters, parameter_shapes, size_of
from charrnn.core.network import scope
from charrnn.core.ops import Array
from charrnn.core.state import TrainState
from charrnn.core.train import StepReport, train
from charrnn.data.corpus import Corpus
from charrnn.evaluation.text import score_ids
from tests.helpers.files import cell_settings, copy_of, corpus_of, random_text, tiny_run
from tests.helpers.models import B, T, tiny_config
from tests.helpers.naive import check_every_gradient, problem

K, L = 3, 2
every_cell = pytest.mark.parametrize("cell", CELLS)


def alone(model: CharRNN, k: int) -> CharRNN:
    """Return network k as a single model."""
    params = scope(model.params, f"networks.{k}.")
    config = replace(model.config, ensemble=1)
    vector = np.concatenate([params[name].reshape(-1) for name in parameter_shapes(config)])
    return CharRNN(config, vector)


def flat(state: State) -> list[Array]:
    return [part for layer in state for part in layer]


@every_cell
def test_the_logits_are_the_mean_of_the_logits_of_the_networks(cell: str) -> None:
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
def test_the_gradient_of_the_loss_of_the_mean_agrees_with_finite_differences(cell: str, config: dict[str, Any]) -> None:
    task = problem(cell, L, ensemble=K, **config)
    T, B = task.x.shape
    cache = task.model.cache(T, B, masks=T)
    for k, network in enumerate(task.model.networks):
        network.draw_masks(task.model.each(cache)[k], 0.3, np.random.default_rng(k))
    check_every_gradient(task, cache)


def test_networks_have_different_initial_weights_under_different_names() -> None:
    config = tiny_config(ensemble=K, num_layers=L)
    model = CharRNN(config, initial_parameters(config, np.random.default_rng(0)))
    names = [name.split(".", 2) for name in model.params]
    assert {k for _, k, _ in names} == {"0", "1", "2"}
    assert len({model.params[f"networks.{k}.layers.1.W_hh"].tobytes() for k in range(K)}) == K
    assert len(model.vector) == K * size_of(parameter_shapes(replace(config, ensemble=1)))
    dims = [array.ndim for array in model.params.values()]
    assert dims == sorted(dims, reverse=True)  # matrices first: weight decay applies to the front of the vector


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(random_text(400))


def losses_of(state: TrainState, corpus: Corpus) -> list[float]:
    """Train to the end; return the loss of each step."""
    return [report.loss for report in train(state, corpus.ids) if isinstance(report, StepReport)]


@every_cell
def test_each_network_is_trained_as_if_it_were_alone(cell: str, corpus: Corpus) -> None:
    run = {"val_fraction": 0.0, "grad_clip": 1e9, "weight_decay": 0.3, "lr": 0.03}
    together = tiny_run(corpus, {"ensemble": K, "num_layers": L, **cell_settings(cell)}, **run)
    singles = [tiny_run(corpus, {"num_layers": L, **cell_settings(cell)}, **run) for _ in range(K)]
    for k, single in enumerate(singles):
        single.model.vector[:] = alone(together.model, k).vector
    losses = np.array([losses_of(single, corpus) for single in singles])
    assert_allclose(losses_of(together, corpus), losses.mean(axis=0), rtol=1e-6)
    for k, single in enumerate(singles):
        assert_allclose(alone(together.model, k).vector, single.model.vector, rtol=1e-5, atol=1e-7)


@every_cell
def test_the_loss_of_the_mean_is_below_the_mean_of_the_losses(cell: str, corpus: Corpus) -> None:
    together = tiny_run(corpus, {"ensemble": K, **cell_settings(cell)}, val_fraction=0.0)
    losses_of(together, corpus)
    losses = [score_ids(alone(together.model, k), [corpus.ids], 0).nats for k in range(K)]
    assert score_ids(together.model, [corpus.ids], 0).nats < np.mean(losses)


@every_cell
def test_a_run_resumed_from_any_report_equals_an_uninterrupted_one(cell: str, corpus: Corpus) -> None:
    config = {"ensemble": 2, "num_layers": L, "zoneout": 0.2, **cell_settings(cell)}
    state = tiny_run(corpus, config, dropout=0.3, val_fraction=0.2)
    copies = [copy_of(state), *(copy_of(state) for _ in train(state, corpus.ids))]
    for stopped in copies[::5]:
        losses_of(stopped, corpus)
        assert to_bytes(stopped) == to_bytes(state)
