from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.paths import english_model
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.config import ModelConfig
from charrnn.core.vocab import Vocab
from charrnn.training import english
from tests.helpers.files import corpus_of

ENGLISH = "It was a bright cold day in April, and the clocks were striking.\n" * 20


@pytest.fixture(scope="module")
def source() -> tuple[ModelConfig, Vocab]:
    network, vocab, *_ = CheckpointStore(english_model()).load_model()
    return network.config, vocab


def test_the_model_that_comes_with_the_program_is_small_and_of_the_default_network(
    source: tuple[ModelConfig, Vocab],
) -> None:
    network, vocab = source
    assert english_model().stat().st_size <= 1.5e6
    assert network == ModelConfig(len(vocab))
    state = CheckpointStore(english_model()).load()
    assert (state.weights, state.origin.sources) == ("<f2", ("english.txt",))
    assert state.best
    assert state.best.nats / np.log(2) < 2


@pytest.mark.parametrize(
    ("text", "given", "suits"),
    [
        (ENGLISH, {}, True),
        (ENGLISH, {"lr": 0.1, "hidden_size": 256, "cell": "gru"}, True),
        (ENGLISH, {"ensemble": 2}, True),
        (ENGLISH, {"dropout": 0.0}, True),
        (ENGLISH, {"ensemble": 2, "dropout": 0.0}, False),
        (ENGLISH, {"hidden_size": 255}, False),
        (ENGLISH, {"cell": "lstm"}, False),
        (ENGLISH, {"lines": True}, False),
        (ENGLISH, {"normalize": "nfd"}, False),
        (ENGLISH + "é" * 60, {}, True),
        (ENGLISH + "é" * 90, {}, False),
        ("Мороз и солнце; день чудесный!\n" * 20, {}, False),
        ("3.14159, 2.71828\n" * 20, {}, False),
    ],
)
def test_texts_in_latin_letters_suit_the_model_unless_another_network_is_given(
    source: tuple[ModelConfig, Vocab], text: str, given: dict[str, Any], suits: bool
) -> None:
    assert english.suits(corpus_of(text), given, *source) is suits


def test_a_large_text_and_one_with_an_unknown_symbol_do_not(
    source: tuple[ModelConfig, Vocab], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not english.suits(corpus_of(ENGLISH + "é", min_count=2), {}, *source)
    monkeypatch.setattr(english, "MOST_CHARS", len(ENGLISH))
    monkeypatch.setattr(english, "BLOCK", 100)
    assert english.suits(corpus_of(ENGLISH), {}, *source)
    assert not english.suits(corpus_of(ENGLISH[:100] + "1" * 300), {}, *source)  # letters in the first block only
    assert not english.suits(corpus_of(ENGLISH + "."), {}, *source)
