import math
from itertools import islice
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from charrnn.config import Stream
from charrnn.errors import DivergedError, UsageError
from charrnn.model import CharRNN
from charrnn.ops import Ids
from charrnn.sampling import WINDOW, check_temperature, generate, pick, sample_rng
from tests.helpers.models import V, tiny_model

LOGITS = np.array([0.3, -1.2, 2.0, -math.inf, 0.0, 1.1, -3.0])


def fixed(number: float) -> np.random.Generator:
    return cast(np.random.Generator, SimpleNamespace(random=lambda: number))


@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
def test_characters_come_as_often_as_they_are_likely(temperature: float) -> None:
    rng, draws = np.random.default_rng(4), 100_000 if temperature == 0.7 else 10_000
    drawn = np.bincount([pick(LOGITS, temperature, rng) for _ in range(draws)], minlength=V)
    odds = [math.exp(z / temperature) for z in LOGITS]
    expected = draws * np.array(odds) / sum(odds)
    possible = expected > 0
    assert drawn[~possible].sum() == 0
    chi_square = ((drawn - expected)[possible] ** 2 / expected[possible]).sum()
    assert chi_square < 20.5  # 5 degrees of freedom: one fair run in a thousand is above


def test_temperature_0_takes_the_largest_and_draws_nothing() -> None:
    rng = np.random.default_rng(5)
    before = rng.bit_generator.state
    assert pick(LOGITS, 0, rng) == 2
    assert pick(np.array([1.0, 7.0, 7.0]), 0, rng) == 1
    assert rng.bit_generator.state == before
    pick(LOGITS, 1, rng)
    assert rng.bit_generator.state != before


@pytest.mark.parametrize("temperature", [1e-300, 5e-324, 1e-3])
@pytest.mark.parametrize("scale", [1, 1e300])
def test_a_tiny_temperature_takes_the_largest(temperature: float, scale: float) -> None:
    rng = np.random.default_rng(6)
    assert {pick(LOGITS * scale, temperature, rng) for _ in range(20)} == {2}


@pytest.mark.parametrize(("number", "drawn"), [(0.0, 1), (np.nextafter(1, 0), 4)])
def test_the_ends_of_the_draw_fall_on_possible_characters(number: float, drawn: int) -> None:
    for last in np.linspace(-30, 0, 99):
        assert pick(np.array([-math.inf, 0, -math.inf, 0, last, -math.inf]), 1, fixed(number)) == drawn


@pytest.mark.parametrize("temperature", [math.nan, math.inf, -math.inf, -0.1])
def test_a_temperature_that_makes_no_sense_is_refused(temperature: float) -> None:
    with pytest.raises(UsageError, match=f"^--temperature {temperature}: must be 0 "):
        check_temperature(temperature)
    with pytest.raises(UsageError, match="--temperature"):
        next(generate(tiny_model(), np.array([1]), np.random.default_rng(), temperature))


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    first = {(seed, index): sample_rng(seed, index).random() for seed in (0, 1, 2**63 - 1) for index in (0, 1, 2)}
    assert len(set(first.values())) == len(first)
    assert all(sample_rng(*key).random() == number for key, number in reversed(first.items()))
    assert np.random.default_rng([0, 0, Stream.INIT]).random() not in first.values()


def naive_generate(
    model: CharRNN, prompt: Ids, rng: np.random.Generator, temperature: float, banned: list[int], length: int
) -> list[int]:
    text: list[int] = prompt.tolist()
    for _ in range(length):
        x = np.array(text)[:, None]
        logits, _ = model.forward(x, model.zero_state(1), model.cache(len(x), 1))
        odds = logits[-1, :, 0].astype(np.float64)
        odds[banned] = -math.inf
        text.append(pick(odds, temperature, rng))
    return text[len(prompt) :]


@pytest.mark.parametrize("prompt_length", [1, 5, WINDOW, WINDOW + 1, 2 * WINDOW + 9])
@pytest.mark.parametrize(("temperature", "banned"), [(0, []), (0.9, []), (2, [0, 5])])
def test_each_character_follows_from_the_whole_text_before(
    prompt_length: int, temperature: float, banned: list[int]
) -> None:
    model = tiny_model(num_layers=2)
    prompt = np.random.default_rng(7).integers(0, V, prompt_length)
    drawn = generate(model, prompt, sample_rng(8, 0), temperature, np.array(banned, np.intp))
    assert list(islice(drawn, 12)) == naive_generate(model, prompt, sample_rng(8, 0), temperature, banned, 12)


def test_banned_characters_never_come() -> None:
    model, prompt = tiny_model(), np.array([1])
    free = set(islice(generate(model, prompt, sample_rng(9, 0), 3), 300))
    bound = set(islice(generate(model, prompt, sample_rng(9, 0), 3, np.array([0, 3, 6])), 300))
    assert (free, bound) == ({0, 1, 2, 3, 4, 5, 6}, {1, 2, 4, 5})


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("weight", [math.nan, math.inf, 3e38])
def test_logits_that_are_not_finite_stop_with_a_clear_error(weight: float, temperature: float) -> None:
    model = tiny_model(dtype=np.float32, activation="relu")
    model.vector[:] = weight
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        next(generate(model, np.array([1, 2]), np.random.default_rng(10), temperature))


@pytest.mark.parametrize("logit", [math.nan, math.inf])
def test_one_logit_that_is_no_number_is_enough_to_stop(logit: float) -> None:
    with pytest.raises(DivergedError):
        pick(np.array([0, logit, 1]), 1, np.random.default_rng(11))
