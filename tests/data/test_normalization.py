import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.data import normalization
from charrnn.data.normalization import in_order, normalized_blocks

MARKS = "\u0301\u0323\u0344\u0345\u05b0\u0f71\u1dce\u3099"  # of different classes; one decomposes into two


def test_a_text_without_a_cut_is_scanned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted:
        seen = 0

        def match(self, text: str, at: int) -> None:
            self.seen += 1

    counted = Counted()
    monkeypatch.setattr(normalization, "SAFE_CUT", counted)
    accents = 64 * ["e\u0301" * 32]
    assert "".join(normalized_blocks(accents, "nfc")) == 64 * 32 * "\u00e9"
    assert counted.seen == 64 * 64


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.text(st.sampled_from(MARKS), min_size=60, max_size=90), st.sampled_from(["NFC", "NFD"]))
def test_long_runs_in_order_have_the_same_normal_form(run: str, form: str) -> None:
    text = f"a{run}e{run}"
    ordered = in_order(text)
    assert unicodedata.normalize(form, ordered) == unicodedata.normalize(form, text)  # type: ignore[arg-type]
    if len(run) >= 64:
        classes = [unicodedata.combining(c) for c in ordered[1:] if c != "e"][: ordered.index("e") - 1]
        assert classes == sorted(classes)


def test_a_run_of_a_million_marks_is_normalized() -> None:
    run = "\u0301\u0323" * 500_000
    assert "".join(normalized_blocks(["a", run], "nfd")) == "a" + "\u0323" * 500_000 + "\u0301" * 500_000


def test_short_runs_and_other_texts_stay_as_they_are() -> None:
    for text in ("", "abc", "e\u0301\u0323", "\u0301" * 63 + "x", "\u4e00" * 99):
        assert in_order(text) == text
