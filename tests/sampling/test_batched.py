from itertools import islice
from typing import Any

import numpy as np
import pytest

from charrnn.core import sample
from charrnn.core.cells import CELLS
from charrnn.core.errors import DivergedError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids
from charrnn.core.sample import DIVERGED, chain, pick, sample_rng
from charrnn.sampling.batched import NUMBERS_AHEAD, generate, pick_one
from tests.helpers.files import cell_settings
from tests.helpers.models import V, tiny_model


def naive_ids(model: CharRNN, prompt: Ids, rng: np.random.Generator, filters: dict[str, Any], length: int) -> list[int]:
    """Draw ids, reading the whole text again for every character."""
    text: list[int] = prompt.tolist()
    for _ in range(length):
        logits, _ = model.forward(np.array(text)[:, None], model.zero_state(1), model.cache(len(text), 1))
        number = 0 if filters.get("temperature") == 0 else rng.random()
        text.append(int(pick(chain(filters)(logits[-1, :, 0].astype(np.float64)[None]), np.array([number]))[0]))
    return text[len(prompt) :]


@pytest.mark.parametrize("prompt_length", [1, 5, 300])
@pytest.mark.parametrize("filters", [{"temperature": 0}, {"temperature": 0.9}, {"top_k": 2, "temperature": 2}])
def test_each_character_follows_from_the_whole_text_before(prompt_length: int, filters: dict[str, Any]) -> None:
    model, prompt = tiny_model(num_layers=2), np.random.default_rng(7).integers(0, V, prompt_length)
    drawn = generate(model, prompt, sample_rng(8, 0), filters)
    assert list(islice(drawn, 12)) == naive_ids(model, prompt, sample_rng(8, 0), filters, 12)


@pytest.mark.parametrize("cell", CELLS)
def test_the_fast_loop_draws_the_same_characters_as_the_plain_one(cell: str) -> None:
    model = tiny_model(num_layers=2, zoneout=0.2, line_end=2, ensemble=2, **cell_settings(cell))
    prompt, filters = np.array([1, 2, 3]), {"temperature": 0.9, "top_p": 0.95}
    plain, fast = (loop(model, prompt, sample_rng(8, 0), filters) for loop in (sample.generate, generate))
    assert list(islice(plain, 300)) == list(islice(fast, 300))


def test_numbers_drawn_ahead_equal_those_drawn_one_by_one() -> None:
    model, length = tiny_model(hidden_size=2), NUMBERS_AHEAD + 20
    drawn = generate(model, np.array([1]), sample_rng(8, 1), {})
    rng, text = sample_rng(8, 1), list(islice(drawn, length))
    logits, _ = model.forward(np.array([1, *text])[:-1, None], model.zero_state(1), model.cache(length, 1))
    assert text == [int(pick(chain({})(row[None]), np.array([rng.random()]))[0]) for row in logits[:, :, 0]]


def test_temperature_0_draws_no_number() -> None:
    rng = np.random.default_rng(5)
    before = rng.bit_generator.state
    list(islice(generate(tiny_model(), np.array([1]), rng, {"temperature": 0}), 300))
    assert rng.bit_generator.state == before
    list(islice(generate(tiny_model(), np.array([1]), rng, {}), 1))
    assert rng.bit_generator.state != before


def test_only_allowed_characters_are_drawn() -> None:
    model, allowed = tiny_model(), np.arange(V) % 3 > 0
    free = set(islice(generate(model, np.array([1]), sample_rng(9, 0), {"temperature": 3}), 300))
    filters = {"temperature": 3, "allowed": allowed}
    bound = set(islice(generate(model, np.array([1]), sample_rng(9, 0), filters), 300))
    assert (free, bound) == ({*range(V)}, {1, 2, 4, 5})


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("weight", [np.nan, np.inf, 3e38])
def test_logits_that_are_not_finite_raise_a_clear_error(weight: float, temperature: float) -> None:
    model = tiny_model(dtype=np.float32, activation="relu")
    model.vector[:] = weight
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        next(generate(model, np.array([1, 2]), sample_rng(1, 0), {"temperature": temperature}))


def test_one_id_is_drawn_as_many_are() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        logits = np.where(rng.random(V) < 0.3, -np.inf, 3 * rng.standard_normal(V))
        logits[rng.integers(V)] = 0
        logits -= logits.max()
        for number in (rng.random(), 0.0, 1 - 2**-53):
            (expected,) = pick(logits[None], np.array([number]))
            assert pick_one(logits, number) == expected
    for bad in (np.nan, np.inf):
        assert pick_one(np.array([0, bad]), 0.5) == DIVERGED == pick(np.array([[0, bad]]), np.array([0.5]))[0]
