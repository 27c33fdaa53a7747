import bz2
import gzip
import lzma
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from charrnn.core.ops import Ids
from charrnn.core.vocab import Vocab
from charrnn.evaluation import baselines as module
from charrnn.evaluation.baselines import COMPRESSORS, DEFAULT_DISCOUNTS, KneserNey, baselines, discounts

V = 4
START = 2


def random_ids(seed: int, N: int) -> Ids:
    """Letters of different frequencies; the last one never occurs."""
    return np.random.default_rng(seed).choice(V, N, p=[0.6, 0.3, 0.1, 0])


def vocab_of(text: str) -> Vocab:
    return Vocab(np.array(sorted(set(map(ord, text))), np.uint32))


class NaiveKneserNey:
    """The recursion of the equations, one character at a time, on n-grams that are tuples."""

    def __init__(self, ids: list[int], n: int) -> None:
        N = len(ids)
        grams = {
            k: Counter(tuple(ids[(i - j) % N] for j in reversed(range(k))) for i in range(N)) for k in range(n + 1)
        }
        self.counts = {n: grams[n]} | {k: Counter(longer[1:] for longer in grams[k + 1]) for k in range(1, n)}
        self.D = {k: (0.0, *discounts(np.array([*self.counts[k].values()]))) for k in range(1, n + 1)}

    def probability(self, context: tuple[int, ...], w: int) -> float:
        k = len(context) + 1
        followers = {v: c for v in range(V) if (c := self.counts[k][*context, v])}
        lower = self.probability(context[1:], w) if context else 1 / V
        if not followers:
            return lower
        D, c, total = self.D[k], followers.get(w, 0), sum(followers.values())
        freed = sum(D[min(count, 3)] for count in followers.values())
        return (c - D[min(c, 3)] + freed * lower) / total


# ---- the order-n model ----


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("N", [1, 2, 7, 60, 400])
def test_probabilities_are_those_of_the_recursion(n: int, N: int) -> None:
    train, text = random_ids(n, N), np.random.default_rng(5).integers(0, V, 200)
    naive = NaiveKneserNey(train.tolist(), n)
    padded = [START] * (n - 1) + text.tolist()
    expected = [naive.probability(tuple(padded[i : i + n - 1]), w) for i, w in enumerate(text.tolist())]
    model = KneserNey(train.astype(np.uint8), V, n)
    np.testing.assert_allclose(model.probabilities(np.array(padded)), expected, rtol=1e-12)
    assert model.nats(text, START) == pytest.approx(-sum(map(math.log, expected)), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_probabilities_sum_to_one_in_every_context(n: int) -> None:
    model = KneserNey(random_ids(8, 300), V, n)
    for context in np.ndindex((V,) * (n - 1)):
        p = [model.probabilities(np.array([*context, w])).item() for w in range(V)]
        assert sum(p) == pytest.approx(1, abs=1e-12)
        assert min(p) > 0


def test_a_text_counted_by_hand() -> None:
    """The ring abab: ab and ba twice each, a after one character, b after one: discounts 1 of 2 and 0.5 of 1."""
    model = KneserNey(np.array([0, 1, 0, 1]), 2, n=2)
    assert model.probabilities(np.array([0, 1, 1, 0])).tolist() == [0.75, 0.25, 0.75]
    assert KneserNey(np.array([0]), 2, n=1).probabilities(np.array([0, 1])).tolist() == [0.75, 0.25]


def test_discounts_are_those_of_chen_and_goodman() -> None:
    assert discounts(np.array([1, 1, 1, 1, 2, 2, 3, 4, 9])) == (0.5, 1.25, 1)
    assert discounts(np.array([1, 1, 1, 1, 2, 2, 3])) == (0.5, 1.25, 3)
    assert discounts(np.array([1, 2, 2])) == discounts(np.array([5])) == DEFAULT_DISCOUNTS
    assert discounts(np.array([1, 2, 3, 3, 3, 3, 4])) == DEFAULT_DISCOUNTS  # the estimate for 2 would be negative


def test_a_score_does_not_depend_on_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, text = KneserNey(random_ids(1, 200), V, n=4), random_ids(2, 50)
    whole = model.nats(text, START)
    for piece in (1, 2, 3, 49, 50):
        monkeypatch.setattr(module, "IDS_PER_PIECE", piece)
        assert model.nats(text, START) == pytest.approx(whole, rel=1e-12)


def test_a_cycle_of_characters_is_learned() -> None:
    ids = np.tile(np.arange(V), 50)
    assert KneserNey(ids, V, n=3).nats(ids, V - 1) / len(ids) < 0.1


# ---- compressors ----

DIRECTLY: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    "bz2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
}


@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_compressor_is_charged_for_the_added_bytes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train, text = "Füchse jagen Hühner. " * 40, "Hühner jagen keine Füchse, meist. " * 5
    vocab, compress = vocab_of(train + text), DIRECTLY[name]
    score = baselines(vocab.encode(train), vocab)[name]
    added = len(compress((train + text).encode())) - len(compress(train.encode()))
    assert score(vocab.encode(text)) == pytest.approx(added * 8 * math.log(2))
    monkeypatch.setattr(module, "IDS_PER_PIECE", 7)
    assert score(vocab.encode(text)) == pytest.approx(added * 8 * math.log(2))


def test_the_unknown_symbol_is_compressed_as_a_character() -> None:
    vocab, seen = Vocab(np.array([97, 98], np.uint32), unknown=True), list[bytes]()

    class Recorder:
        """A compressor that keeps what it is given."""

        def compress(self, data: bytes) -> bytes:
            seen.append(data)
            return b""

        def flush(self) -> bytes:
            return b""

    create: Any = Recorder
    module.compression(create, np.array([2, 0, 1], np.uint8), vocab)
    assert seen == ["\ufffdab".encode()]


# ---- all ----


def test_baselines_learn_from_the_end_of_a_long_text(monkeypatch: pytest.MonkeyPatch) -> None:
    vocab = vocab_of("abcd")
    train, text = random_ids(3, 500), random_ids(4, 90)
    short = {name: score(text) for name, score in baselines(train[-100:], vocab).items()}
    assert list(short) == ["order-7 Kneser-Ney", "gzip", "bz2", "xz"]
    monkeypatch.setattr(module, "MAX_TRAINING_CHARS", 100)
    assert {name: score(text) for name, score in baselines(train, vocab).items()} == short
