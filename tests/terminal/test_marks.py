from charrnn.terminal.marks import END, START, marked_line


def test_odd_parts_are_marked_and_the_newline_is_shown() -> None:
    assert marked_line("a bad line", [(2, 5, 9.0), (6, 7, 1.0)]) == f"a {START}bad{END} {START}l{END}ine"
    assert marked_line("cut", [(2, 4, 9.0)]) == f"cu{START}t${END}"
    assert marked_line("", [(0, 1, 9.0)]) == f"{START}${END}"
    assert marked_line("as it is", []) == "as it is"


def test_a_line_brings_no_escapes_of_its_own() -> None:
    assert marked_line("\x1b[2Jx\x1b", [(0, 1, 9.0)]) == f"{START}␛{END}[2Jx␛"
