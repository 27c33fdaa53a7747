import warnings

import numpy as np
import pytest

from charrnn.neurons import find, followed, shown
from charrnn.neurons.finding import EXCERPT, LOOK_BACK, Correlations
from charrnn.neurons.properties import LARGEST, PROPERTIES, Values, properties, stretches
from charrnn.neurons.units import Reader, Unit, column_of, unit_at
from charrnn.ops import Array
from charrnn.vocab import Vocab, codes_of
from tests.helpers.files import corpus_of
from tests.helpers.models import tiny_model

TEXT = "".join(f'KING:\nSo {n} (or "{n * n}").\n{"And on. " * (n % 30)}\n\n' for n in range(90))
VOCAB = corpus_of(TEXT.replace("9", "")).vocab
MODEL = tiny_model(len(VOCAB), cell="gru", num_layers=2)


def activations(text: str) -> tuple[Array, Values]:
    """Activations and properties of a whole text."""
    h = np.concatenate(list(Reader(MODEL, VOCAB.start_id).read(VOCAB.encode(text))))
    return h, np.concatenate([properties(stretch) for stretch in stretches([text])])


def test_the_unit_of_each_property_is_the_one_that_correlates_best() -> None:
    h, p = activations(TEXT)
    known = ~np.isnan(h[:, 0])
    assert 0 < np.count_nonzero(~known) < 100
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # some properties do not vary
        r = np.corrcoef(h[known].T, p[known].T)[: h.shape[1], h.shape[1] :]
    findings = find(MODEL, [TEXT[:5], TEXT[5:9000], TEXT[9000:]], VOCAB)
    by_property = {finding.property: finding for finding in findings}
    varying = [name for k, name in enumerate(PROPERTIES) if np.isfinite(r[:, k]).all()]
    assert {*by_property} == {*varying}
    assert {"inside a tag", "in a comment", "in the indentation"}.isdisjoint(varying)
    for k, name in enumerate(PROPERTIES):
        if name in varying:
            found, best = by_property[name], int(np.abs(r[:, k]).argmax())
            assert found.unit == unit_at(best, MODEL.config)
            assert found.correlation == pytest.approx(r[best, k], abs=1e-9)
            assert found.largest == pytest.approx(np.nanmax(np.abs(h[:, best])))
    strengths = [abs(finding.correlation) for finding in findings]
    assert strengths == sorted(strengths, reverse=True)


def test_what_is_found_does_not_depend_on_how_the_text_arrives() -> None:
    assert find(MODEL, [TEXT], VOCAB) == find(MODEL, [TEXT[i : i + 997] for i in range(0, len(TEXT), 997)], VOCAB)


def test_an_excerpt_shows_its_property_as_a_reader_of_the_whole_text_sees_it() -> None:
    assert len(TEXT) > 3 * LARGEST
    h, p = activations(TEXT)
    for finding in find(MODEL, [TEXT], VOCAB):
        before, text = finding.excerpt
        begin = TEXT.index(before + text) + len(before)
        assert (len(before), len(text) <= EXCERPT) == (min(begin, LOOK_BACK), True)
        assert TEXT[begin - 2 : begin] in ("", "\n\n")
        assert p[begin : begin + len(text), [*PROPERTIES].index(finding.property)].std() > 0
        values = shown(MODEL, finding.excerpt, VOCAB, finding.unit)
        expected = h[begin : begin + len(text), column_of(finding.unit, MODEL.config)]
        np.testing.assert_allclose(values, expected, atol=1e-6)


def test_a_unit_is_followed_through_the_whole_text() -> None:
    h, _ = activations(TEXT)
    found = list(followed(MODEL, [TEXT[:100], TEXT[100:]], VOCAB, Unit(1, 2)))
    assert "".join(text for text, _ in found) == TEXT
    column = column_of(Unit(1, 2), MODEL.config)
    np.testing.assert_allclose(np.concatenate([values for _, values in found]), h[:, column], rtol=1e-9)


def test_what_does_not_vary_correlates_with_nothing() -> None:
    sums = Correlations(2, 3)
    sums.add(np.array([[0.3, 0.1], [0.3, 0.4], [np.nan, np.nan]]), np.array([[1.0, 0, 2], [1, 1, 1], [0, 9, 9]]))
    np.testing.assert_allclose(sums.values(), [[0, 0, 0], [0, 1, -1]], atol=1e-12)
    assert sums.largest.tolist() == [0.3, 0.4]
    assert find(MODEL, [], VOCAB) == find(MODEL, ["999"], VOCAB) == []


def test_a_vocabulary_without_a_newline_is_enough() -> None:
    vocab = Vocab(np.unique(codes_of("ab ")).astype(np.uint32))
    findings = find(tiny_model(len(vocab)), ["ab a b\n" * 9], vocab)
    assert "letters since the word began" in {finding.property for finding in findings}
