from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.sampling.stops import Stops

texts = st.text("ab", max_size=12)
stop_lists = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3)


def naive(text: str, stops: list[str]) -> tuple[str, bool]:
    """Cut a text before the stop that is complete first, the longest of several."""
    for end in range(len(text) + 1):
        lengths = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if lengths:
            return text[: end - max(lengths)], True
    return text, False


@settings(deadline=None, max_examples=50, derandomize=True)
@given(texts, stop_lists, st.lists(st.integers(1, 4), max_size=12))
def test_a_text_ends_before_its_first_stop_however_it_is_cut_into_pieces(
    text: str, stops: list[str], sizes: list[int]
) -> None:
    matcher, written, stopped, at = Stops(stops), "", False, 0
    for size in [*sizes, len(text)]:
        piece, at = text[at : at + size], at + size
        certain, stopped = matcher.push(piece)
        written += certain
        if stopped:
            break
        whole, over = naive(text[:at], stops)
        assert (written + matcher.held, over) == (whole, False)
        could_begin = [n for stop in stops for n in range(1, len(stop)) if whole.endswith(stop[:n])]
        assert len(matcher.held) == max(could_begin, default=0)  # neither more nor less is held back
    assert (written + matcher.held, stopped) == naive(text, stops)
    assert (matcher.found in stops, text.startswith(written + matcher.found)) == (stopped, True)
