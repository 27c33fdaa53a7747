import copy
import io
import math
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.cells import CELLS
from charrnn.cells.cell import Cache
from charrnn.checkpoint import Checkpoint, CheckpointStore
from charrnn.checkpoint.format import from_file, to_bytes
from charrnn.config import Stream
from charrnn.corpus import Corpus, split
from charrnn.errors import CheckpointError, DivergedError, TextError
from charrnn.evaluate import WINDOW, score_ids
from charrnn.model import parameter_shapes, views
from charrnn.network import Network
from charrnn.ops import Array
from charrnn.optim import OPTIMIZERS, Slots
from charrnn.sampling import generate, sample_rng
from charrnn.schedule import lr_at
from charrnn.step import StepReport
from charrnn.train import EvalReport, Report, train
from tests.helpers.files import array_of, cell_settings, corpus_of, plain, random_text, tiny_run
from tests.helpers.models import B, T

HELD_OUT = 0.855  # of 700 characters: 101 to train on, in parts of 33, 34 and 34, and three windows to validate on


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(random_text(700))


def run(corpus: Corpus, model: dict[str, Any] | None = None, **settings: Any) -> Checkpoint:
    return tiny_run(corpus, model, **{"val_fraction": HELD_OUT, "weight_decay": 0.1, "lr": 0.05} | settings)


def finished(checkpoint: Checkpoint, corpus: Corpus) -> bytes:
    """Train to the end; return the bytes of the model file."""
    for _ in train(checkpoint, corpus.ids):
        pass
    return to_bytes(checkpoint)


def losses(reports: list[Report]) -> list[float]:
    return [report.loss for report in reports if isinstance(report, StepReport)]


def under_way(report: Report) -> bool:
    return isinstance(report, EvalReport) and report.loss is None


NOISES: list[dict[str, Any]] = [{"dropout": 0.3}, {"variational_dropout": 0.3}, {"zoneout": 0.3}]
noisily = pytest.mark.parametrize("noise", NOISES, ids=str)


def noisy(corpus: Corpus, noise: dict[str, Any], model: dict[str, Any], **settings: Any) -> Checkpoint:
    """A run with dropout or zoneout, each where it belongs."""
    network = {name: rate for name, rate in noise.items() if name == "zoneout"}
    return run(corpus, model | network, **settings | {n: rate for n, rate in noise.items() if n not in network})


# ---- what a validation reads ----


