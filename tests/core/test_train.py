import copy
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.batches import split
from charrnn.core.cells import CELLS
from charrnn.core.cells.cell import Cache
from charrnn.core.config import Purpose
from charrnn.core.errors import CheckpointError, DivergedError, TextError
from charrnn.core.model import parameter_shapes, views
from charrnn.core.network import Network
from charrnn.core.optim import OPTIMIZERS, lr_at
from charrnn.core.train import StepReport, train
from charrnn.data.corpus import Corpus
from charrnn.evaluation.text import score_ids
from tests.helpers.files import array_of, cell_settings, corpus_of, plain, tiny_run
from tests.helpers.models import T
from tests.helpers.runs import HELD_OUT, every_noise, finished, losses, noisy_run, run

PERIODIC = corpus_of("abcabd\n" * 60)  # the character after ab depends on the one before
DEFAULT_BUDGET = {"steps": 250, "lr": 0.02}
BUDGETS = {"rnn_sigmoid": {"steps": 800, "lr": 0.1}, "rnn_softsign": {"steps": 400, "lr": 0.02}}  # they learn slower

# ---- learning ----


def test_a_step_reports_the_loss_before_its_update_and_its_learning_rate(corpus: Corpus) -> None:
    state = run(corpus, batch_size=1)
    initial = score_ids(state.model, [corpus.ids[:T]], corpus.vocab.start_id).nats_per_char
    reports = [report for report in train(state, corpus.ids) if isinstance(report, StepReport)]
    assert reports[0].loss == pytest.approx(initial, rel=1e-6)
    assert [report.lr for report in reports] == [lr_at(step, state.config) for step in range(16)]
    assert [report.step for report in reports] == list(range(1, 17))


