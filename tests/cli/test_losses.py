import csv
import io
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from charrnn.checkpoint.store import CheckpointStore
from charrnn.cli.losses import curves, cut, loss_chart, loss_csv, loss_svg
from charrnn.core.state import TrainState, add_loss
from tests.conftest import Run
from tests.helpers.command import charrnn, ok, refused


@pytest.fixture
def state(trained: Run) -> TrainState:
    return CheckpointStore(trained.model).load()


def test_the_curves_are_the_losses_in_bits(state: TrainState, trained: Run) -> None:
    events = trained.result.events("eval")
    held_out = [(event["step"], event["val_nats_per_char"] / math.log(2)) for event in events]
    assert np.allclose(curves(state)["held out"], held_out)
    steps = [(event["step"], event["train_nats_per_char"] / math.log(2)) for event in trained.result.events("step")]
    assert np.allclose(curves(state)["training"], steps)
    state.history = []
    assert "held out" not in curves(state)


def test_training_losses_are_means_of_steps_and_of_what_is_left_of_them(state: TrainState) -> None:
    nats = [*np.random.default_rng(0).uniform(1, 3, 1027)]
    state.step, state.losses = 0, []
    for loss in nats:
        state.step += 1
        add_loss(state.losses, state.step, loss)
    points = curves(state)["training"]
    means = [np.mean(nats[i : i + 4]) / math.log(2) for i in range(0, 1027, 4)]
    assert (points[0][0], points[-1][0]) == (4.0, 1027.0)
    assert np.allclose([loss for _, loss in points], means)


def test_what_is_above_the_losses_after_the_first_twentieth_is_cut() -> None:
    lines = {"a": [(1.0, 9.0), (5.0, 4.0), (100.0, 2.0)], "b": [(2.0, 4.5), (50.0, 3.0)], "c": [(1.0, 8.0)]}
    assert cut(lines) == {"a": [(5.0, 4.0), (100.0, 2.0)], "b": [(50.0, 3.0)]}


def test_a_chart_needs_two_steps(state: TrainState) -> None:
    assert loss_chart({}, io.StringIO()) == ""
    assert loss_chart({"a": [(3.0, 1.0)], "b": [(3.0, 2.0)]}, io.StringIO()) == ""
    drawn = loss_chart({"a": [(3.0, 2.0), (9.0, 1.0)]}, io.StringIO())
    assert max(map(len, drawn.splitlines())) == 80
    assert drawn.endswith("a   (bits per character)\n")


def test_a_picture_has_both_curves_of_one_model_or_a_panel_for_each_curve(state: TrainState) -> None:
    for models, lines, titles in [
        ({"x & y": state}, 2, ["x & y: bits per character"]),
        ({"x": state, "y": state}, 4, ["training, bits per character", "held out, bits per character"]),
    ]:
        svg = loss_svg(models)
        texts = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
        assert [title for title in titles if title not in texts] == []
        assert len(re.findall(r'class="line" stroke="[^"]*" d="M[^h"]*L', svg)) == lines


def test_a_table_has_a_row_for_each_point(state: TrainState) -> None:
    rows = [*csv.DictReader(io.StringIO(loss_csv({'a,"b"': state})))]
    assert {row["model"] for row in rows} == {'a,"b"'}
    found = [(float(r["step"]), float(r["bits_per_char"])) for r in rows if r["losses"] == "held out"]
    assert np.allclose(found, curves(state)["held out"], atol=1e-6)


def test_the_command_writes_both_files(model: Path) -> None:
    result = ok("info", "a", "--svg", "loss.svg", "--csv", "loss.csv")
    assert result.err == "losses: loss.svg\nlosses: loss.csv\n"
    assert Path("loss.svg").read_text().startswith("<svg")
    assert Path("loss.csv").read_text().startswith("model,losses,step,bits_per_char\ncheckpoints/a.npz,training,")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("a", "--svg", "none/loss.svg"), "--svg none/loss.svg: must be a file in an existing folder"),
        (("a", "--csv", "checkpoints/a.npz"), "--csv checkpoints/a.npz: is in use by this command"),
        (("a", "--csv", "a.txt"), "--csv a.txt: is in use by this command"),
        (("a", "--csv", "b", "--svg", "b"), "b: is in use by this command"),
        (("a", "--csv", "-"), "--csv -: must be a file"),
        (("a", "--csv", "checkpoints/b.npz"), "--csv checkpoints/b.npz: is the name of a model"),
        (("--all", "--svg", "x.svg"), "--all lists every model"),
    ],
)
def test_files_that_cannot_be_written_are_refused(model: Path, args: tuple[str, ...], words: str) -> None:
    before = model.read_bytes()
    refused(charrnn("info", *args), 2, words)
    assert model.read_bytes() == before


def test_a_model_without_a_step_has_no_curves(state: TrainState, work: Path) -> None:
    state.step, state.losses, state.history, state.best, state.loss_sum = 0, [], [], None, 0.0
    CheckpointStore(Path("new.npz")).save(state)
    refused(charrnn("info", "-m", "new.npz", "--svg", "x.svg"), 2, "--svg: no step has been trained yet")
    assert not Path("x.svg").exists()