def test_a_validation_scores_the_first_characters_held_out(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charrnn.train.VALIDATION_CHARS", 260)
    checkpoint = run(corpus, steps=4)
    (*_, last) = train(checkpoint, corpus.ids)
    held_out = split(corpus.ids, HELD_OUT)[1]
    first = score_ids(checkpoint.model, [held_out[:260]], checkpoint.vocab.start_id)
    assert isinstance(last, EvalReport)
    assert (last.chars, last.loss) == (260, first.nats / 260)
    assert checkpoint.history == [(4, last.train_loss, last.loss)]


# ---- stopping, looking and saving change nothing ----


@pytest.mark.parametrize(("layers", "noise"), [(1, {}), (2, {}), *((2, noise) for noise in NOISES)], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_a_run_stopped_at_any_report_goes_on_as_if_it_had_not_been(
    cell: str, layers: int, noise: dict[str, Any], corpus: Corpus
) -> None:
    checkpoint = noisy(corpus, noise, {"num_layers": layers, **cell_settings(cell)})
    files, reports = [to_bytes(checkpoint)], []
    for report in train(checkpoint, corpus.ids):
        reports.append(report)
        files.append(to_bytes(checkpoint))
    chars = [report.chars for report in reports if isinstance(report, StepReport)]
    assert chars == [*[B * T] * 6, 11, *[B * T] * 6, 11, B * T, B * T]  # two epochs, each with a short window, and more
    assert sum(map(under_way, reports)) == 4 * (599 // WINDOW)
    for done, file in enumerate(files):
        while done and under_way(reports[done - 1]):
            done -= 1  # a validation begins anew
        resumed = from_file(io.BytesIO(file))
        assert list(train(resumed, corpus.ids)) == reports[done:]
        assert to_bytes(resumed) == files[-1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_from_its_file_as_if_it_had_not_stopped(optimizer: str, corpus: Corpus) -> None:
    checkpoint = run(corpus, optimizer=optimizer)
    next(report for report in train(checkpoint, corpus.ids) if report.step == 9)
    resumed = from_file(io.BytesIO(to_bytes(checkpoint)))
    assert finished(resumed, corpus) == finished(run(corpus, optimizer=optimizer), corpus)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns(optimizer: str) -> None:
    periodic = corpus_of("abcabdabe" * 60)
    checkpoint = run(periodic, optimizer=optimizer, steps=150, weight_decay=0.0, val_fraction=0.0)
    seen = losses(list(train(checkpoint, periodic.ids)))
    assert seen[0] > 1.5
    assert seen[-1] < 0.9


def test_a_copy_trains_as_its_original_does(corpus: Corpus) -> None:
    original = run(corpus)
    assert finished(copy.deepcopy(original), corpus) == finished(original, corpus)


@pytest.mark.parametrize("noise", [{}, *NOISES], ids=str)
def test_scoring_sampling_and_saving_on_the_way_change_nothing(
    noise: dict[str, Any], corpus: Corpus, tmp_path: Path
) -> None:
    disturbed = noisy(corpus, noise, {})
    for report in train(disturbed, corpus.ids):
        score_ids(disturbed.model, [corpus.ids], corpus.vocab.start_id)
        list(islice(generate(disturbed.trained.model, corpus.ids[:3], sample_rng(report.step, 0), {}), 5))
        CheckpointStore(tmp_path / "m.npz").save(disturbed)
    assert to_bytes(disturbed) == finished(noisy(corpus, noise, {}), corpus)


def test_one_seed_is_one_run_and_another_seed_another(corpus: Corpus) -> None:
    one, same, other = (finished(run(corpus, seed=seed), corpus) for seed in (1, 1, 2))
    assert one == same
    assert not np.isclose(array_of(one, "last"), array_of(other, "last")).any()


def test_a_run_that_is_done_reports_nothing_more(corpus: Corpus) -> None:
    checkpoint = run(corpus)
    done = finished(checkpoint, corpus)
    assert list(train(checkpoint, corpus.ids)) == []
    assert to_bytes(checkpoint) == done


# ---- dropout and zoneout ----


@noisily
def test_masks_follow_from_seed_and_step_and_change_what_is_learnt(
    noise: dict[str, Any], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[bytes] = []
    begun: list[Any] = []
    draw_masks = Network.draw_masks

    def recorded(network: Network, cache: Cache, dropout: float, rng: np.random.Generator) -> None:
        begun.append(rng.bit_generator.state)
        draw_masks(network, cache, dropout, rng)
        drawn.append(cache["layers.0.keep" if "zoneout" in noise else "layers.0.mask"].tobytes())

    without = finished(run(corpus), corpus)
    monkeypatch.setattr(Network, "draw_masks", recorded)
    one, same, other = (finished(noisy(corpus, noise, {}, seed=seed), corpus) for seed in (0, 0, 1))
    assert one == same
    purposes = [np.random.default_rng([0, step, Stream.DROPOUT, 0, 0]) for step in range(16)]
    assert begun[:16] == [rng.bit_generator.state for rng in purposes]
    assert drawn[:16] == drawn[16:32]
    assert len({*drawn[:16], *drawn[32:]}) == 32
    assert not np.array_equal(array_of(one, "last"), array_of(without, "last"))
    assert one != other


@pytest.mark.parametrize("ensemble", [1, 2])
@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("zoneout", [0.0, 0.1])
@pytest.mark.parametrize("noise", [{}, {"dropout": 0.1}, {"variational_dropout": 0.1}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_learns_for_fifty_steps_with_every_combination_of_options(
    cell: str, noise: dict[str, Any], zoneout: float, lines: bool, ensemble: int
) -> None:
    text = corpus_of("a dog\nno cat\na cow\n" * 20)
    model = {"num_layers": 2, "zoneout": zoneout, "ensemble": ensemble, **cell_settings(cell)}
    model |= {"line_end": text.vocab.newline_id} if lines else {}
    checkpoint = run(text, model, steps=50, val_fraction=0.2, **noise)
    found = losses(list(train(checkpoint, text.ids)))
    assert len(found) == 50
    assert np.mean(found[-10:]) < 0.95 * np.mean(found[:10])
    assert checkpoint.best
    assert checkpoint.best.nats < found[0]


@noisily
def test_a_rate_of_zero_is_none(noise: dict[str, Any], corpus: Corpus) -> None:
    assert finished(noisy(corpus, dict.fromkeys(noise, 0), {}), corpus) == finished(run(corpus), corpus)


@noisily
def test_scores_are_without_noise(noise: dict[str, Any], corpus: Corpus) -> None:
    checkpoint = noisy(corpus, noise, {"num_layers": 2})
    held_out = split(corpus.ids, HELD_OUT)[1]
    fresh = score_ids(checkpoint.model, [held_out], corpus.vocab.start_id)
    assert fresh == score_ids(checkpoint.model, [held_out], corpus.vocab.start_id)
    if "zoneout" not in noise:
        assert fresh == score_ids(run(corpus, {"num_layers": 2}).model, [held_out], corpus.vocab.start_id)


# ---- what is learnt ----


@noisily
@pytest.mark.parametrize("cell", CELLS)
def test_a_periodic_text_is_learnt_through_noise(cell: str, noise: dict[str, Any]) -> None:
    model, light = {"hidden_size": 24, **cell_settings(cell)}, dict.fromkeys(noise, 0.1)
    settings = {"steps": 250, "eval_every": 50, "lr": 0.02, "val_fraction": 0.1}
    checkpoint = noisy(corpus_of("abcabd\n" * 60), light, model, **settings)
    finished(checkpoint, corpus_of("abcabd\n" * 60))
    assert checkpoint.best
    assert checkpoint.best.nats < 0.05


@pytest.mark.parametrize("cell", CELLS)
def test_a_periodic_text_is_learnt_by_heart(cell: str) -> None:
    corpus = corpus_of("abcabd\n" * 60)  # what comes after ab depends on what came before
    checkpoint = tiny_run(corpus, {"hidden_size": 12, **cell_settings(cell)}, steps=250, lr=0.02, val_fraction=0.1)
    learnt = losses(list(train(checkpoint, corpus.ids)))
    assert learnt[0] > 1
    assert max(learnt[-20:]) < 0.02
    assert checkpoint.best
    assert checkpoint.best.nats < 0.05


def test_a_step_reports_the_loss_before_its_update_and_the_learning_rate_of_its_place(corpus: Corpus) -> None:
    checkpoint = run(corpus, batch_size=1)
    fresh = score_ids(checkpoint.model, [corpus.ids[:T]], corpus.vocab.start_id).nats_per_char
    reports = [report for report in train(checkpoint, corpus.ids) if isinstance(report, StepReport)]
    assert reports[0].loss == pytest.approx(fresh, rel=1e-6)
    assert [report.lr for report in reports] == [lr_at(step, checkpoint.train) for step in range(16)]
    assert [report.step for report in reports] == list(range(1, 17))


def test_the_optimizer_is_told_the_number_of_each_step(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    adamw, numbers = OPTIMIZERS["adamw"], []

    def update(params: Array, grads: Array, slots: Slots, lr: float, t: int) -> None:
        numbers.append(t)
        adamw.update(params, grads, slots, lr, t)

    monkeypatch.setitem(OPTIMIZERS, "adamw", adamw._replace(update=update))
    checkpoint = run(corpus)
    next(report for report in train(checkpoint, corpus.ids) if report.step == 9)
    finished(checkpoint, corpus)
    assert numbers == list(range(1, 17))


def test_weight_decay_is_for_matrices_alone(corpus: Corpus) -> None:
    spared, decayed = (run(corpus, weight_decay=decay) for decay in (0.0, 0.5))
    initial = views(spared.model.vector + 0.5, parameter_shapes(spared.model.config))  # fresh biases are 0
    for checkpoint in (spared, decayed):
        checkpoint.model.vector += 0.5
        next(train(checkpoint, corpus.ids))
    for name, before in initial.items():
        lost = lr_at(0, spared.train) * 0.5 * before if before.ndim == 2 else 0 * before
        np.testing.assert_allclose(spared.model.params[name] - decayed.model.params[name], lost, rtol=0, atol=1e-6)


# ---- validation ----


def test_the_history_tells_the_mean_loss_since_the_last_validation_and_the_held_out_loss(corpus: Corpus) -> None:
    checkpoint, held_out = run(corpus, steps=10), split(corpus.ids, HELD_OUT)[1]
    expected: list[tuple[int, float, float]] = []
    since: list[float] = []
    for report in train(checkpoint, corpus.ids):
        if isinstance(report, StepReport):
            since.append(report.loss)
        elif report.loss is not None:
            score = score_ids(checkpoint.model, [held_out], corpus.vocab.start_id)
            expected.append((report.step, sum(since) / len(since), score.nats / score.chars))
            assert (report.step, report.train_loss, report.loss) == expected[-1]
            assert report.chars == len(held_out)
            since.clear()
    assert [step for step, _, _ in expected] == [4, 8, 10]  # every fourth, and the last
    assert checkpoint.history == expected
    assert checkpoint.loss_sum == 0


def test_the_best_weights_are_those_of_the_lowest_held_out_loss() -> None:
    corpus = corpus_of("abcdefg\n" * 30 + random_text(160))  # the surer of the order, the worse the surprise
    checkpoint = tiny_run(corpus, {"hidden_size": 9}, steps=60, lr=0.02, val_fraction=0.6, eval_every=3)
    vectors, lowest = {}, math.inf
    for report in train(checkpoint, corpus.ids):
        if isinstance(report, EvalReport) and report.loss is not None:
            vectors[report.step] = checkpoint.model.vector.copy()
            assert report.best == (report.loss < lowest)
            lowest = min(lowest, report.loss)
    step, _, nats = min(checkpoint.history, key=lambda row: row[2])
    assert 3 < step < 60
    assert checkpoint.best
    assert (checkpoint.best.step, checkpoint.best.nats) == (step, nats)
    np.testing.assert_array_equal(checkpoint.best.vector, vectors[step])
    held_out = split(corpus.ids, 0.6)[1]
    assert score_ids(checkpoint.trained.model, [held_out], corpus.vocab.start_id).nats_per_char == nats
    assert score_ids(checkpoint.model, [held_out], corpus.vocab.start_id).nats_per_char > nats


@pytest.fixture(scope="module")
def surprising() -> Corpus:
    """What is held out begins as what is learnt and goes on otherwise: the best comes early."""
    return corpus_of("abcdefg\n" * 30 + random_text(160))


def patient(corpus: Corpus, patience: int) -> Checkpoint:
    settings: dict[str, Any] = {"steps": 60, "lr": 0.02, "val_fraction": 0.6, "eval_every": 3}
    return tiny_run(corpus, {"hidden_size": 9}, **settings, patience=patience)


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_patience_ends_a_run_after_so_many_validations_without_a_new_best(patience: int, surprising: Corpus) -> None:
    whole, checkpoint = patient(surprising, 0), patient(surprising, patience)
    finished(whole, surprising)
    reports = list(train(checkpoint, surprising.ids))
    nats = [nats for _, _, nats in whole.history]
    done = next(n for n in range(1, 20) if n - 1 - np.argmin(nats[:n]) == patience)
    assert len(nats) == 20
    assert checkpoint.history == whole.history[:done]
    assert checkpoint.step == 3 * done
    assert isinstance(reports[-1], EvalReport)
    assert checkpoint.best
    assert checkpoint.best.nats == min(nats[:done])
    assert checkpoint.best.step == 3 * (done - patience)


def test_a_run_ended_by_patience_is_done_until_it_is_given_more(surprising: Corpus) -> None:
    ended = from_file(io.BytesIO(finished(patient(surprising, 2), surprising)))
    for longer in (ended.train, replace(ended.train, steps=90)):
        assert list(train(replace(ended, train=longer), surprising.ids)) == []
    for patience in (4, 0):
        resumed = copy.deepcopy(ended)
        resumed.train = replace(ended.train, patience=patience)
        assert finished(resumed, surprising) == finished(patient(surprising, patience), surprising)


def test_without_held_out_text_there_is_no_validation(corpus: Corpus) -> None:
    checkpoint = run(corpus, val_fraction=0.0)
    reports = list(train(checkpoint, corpus.ids))
    assert len(losses(reports)) == len(reports) == 16
    assert (checkpoint.history, checkpoint.best) == ([], None)
    assert checkpoint.trained.model is checkpoint.model
    assert checkpoint.loss_sum == sum(losses(reports))


# ---- what cannot go on ----


@pytest.mark.parametrize("lr", [1e3, 1e6, 1e39])
@pytest.mark.parametrize("cell", CELLS)
def test_a_run_that_diverges_names_the_step_and_keeps_the_last_good_file(
    cell: str, lr: float, corpus: Corpus, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path / "m.npz")
    checkpoint = run(corpus, cell_settings(cell), lr=lr, steps=100, warmup=1, val_fraction=0.0)
    before: list[dict[str, Any]] = []

    def trained() -> None:
        for _ in train(checkpoint, corpus.ids):
            before.append(plain(copy.deepcopy(checkpoint)))
            with suppress(CheckpointError):  # an update itself may have been too large
                store.save(checkpoint)

    store.save(checkpoint)
    with pytest.raises(DivergedError, match="--lr") as raised:
        trained()
    assert str(raised.value).startswith(f"step {checkpoint.step + 1}: ")
    np.testing.assert_equal(plain(checkpoint), before[-1])
    assert np.isfinite(store.load().model.vector).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("head.b_y", [3e38, -3e38, 0, 0, 0, 0, 0]),  # the loss overflows, while its gradient is 1 or -1
        ("embed.W", 1e30),  # the gradient overflows, while the loss is that of even odds
    ],
)
def test_a_loss_or_a_gradient_that_is_not_finite_ends_the_run(name: str, value: Any, corpus: Corpus) -> None:
    checkpoint = run(corpus, {"activation": "relu"})
    checkpoint.model.params["head.W_hy"][...] = 0
    checkpoint.model.params[name][...] = value
    with pytest.raises(DivergedError, match="step 1: "):
        next(train(checkpoint, corpus.ids))
    assert checkpoint.step == 0


@pytest.mark.parametrize("cell", CELLS)
def test_a_validation_of_a_diverged_model_is_an_error_too(cell: str, corpus: Corpus) -> None:
    checkpoint = run(corpus, cell_settings(cell))
    checkpoint.step, checkpoint.loss_sum = 4, 8.0
    checkpoint.model.params["head.b_y"][0] = np.nan  # weights too large may give saturated gates, and so finite scores
    with pytest.raises(DivergedError, match="--lr"):
        next(train(checkpoint, corpus.ids))
    assert (checkpoint.history, checkpoint.best) == ([], None)


@pytest.mark.parametrize(("chars", "settings"), [(14, {"val_fraction": 0.0}), (20, {"val_fraction": 0.5})])
def test_a_text_too_short_for_its_windows_is_refused(chars: int, settings: dict[str, Any]) -> None:
    corpus = corpus_of(("ab\n" * chars)[:chars])
    with pytest.raises(TextError, match="too few for --batch-size 3 --seq-len 5"):
        next(train(tiny_run(corpus, **settings), corpus.ids))


def test_steps_that_change_on_the_way_end_the_run_there(corpus: Corpus) -> None:
    checkpoint = tiny_run(corpus, steps=20, val_fraction=0)
    for report in train(checkpoint, corpus.ids):
        if report.step == 3:
            checkpoint.train = replace(checkpoint.train, steps=5)
    assert checkpoint.step == 5