def test_the_optimizer_gets_the_number_of_each_step(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    adamw, numbers = OPTIMIZERS["adamw"], []

    def step(*arguments: Any) -> None:
        numbers.append(arguments[-2])
        adamw.step(*arguments)

    monkeypatch.setitem(OPTIMIZERS, "adamw", adamw._replace(step=step))
    state = run(corpus, optimizer="adamw")
    next(report for report in train(state, corpus.ids) if report.step == 9)
    finished(state, corpus)
    assert numbers == list(range(1, 17))


def test_weight_decay_applies_to_matrices_only(corpus: Corpus) -> None:
    plain_run, decayed = (run(corpus, weight_decay=decay) for decay in (0.0, 0.5))
    initial = views(plain_run.model.vector + 0.5, parameter_shapes(plain_run.model.config))  # so that biases are not 0
    for state in (plain_run, decayed):
        state.model.vector += 0.5
        next(train(state, corpus.ids))
    for name, before in initial.items():
        decay = lr_at(0, plain_run.config) * 0.5 * before if before.ndim == 2 else 0 * before
        np.testing.assert_allclose(plain_run.model.params[name] - decayed.model.params[name], decay, rtol=0, atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns(optimizer: str) -> None:
    periodic = corpus_of("abcabdabe" * 60)
    state = run(periodic, optimizer=optimizer, steps=150, weight_decay=0.0, val_fraction=0.0)
    found = losses(list(train(state, periodic.ids)))
    assert found[0] > 1.5
    assert found[-1] < 0.9


@pytest.mark.parametrize("ensemble", [1, 2])
@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("zoneout", [0.0, 0.1])
@pytest.mark.parametrize("noise", [{}, {"dropout": 0.1}, {"variational_dropout": 0.1}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_learns_with_every_combination_of_options(
    cell: str, noise: dict[str, Any], zoneout: float, lines: bool, ensemble: int
) -> None:
    text = corpus_of("a dog\nno cat\na cow\n" * 20)
    model = {"num_layers": 2, "zoneout": zoneout, "ensemble": ensemble, **cell_settings(cell)}
    model |= {"line_end": text.vocab.newline_id} if lines else {}
    state = run(text, model, steps=50, val_fraction=0.2, **noise)
    found = losses(list(train(state, text.ids)))
    assert len(found) == 50
    assert np.mean(found[-10:]) < 0.95 * np.mean(found[:10])
    assert state.best
    assert state.best.nats < found[0]


@every_noise
@pytest.mark.parametrize("cell", CELLS)
def test_a_periodic_text_is_learnt_with_dropout_and_zoneout(cell: str, noise: dict[str, Any]) -> None:
    model, light = {"hidden_size": 24, **cell_settings(cell)}, dict.fromkeys(noise, 0.1)
    settings = {**BUDGETS.get(cell, DEFAULT_BUDGET), "eval_every": 50, "val_fraction": 0.1}
    state = noisy_run(PERIODIC, light, model, **settings)
    finished(state, PERIODIC)
    assert state.best
    assert state.best.nats < 0.05


@pytest.mark.parametrize("cell", CELLS)
def test_a_periodic_text_is_memorized(cell: str) -> None:
    settings = {**BUDGETS.get(cell, DEFAULT_BUDGET), "val_fraction": 0.1}
    hidden_size = 24 if cell == "rnn_sigmoid" else 12
    state = tiny_run(PERIODIC, {"hidden_size": hidden_size, **cell_settings(cell)}, **settings)
    found = losses(list(train(state, PERIODIC.ids)))
    assert found[0] > 1
    assert max(found[-20:]) < 0.02
    assert state.best
    assert state.best.nats < 0.05


# ---- dropout and zoneout ----


@every_noise
def test_masks_follow_from_seed_and_step_and_change_the_weights(
    noise: dict[str, Any], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[bytes] = []
    initial_states: list[Any] = []
    draw_masks = Network.draw_masks

    def recorded(network: Network, cache: Cache, dropout: float, rng: np.random.Generator, *streams: Any) -> None:
        initial_states.append(rng.bit_generator.state)
        draw_masks(network, cache, dropout, rng, *streams)
        drawn.append(cache["layers.0.keep" if "zoneout" in noise else "layers.0.mask"].tobytes())

    without = finished(run(corpus), corpus)
    monkeypatch.setattr(Network, "draw_masks", recorded)
    one, same, other = (finished(noisy_run(corpus, noise, {}, seed=seed), corpus) for seed in (0, 0, 1))
    assert one == same
    expected = [np.random.default_rng([0, step, Purpose.DROPOUT, 0, 0]) for step in range(16)]
    assert initial_states[:16] == [rng.bit_generator.state for rng in expected]
    assert drawn[:16] == drawn[16:32]
    assert len({*drawn[:16], *drawn[32:]}) == 32
    assert not np.array_equal(array_of(one, "last"), array_of(without, "last"))
    assert one != other


@every_noise
def test_a_rate_of_zero_equals_no_rate(noise: dict[str, Any], corpus: Corpus) -> None:
    assert finished(noisy_run(corpus, dict.fromkeys(noise, 0), {}), corpus) == finished(run(corpus), corpus)


@every_noise
def test_scoring_uses_no_dropout_and_no_random_zoneout(noise: dict[str, Any], corpus: Corpus) -> None:
    state = noisy_run(corpus, noise, {"num_layers": 2})
    held_out = split(corpus.ids, HELD_OUT)[1]
    expected = score_ids(state.model, [held_out], corpus.vocab.start_id)
    assert expected == score_ids(state.model, [held_out], corpus.vocab.start_id)
    if "zoneout" not in noise:
        assert expected == score_ids(run(corpus, {"num_layers": 2}).model, [held_out], corpus.vocab.start_id)


# ---- runs that fail or end early ----


@pytest.mark.parametrize("lr", [1e3, 1e6, 1e39])
@pytest.mark.parametrize("cell", CELLS)
def test_a_run_that_diverges_names_the_step_and_keeps_the_last_good_file(
    cell: str, lr: float, corpus: Corpus, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path / "m.npz")
    state = run(corpus, cell_settings(cell), lr=lr, steps=100, warmup=1, val_fraction=0.0)
    before: list[dict[str, Any]] = []

    def train_and_save() -> None:
        for _ in train(state, corpus.ids):
            before.append(plain(copy.deepcopy(state)))
            with suppress(CheckpointError):  # the update itself may have overflowed
                store.save(state)

    store.save(state)
    with pytest.raises(DivergedError, match="not finite") as raised:
        train_and_save()
    assert str(raised.value).startswith(f"step {state.step + 1}: ")
    np.testing.assert_equal(plain(state), before[-1])
    assert np.isfinite(store.load().model.vector).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("head.b_y", [3e38, -3e38, 0, 0, 0, 0, 0]),  # the loss overflows; its gradient is 1 or -1
        ("embed.W", 1e30),  # the gradient overflows; the loss is that of a uniform distribution
    ],
)
def test_a_loss_or_a_gradient_that_is_not_finite_ends_the_run(name: str, value: Any, corpus: Corpus) -> None:
    state = run(corpus, {"activation": "relu"})
    state.model.params["head.W_hy"][...] = 0
    state.model.params[name][...] = value
    with pytest.raises(DivergedError, match="step 1: "):
        next(train(state, corpus.ids))
    assert state.step == 0


@pytest.mark.parametrize(("chars", "settings"), [(14, {"val_fraction": 0.0}), (20, {"val_fraction": 0.5})])
def test_a_text_too_short_for_its_windows_is_refused(chars: int, settings: dict[str, Any]) -> None:
    corpus = corpus_of(("ab\n" * chars)[:chars])
    with pytest.raises(TextError, match="too few for --batch-size 3 --seq-len 5"):
        next(train(tiny_run(corpus, **settings), corpus.ids))


def test_a_run_ends_at_its_steps_when_they_change_during_training(corpus: Corpus) -> None:
    state = tiny_run(corpus, steps=20, val_fraction=0)
    for report in train(state, corpus.ids):
        if report.step == 3:
            state.config = replace(state.config, steps=5)
    assert state.step == 5
