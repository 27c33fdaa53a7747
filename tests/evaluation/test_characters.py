import math

import numpy as np
import pytest

from charrnn.core.errors import DivergedError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids
from charrnn.core.score import WINDOW
from charrnn.core.vocab import UNKNOWN
from charrnn.evaluation.characters import MAX_CONTEXT, likeliest, predictions
from tests.helpers.models import V, tiny_model

START = 2


def random_ids(size: int) -> Ids:
    return np.random.default_rng(3).integers(UNKNOWN, V, size)


def naive_probabilities(model: CharRNN, ids: Ids) -> list[list[float]]:
    """The probabilities of all characters before the first id and after each known one."""
    state, rows = model.zero_state(1), []
    for i in [START, *ids[ids != UNKNOWN].tolist()]:
        logits, state = model.forward(np.array([[i]]), state, model.cache(1, 1))
        powers = [math.exp(z) for z in logits[0, :, 0].tolist()]
        rows.append([power / sum(powers) for power in powers])
    return rows


def test_each_character_has_the_probability_and_rank_of_the_model() -> None:
    model, ids = tiny_model(), random_ids(WINDOW + 50)
    rows = iter(naive_probabilities(model, ids))
    found = list(predictions(model, [ids[:9], ids[9:]], START))
    assert [predicted is None for predicted in found] == (ids == UNKNOWN).tolist()
    for i, predicted in zip(ids.tolist(), found, strict=True):
        if predicted:
            p = next(rows)
            assert (predicted.id, predicted.rank) == (i, 1 + sum(other > p[i] for other in p))
            assert predicted.probability == pytest.approx(p[i], rel=1e-9)
            assert predicted.nats == pytest.approx(-math.log(p[i]))


@pytest.mark.parametrize("size", [0, 1, WINDOW + 5])
def test_the_likeliest_characters_come_first(size: int) -> None:
    model, ids = tiny_model(), random_ids(size)
    p = naive_probabilities(model, ids)[-1]
    found = likeliest(model, [ids], START, 3)
    assert [predicted.id for predicted in found] == sorted(range(V), key=lambda i: -p[i])[:3]
    assert [predicted.probability for predicted in found] == pytest.approx(sorted(p)[::-1][:3])
    assert [predicted.rank for predicted in found] == [1, 2, 3]
    assert [predicted.nats for predicted in found] == pytest.approx([-math.log(q) for q in sorted(p)[::-1][:3]])
    assert len(likeliest(model, [ids], START, 99)) == V


def test_only_the_end_of_a_long_text_is_read() -> None:
    model, ids = tiny_model(), random_ids(3 * MAX_CONTEXT)
    whole = naive_probabilities(model, ids)[-1]
    assert [e.probability for e in likeliest(model, np.split(ids, 7 * [0]), START, V)] == pytest.approx(
        sorted(whole)[::-1], rel=1e-6
    )


def test_a_model_that_has_diverged_predicts_nothing() -> None:
    model = tiny_model()
    model.vector[:] = math.nan
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        likeliest(model, [random_ids(5)], START, 3)
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        list(predictions(model, [random_ids(5)], START))
