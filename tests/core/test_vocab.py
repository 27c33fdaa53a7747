import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from charrnn.core.errors import UnknownCharacterError, UsageError
from charrnn.core.vocab import CODE_POINTS, NORMALIZATIONS, UNKNOWN, Vocab, codes_of, normalized

few = settings(deadline=None, max_examples=50, derandomize=True)


def vocab_of(text: str, min_count: int = 1, normalize: str = "none") -> Vocab:
    return Vocab.build(np.bincount(codes_of(text), minlength=CODE_POINTS), min_count, normalize)


@few
@example("\0\U0010ffff\n\r\ufffd\0")
@given(st.text(min_size=1))
def test_decoding_inverts_encoding(text: str) -> None:
    vocab = vocab_of(text)
    ids = vocab.encode(text)
    assert vocab.decode(ids) == text
    assert set(ids.tolist()) == set(range(len(vocab)))
    assert [vocab.decode([i]) for i in range(len(vocab))] == sorted(set(text))


@few
@example("\xff")
@example("\u0100")
@example("\ud800\udc00\uffff")
@example("\ud83d😀")
@given(st.text(st.characters()))
def test_code_points_have_the_smallest_type_that_fits(text: str) -> None:
    codes, expected = codes_of(text), [ord(c) for c in text]
    largest = max(expected, default=0)
    assert codes.tolist() == expected
    assert codes.itemsize == (1 if largest < 0x100 else 2 if largest < 0x10000 else 4)


@few
@given(st.text("abcdé😀", min_size=1), st.integers(1, 5))
def test_characters_rarer_than_min_count_share_one_symbol(text: str, min_count: int) -> None:
    vocab = vocab_of(text, min_count)
    kept = [c for c in sorted(set(text)) if text.count(c) >= min_count]
    rare = set(text) - set(kept)
    assert vocab.decode(vocab.encode(text)) == "".join("\ufffd" if c in rare else c for c in text)
    assert (len(vocab), vocab.unknown) == (len(kept) + bool(rare), bool(rare))
    assert vocab.encode("".join(sorted(rare)) + "Ω").tolist() == [len(kept) if rare else UNKNOWN] * (len(rare) + 1)


@few
@given(st.text("abcd", min_size=1), st.integers(1, 4), st.text("bcdeé😀", min_size=1), st.integers(1, 4))
def test_a_known_vocabulary_is_extended(old: str, old_count: int, new: str, new_count: int) -> None:
    known = vocab_of(old, old_count)
    counts = np.bincount(codes_of(new), minlength=CODE_POINTS)
    vocab = Vocab.build(counts, new_count, "nfc", known)
    frequent = {c for c in new if new.count(c) >= new_count}
    assert vocab.characters[: len(vocab.symbols)] == sorted({*known.characters[: len(known.symbols)], *frequent})
    assert vocab.unknown == (known.unknown or not set(new) <= set(vocab.characters))
    assert vocab.normalize == "nfc"


def test_a_text_of_known_symbols_does_not_change_a_known_vocabulary() -> None:
    for known in (vocab_of("cab"), vocab_of("aabbc", 2)):
        assert Vocab.build(np.bincount(codes_of("bab"), minlength=CODE_POINTS), known=known) == known


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize(
    ("size", "dtype"),
    [(1, np.uint8), (256, np.uint8), (257, np.uint16), (65536, np.uint16), (65537, np.uint32)],
)
def test_ids_have_the_smallest_type_that_fits(size: int, dtype: type, unknown: bool) -> None:
    vocab = Vocab(np.arange(size - unknown, dtype=np.uint32), unknown)
    assert (len(vocab), vocab.id_dtype) == (size, dtype)


@pytest.mark.parametrize(
    ("text", "min_count", "before"),
    [("ab\n\tc", 1, "\n"), ("abc", 1, "a"), ("aabb\n", 2, "\ufffd"), ("abc", 2, "\ufffd")],
)
def test_the_start_id_is_the_newline_or_else_the_unknown_or_first_symbol(
    text: str, min_count: int, before: str
) -> None:
    vocab = vocab_of(text, min_count)
    assert vocab.decode([vocab.start_id]) == before


@pytest.mark.parametrize(("text", "min_count", "expected"), [("ab\n\tc", 1, 1), ("abc", 1, None), ("aabb\n", 2, None)])
def test_the_newline_id_is_none_if_the_newline_is_rare(text: str, min_count: int, expected: int | None) -> None:
    assert vocab_of(text, min_count).newline_id == expected


@pytest.mark.parametrize("form", NORMALIZATIONS)
def test_a_prompt_is_normalized_to_the_form_of_the_vocabulary(form: str) -> None:
    text = normalized("\u00e9\u0301\u1e9b\u0323 \ud55c", form)
    vocab = vocab_of(text, normalize=form)
    prompts = [text] if form == "none" else [normalized(text, "nfc"), normalized(text, "nfd")]
    assert [vocab.decode(vocab.encode_known(vocab.normalized(prompt))) for prompt in prompts] == [text] * len(prompts)


def test_without_a_normal_form_nothing_is_composed() -> None:
    assert normalized("e\u0301", "none") == "e\u0301"
    assert normalized("e\u0301", "nfc") == "\u00e9"
    assert normalized("\u00e9", "nfd") == "e\u0301"
    with pytest.raises(UnknownCharacterError):
        vocab_of("\u00e9!").encode_known("e\u0301")


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("caf\u00e9, \u00e9clair", "know U+00E9 \u00e9: "),
        ("\U0001f600 \u03a9", "know U+03A9 \u03a9, U+1F600 \U0001f600: "),
        ("a\udc80b", "know U+DC80: "),  # from a byte on the command line that is not UTF-8
        ("\0\t", "know U+0000, U+0009: "),
        ("1234567", "know U+0031 1, U+0032 2, U+0033 3, U+0034 4, U+0035 5 and 2 more: "),
    ],
)
def test_unknown_characters_are_named(prompt: str, named: str) -> None:
    with pytest.raises(UnknownCharacterError) as caught:
        vocab_of("abcdefghijklmnopqrstuvwxyz, ").encode_known(prompt)
    assert named in str(caught.value)
    str(caught.value).encode()


def test_with_an_unknown_symbol_every_prompt_is_known() -> None:
    vocab = vocab_of("aab", 2)
    assert vocab.encode_known("ab\udc80\U0010ffff").tolist() == [0, 1, 1, 1]


def test_vocabularies_are_equal_if_symbols_unknown_and_normalize_are() -> None:
    assert vocab_of("abc") == vocab_of("cabca")
    others = [vocab_of("abd"), vocab_of("ab"), vocab_of("aabbccd", 2), vocab_of("abc", normalize="nfc"), "abc"]
    assert not any(vocab_of("abc") == other for other in others)


def test_an_unknown_normal_form_is_refused() -> None:
    with pytest.raises(UsageError, match="--normalize nfkc: must be one of none, nfc, nfd"):
        vocab_of("abc", normalize="nfkc")
