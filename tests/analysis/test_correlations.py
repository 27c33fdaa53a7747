import warnings

import numpy as np
import pytest

from charrnn.analysis.correlations import (
    MAX_CONTEXT,
    MAX_EXCERPT,
    Correlations,
    best_units,
    excerpt_activations,
    unit_activations,
)
from charrnn.analysis.properties import MAX_SECTION, PROPERTIES, Values, properties, sections
from charrnn.analysis.units import ActivationReader, Unit
from charrnn.core.ops import Array
from charrnn.core.vocab import Vocab, codes_of
from tests.helpers.files import corpus_of
from tests.helpers.models import tiny_model

TEXT = "".join(f'KING:\nSo {n} (or "{n * n}").\n{"And on. " * (n % 30)}\n\n' for n in range(90))
VOCAB = corpus_of(TEXT.replace("9", "")).vocab
MODEL = tiny_model(len(VOCAB), cell="gru", num_layers=2)


def activations(text: str) -> tuple[Array, Values]:
    """Activations and properties of a whole text."""
    h = np.concatenate(list(ActivationReader(MODEL, VOCAB.start_id).activations(VOCAB.encode(text))))
    return h, np.concatenate([properties(section) for section in sections([text])])


def column_of(unit: Unit) -> int:
    """The column of a unit in the activations."""
    return unit.layer * MODEL.config.hidden_size + unit.number


def test_each_property_has_the_unit_that_correlates_best() -> None:
    h, p = activations(TEXT)
    known = ~np.isnan(h[:, 0])
    assert 0 < np.count_nonzero(~known) < 100
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # some properties do not vary
        r = np.corrcoef(h[known].T, p[known].T)[: h.shape[1], h.shape[1] :]
    bests = best_units(MODEL, [TEXT[:5], TEXT[5:9000], TEXT[9000:]], VOCAB)
    by_property = {best_unit.property: best_unit for best_unit in bests}
    varying = [name for k, name in enumerate(PROPERTIES) if np.isfinite(r[:, k]).all()]
    assert {*by_property} == {*varying}
    assert {"inside a tag", "in a comment", "in the indentation"}.isdisjoint(varying)
    for k, name in enumerate(PROPERTIES):
        if name in varying:
            found, best = by_property[name], int(np.abs(r[:, k]).argmax())
            assert column_of(found.unit) == best
            assert found.correlation == pytest.approx(r[best, k], abs=1e-9)
            assert found.largest == pytest.approx(np.nanmax(np.abs(h[:, best])))
    strengths = [abs(best_unit.correlation) for best_unit in bests]
    assert strengths == sorted(strengths, reverse=True)


def test_a_property_that_varies_only_after_the_beginnings_has_an_excerpt_too() -> None:
    late = "the fox and the hens \n" * 40 + "a 7, 8 or 9"
    bests = {best.property: best for best in best_units(MODEL, [late], VOCAB)}
    assert all(best.excerpt.text for best in bests.values())
    assert "7" not in bests["a digit"].excerpt.text


def test_the_best_units_do_not_depend_on_the_blocks() -> None:
    assert best_units(MODEL, [TEXT], VOCAB) == best_units(
        MODEL, [TEXT[i : i + 997] for i in range(0, len(TEXT), 997)], VOCAB
    )


def test_activations_in_an_excerpt_are_those_in_the_whole_text() -> None:
    assert len(TEXT) > 3 * MAX_SECTION
    h, p = activations(TEXT)
    for best_unit in best_units(MODEL, [TEXT], VOCAB):
        before, text = best_unit.excerpt
        begin = TEXT.index(before + text) + len(before)
        assert (len(before), len(text) <= MAX_EXCERPT) == (min(begin, MAX_CONTEXT), True)
        assert TEXT[begin - 2 : begin] in ("", "\n\n")
        assert p[begin : begin + len(text), [*PROPERTIES].index(best_unit.property)].std() > 0
        values = excerpt_activations(MODEL, best_unit.excerpt, VOCAB, best_unit.unit)
        expected = h[begin : begin + len(text), column_of(best_unit.unit)]
        np.testing.assert_allclose(values, expected, atol=1e-6)


def test_the_activations_of_a_unit_cover_the_whole_text() -> None:
    h, _ = activations(TEXT)
    found = list(unit_activations(MODEL, [TEXT[:100], TEXT[100:]], VOCAB, Unit(1, 2)))
    assert "".join(text for text, _ in found) == TEXT
    column = column_of(Unit(1, 2))
    np.testing.assert_allclose(np.concatenate([values for _, values in found]), h[:, column], rtol=1e-9)


def test_constants_correlate_with_nothing() -> None:
    sums = Correlations(2, 3)
    sums.add(np.array([[0.3, 0.1], [0.3, 0.4], [np.nan, np.nan]]), np.array([[1.0, 0, 2], [1, 1, 1], [0, 9, 9]]))
    np.testing.assert_allclose(sums.matrix(), [[0, 0, 0], [0, 1, -1]], atol=1e-12)
    assert sums.largest.tolist() == [0.3, 0.4]
    assert best_units(MODEL, [], VOCAB) == best_units(MODEL, ["999"], VOCAB) == []


def test_a_vocabulary_without_a_newline_is_enough() -> None:
    vocab = Vocab(np.unique(codes_of("ab ")).astype(np.uint32))
    bests = best_units(tiny_model(len(vocab)), ["ab a b\n" * 9], vocab)
    assert "letters since the word began" in {best_unit.property for best_unit in bests}
