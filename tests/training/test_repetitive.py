import numpy as np

from charrnn.training.repetitive import NETWORK, small_network
from tests.helpers.files import corpus_of, random_text

LOG = "".join(f"12:{n % 60:02} job {n} started on host{n % 3}\n" for n in range(400))
GIVEN = {"lines": True}


def test_short_repetitive_lines_get_a_small_network() -> None:
    assert small_network(corpus_of(LOG), GIVEN) == NETWORK


def test_other_texts_and_given_sizes_do_not() -> None:
    log = corpus_of(LOG)
    assert small_network(log, {}) == {}
    for name in NETWORK:
        assert small_network(log, GIVEN | {name: 3}) == {}
    assert small_network(corpus_of(random_text(9000, "abcdefghijkl\n")), GIVEN) == {}  # not repetitive
    assert small_network(corpus_of((LOG.replace("\n", ";") + "\n") * 3), GIVEN) == {}  # not short
    assert small_network(corpus_of("no newline " * 99), GIVEN) == {}
    many = corpus_of(LOG + "".join(map(chr, range(0x4E00, 0x4E00 + 300))) + "\n")
    assert many.ids.dtype == np.uint16
    assert small_network(many, GIVEN) == NETWORK
