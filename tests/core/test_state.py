import numpy as np
import pytest

from charrnn.core.state import MAX_LOSSES, add_loss, loss_stride
from charrnn.core.train import StepReport, train
from tests.helpers.files import copy_of, corpus_of, random_text, tiny_run


@pytest.mark.parametrize(
    ("step", "stride"), [(0, 1), (1, 1), (512, 1), (513, 2), (1024, 2), (1025, 4), (2048, 4), (2049, 8), (2**53, 2**44)]
)
def test_a_sum_has_as_few_steps_as_leave_512_sums(step: int, stride: int) -> None:
    assert loss_stride(step) == stride
    assert -(-step // stride) <= MAX_LOSSES
    assert stride == 1 or step > MAX_LOSSES * stride // 2


def test_the_sums_are_those_of_equal_numbers_of_steps() -> None:
    losses = np.random.default_rng(0).uniform(1, 4, 3000)
    found = list[float]()
    for step, loss in enumerate(losses, 1):
        add_loss(found, step, loss)
        if step in (1, 2, 300, 512, 513, 514, 1024, 1025, 2047, 2051, 3000):
            stride = loss_stride(step)
            sums = [losses[:step][start : start + stride].sum() for start in range(0, step, stride)]
            np.testing.assert_allclose(found, sums, rtol=1e-12)
            assert step < 300 or 256 <= len(found) <= 512


def test_a_run_keeps_the_losses_of_its_steps_through_a_resume() -> None:
    corpus = corpus_of(random_text(300))
    state = tiny_run(corpus, steps=9, val_fraction=0.25)
    reports = [report for report in train(state, corpus.ids) if isinstance(report, StepReport)]
    assert state.losses == [report.loss for report in reports]
    resumed = tiny_run(corpus, steps=9, val_fraction=0.25)
    next(report for report in train(resumed, corpus.ids) if report.step == 5)
    resumed = copy_of(resumed)
    for _ in train(resumed, corpus.ids):
        pass
    assert resumed.losses == state.losses
