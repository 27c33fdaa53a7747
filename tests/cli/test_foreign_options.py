import pytest

from charrnn.cli.foreign_options import HERE
from tests.helpers import cli_page
from tests.helpers.command import charrnn, refused

OPTIONS = {name: " ".join(option.head for option in cli_page.options(name)).split() for name in ("train", "sample")}


@pytest.mark.parametrize("name", HERE)
def test_a_hint_is_for_an_option_that_exists_by_a_name_that_does_not(name: str) -> None:
    everywhere = {flag.rstrip(",") for flags in OPTIONS.values() for flag in flags}
    assert HERE[name] in everywhere
    assert name not in everywhere
    assert "_" not in name


@pytest.mark.parametrize(
    ("args", "here"),
    [
        (("train", "--learning-rate", "0.1"), "--lr"),
        (("train", "--max_iters=5"), "--steps"),
        (("train", "--rnn-size", "64"), "--hidden-size"),
        (("sample", "--num-samples", "2"), "--count"),
        (("sample", "--max-tokens", "2"), "--length"),
        (("sample", "--n-predict", "2"), "--length"),
        (("sample", "--temp", "2"), "--temperature"),
    ],
)
def test_an_option_of_another_program_is_refused_with_its_name_here(args: tuple[str, ...], here: str) -> None:
    refused(charrnn(*args), 2, f"no such option: {args[1].split('=')[0]}: here it is {here}")


@pytest.mark.parametrize("args", [("sample", "--learning-rate", "1"), ("train", "--bogus"), ("train", "--lr")])
def test_other_errors_of_the_command_line_stay_as_they_are(args: tuple[str, ...]) -> None:
    result = charrnn(*args)
    refused(result, 2, args[1])
    assert "here it is" not in result.err
