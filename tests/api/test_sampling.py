"""Samples from Python: the same options, and the same text, as the command."""

import itertools
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import charrnn
from charrnn.api.sampling import SamplingOptions
from charrnn.core.errors import UnknownCharacterError, UsageError
from charrnn.parallel import cores
from tests.helpers.command import TEXT, ok

pytestmark = pytest.mark.usefixtures("model")

GRAMMAR = 'start: "fox"~1..3\n'
OPTIONS: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 1.3, "top_k": 5},
    {"top_p": 0.7, "min_p": 0.05},
    {"only": "fox ehns\n", "ban": "x"},
    {"regex": "[0-9] größere fox(es)*"},
    {"grammar": "foxes.lark"},
    {"json_schema": "schema.json"},
    {"no_copy": 6},
    {"stop": ["hen", "\n"]},
    {"stop": "fox", "echo": False},
]


def command_line(options: Mapping[str, Any]) -> list[object]:
    """Return options of the library as those of the command."""
    words = list[object]()
    for name, value in options.items():
        if name == "echo":
            words.append("--no-echo")
            continue
        for each in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", each]
    return words


@pytest.fixture(autouse=True)
def files(model: Path) -> None:
    Path("foxes.lark").write_text(GRAMMAR)
    Path("schema.json").write_text('{"enum": [3, 71, 5]}')


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_sample_is_that_of_the_command_with_the_same_options(options: SamplingOptions) -> None:
    prompt = "" if {"grammar", "json_schema"} & options.keys() else "3 fox"
    command = ("sample", "-m", "a", "-n", 50, "--seed", 4, "-q", "-p", prompt, *command_line(options))
    loaded = charrnn.load("a")
    assert loaded.sample(prompt, 50, seed=4, **options) + "\n" == ok(*command).text
    pieces = list(loaded.stream(prompt, 50, seed=4, **options))
    assert "".join(pieces) + "\n" == ok(*command).text
    assert "" not in pieces
    many = list(loaded.samples(40, prompt, 50, seed=4, **options))
    assert "".join(f"{text}\n" for text in many) == ok(*command, "--count", 40).text


def test_a_stream_comes_while_it_is_written_and_may_be_endless() -> None:
    stream = charrnn.load("a").stream("fox", None, seed=1)
    assert next(stream) == "fox"
    long = "".join(itertools.islice(stream, 100))
    assert len(long) > 100
    assert cores.product_threads is None  # between two pieces, the program around it has its own
    assert charrnn.load("a").sample("", len(long), seed=1)[:20] == "".join(charrnn.load("a").stream("", 20, seed=1))


def test_samples_differ_if_they_are_to_be_unique_and_end_where_the_pattern_says() -> None:
    loaded = charrnn.load("a")
    found = list(loaded.samples(9, length=None, regex="[a-z]{2}", seed=1, unique=True, temperature=2))
    assert len({*found}) == 9
    assert all(re.fullmatch("[a-z]{2}", text) for text in found)


def test_samples_are_the_same_on_any_number_of_cores_and_in_several_threads() -> None:
    loaded = charrnn.load("a")
    one, two = (list(loaded.samples(70, "fox", 9, seed=2, threads=count)) for count in (1, 2))
    assert one == two
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda seed: loaded.sample("fox", 60, seed=seed), range(8)))
    assert texts == [loaded.sample("fox", 60, seed=seed) for seed in range(8)]
    assert cores.product_threads is None


def test_no_copy_copies_no_more_than_it_says() -> None:
    text = charrnn.load("a").sample("", 300, seed=1, no_copy=5, temperature=0.5)
    assert [text[i : i + 6] for i in range(295) if text[i : i + 6] in TEXT[: int(len(TEXT) * 0.9)]] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"length": None}, "length None never ends"),
        ({"top_k": 0}, "top-k 0"),
        ({"top_k": 2.5}, r"top_k 2\.5: must be a whole number"),
        ({"top_p": "most"}, "top_p 'most': must be a number"),
        ({"min_p": 1.5}, r"min-p 1\.5"),
        ({"only": "猫"}, "--only: the model does not know"),
        ({"stop": ""}, "--stop: the text is empty"),
        ({"regex": "("}, r"--regex \("),
        ({"regex": "a", "grammar": "foxes.lark"}, "--regex and --grammar: give one of them"),
        ({"temprature": 1}, "temprature: no options of samples"),
        ({"count": -1}, "count -1: must be 0 or more"),
        ({"no_copy": 0}, "--no-copy 0: must be 1 or more"),
        ({"stop": 5}, "stop 5: must be a text or several"),
        ({"stop": ["e", 5]}, r"stop \['e', 5\]: must be a text or several"),
        ({"only": 5}, "only 5: must be a text"),
        ({"regex": b"a"}, "regex b'a': must be a text"),
        ({"echo": "no"}, "echo 'no': must be True or False"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_by_the_call_and_not_by_the_first_piece(options: dict[str, Any], words: str) -> None:
    loaded = charrnn.load("a")
    count = options.pop("count", 1)
    with pytest.raises(UsageError, match=words):
        loaded.samples(count, **options)
    if count == 1 and "length" not in options:
        with pytest.raises(UsageError, match=words):
            loaded.stream(**options)
    with pytest.raises(UnknownCharacterError):
        loaded.stream("猫")


def test_a_stop_that_can_never_come_is_a_warning() -> None:
    loaded = charrnn.load("a")
    with pytest.warns(UserWarning, match="--stop 猫: never written"):
        assert len(loaded.sample("", 20, stop="猫")) == 20
    for never in ({"stop": "猫"}, {"stop": "es", "ban": "s"}, {"stop": "es", "only": "fox"}):
        with pytest.raises(UsageError, match="would never end"):
            loaded.sample("", None, **never)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="--stop es: never written, because --only and --ban leave out U\\+0073 s"):
        assert "s" not in loaded.sample("", 20, stop="es", ban="s")
