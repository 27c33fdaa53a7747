import numpy as np
import pytest

from charrnn.core.errors import UsageError
from charrnn.core.vocab import Vocab, codes_of
from charrnn.sampling.alphabet import alphabet


def vocab(text: str, unknown: bool = False, normalize: str = "none") -> Vocab:
    return Vocab(np.unique(codes_of(text)), unknown, normalize)


@pytest.mark.parametrize(
    ("keep", "ban", "unknown", "left"),
    [
        (None, "", False, None),
        (None, "", True, "abcd"),
        ("ad", "", True, "ad"),
        ("aad", "d", False, "a"),
        (None, "dd", False, "abc"),
        ("abcd", "", False, None),
    ],
)
def test_an_alphabet_has_the_kept_characters_without_the_banned_ones(
    keep: str | None, ban: str, unknown: bool, left: str | None
) -> None:
    allowed = alphabet(vocab("abcd", unknown), keep, ban)
    assert (left and "".join("abcd"[i] for i in np.flatnonzero(np.array(allowed)))) == left
    assert (allowed is None) == (left is None)


@pytest.mark.parametrize("unknown", [False, True])
def test_an_empty_alphabet_and_unknown_characters_are_refused(unknown: bool) -> None:
    known = vocab("ab", unknown)
    for keep, ban, message in (
        ("aé", "", r"^--only: .*U\+00E9 é"),
        (None, "☃", r"^--ban: .*U\+2603"),
        ("ab", "ba", "leave no character"),
        (None, "ab", "leave no character"),
        ("", "", "leave no character"),
    ):
        with pytest.raises(UsageError, match=message):
            alphabet(known, keep, ban)


def test_an_alphabet_is_read_in_the_normal_form_of_the_model() -> None:
    composed = vocab("aé", normalize="nfc")
    allowed = alphabet(composed, "e\u0301")
    assert allowed is not None
    assert allowed.tolist() == [False, True]
