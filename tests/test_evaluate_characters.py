import math

import numpy as np
import pytest

from charrnn.errors import DivergedError
from charrnn.evaluate import WINDOW, expectations, likeliest
from charrnn.evaluate.characters import LOOK_BACK
from charrnn.model import CharRNN
from charrnn.ops import Ids
from charrnn.vocab import UNKNOWN
from tests.helpers.models import V, tiny_model

START = 2


def random_ids(size: int) -> Ids:
    return np.random.default_rng(3).integers(UNKNOWN, V, size)


def naive_probabilities(model: CharRNN, ids: Ids) -> list[list[float]]:
    """The probabilities of all characters after each of the ids that are known, and before the first."""
    state, rows = model.zero_state(1), []
    for i in [START, *ids[ids != UNKNOWN].tolist()]:
        logits, state = model.forward(np.array([[i]]), state, model.cache(1, 1))
        powers = [math.exp(z) for z in logits[0, :, 0].tolist()]
        rows.append([power / sum(powers) for power in powers])
    return rows


def test_each_character_has_the_probability_and_the_rank_that_the_model_gives_it() -> None:
    model, ids = tiny_model(), random_ids(WINDOW + 50)
    rows = iter(naive_probabilities(model, ids))
    found = list(expectations(model, [ids[:9], ids[9:]], START))
    assert [expected is None for expected in found] == (ids == UNKNOWN).tolist()
    for i, expected in zip(ids.tolist(), found, strict=True):
        if expected:
            p = next(rows)
            assert (expected.id, expected.rank) == (i, 1 + sum(other > p[i] for other in p))
            assert expected.probability == pytest.approx(p[i], rel=1e-9)
            assert expected.nats == pytest.approx(-math.log(p[i]))


@pytest.mark.parametrize("size", [0, 1, WINDOW + 5])
def test_the_likeliest_characters_come_in_their_order(size: int) -> None:
    model, ids = tiny_model(), random_ids(size)
    p = naive_probabilities(model, ids)[-1]
    found = likeliest(model, [ids], START, 3)
    assert [expected.id for expected in found] == sorted(range(V), key=lambda i: -p[i])[:3]
    assert [expected.probability for expected in found] == pytest.approx(sorted(p)[::-1][:3])
    assert [expected.rank for expected in found] == [1, 2, 3]
    assert [expected.nats for expected in found] == pytest.approx([-math.log(q) for q in sorted(p)[::-1][:3]])
    assert len(likeliest(model, [ids], START, 99)) == V


def test_of_a_long_text_only_its_end_is_read() -> None:
    model, ids = tiny_model(), random_ids(3 * LOOK_BACK)
    whole = naive_probabilities(model, ids)[-1]
    assert [e.probability for e in likeliest(model, np.split(ids, 7 * [0]), START, V)] == pytest.approx(
        sorted(whole)[::-1], rel=1e-6
    )


def test_a_model_that_has_diverged_expects_nothing() -> None:
    model = tiny_model()
    model.vector[:] = math.nan
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        likeliest(model, [random_ids(5)], START, 3)
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        list(expectations(model, [random_ids(5)], START))
