"""The manual pages agree with the help."""

import pytest

from charrnn import __version__
from charrnn.cli.commands import COMMANDS
from tests.helpers import man_pages
from tests.helpers.cli_page import options


def test_the_pages_are_those_of_the_help() -> None:
    found = {path.name: path.read_text("utf-8") for path in man_pages.FOLDER.iterdir()}
    assert found == man_pages.pages(), "run make docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_every_option(name: str) -> None:
    page = man_pages.pages()[f"charrnn-{name}.1"]
    assert page.startswith(f'.TH "CHARRNN-{name.upper()}" 1 "" "charrnn {__version__}" "charrnn"\n.SH NAME\n')
    assert [option.head for option in options(name) if f".B {man_pages.plain(option.head)}\n" not in page] == []


def test_nothing_in_a_text_is_a_request_or_an_escape() -> None:
    assert man_pages.plain(".npz or a \\n-b") == "\\&.npz or a \\en\\-b"
