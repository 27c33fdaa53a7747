from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.data.lines import arrivals, grouped


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.lists(st.text("a\n\r\u2028", max_size=9), max_size=9))
def test_each_block_yields_the_lines_that_it_completes(blocks: list[str]) -> None:
    found = list(arrivals(blocks))
    assert "".join(line for lines in found for line in lines) == "".join(blocks)
    *ended, rest = "".join(blocks).split("\n")
    assert [line for lines in found for line in lines] == [f"{line}\n" for line in ended] + [rest] * bool(rest)
    assert len(found) == sum("\n" in block for block in blocks) + bool(rest)


def test_groups_have_at_least_so_many_characters_except_the_last() -> None:
    lines = ["abc\n", "d\n", "ef\n", "", "g"]
    assert list(grouped(lines, 5)) == [["abc\n", "d\n"], ["ef\n", "", "g"]]
    assert list(grouped(lines, 1)) == [["abc\n"], ["d\n"], ["ef\n"], ["", "g"]]
    assert list(grouped([], 5)) == []
