"""charrnn sample --grammar, --json-schema and --unique."""

import json
from pathlib import Path

import jsonschema
import lark
import pytest

from tests.helpers.command import NETWORK, charrnn, ok, refused

pytestmark = pytest.mark.usefixtures("json_model")

SUMS = 'start: term ("+" term)*\nterm: /[0-9]+/ | "t" start "h"\n'
HENS = {
    "type": "object",
    "properties": {
        "fox": {"type": "integer", "minimum": 1, "maximum": 10},
        "hens": {"enum": ["than", "größere", "猫"]},
    },
    "required": ["fox", "hens"],
}


@pytest.fixture
def json_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of lines with the characters of JSON, in the working folder."""
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"fox": n % 9, "hens": "than", "größere": [n]}, ensure_ascii=False) for n in range(120)]
    Path("records.txt").write_text("\n".join(lines) + "+th0123456789")
    ok("train", "records.txt", *NETWORK, "--steps", 20, "-q")


def test_every_sample_is_valid_by_its_schema_and_the_same_for_any_count() -> None:
    Path("hens.json").write_text(json.dumps(HENS))
    line = ("sample", "--json-schema", "hens.json", "--seed", 1, "-q")
    many = ok(*line, "--count", 70).text.splitlines()
    for text in many:
        jsonschema.validate(json.loads(text), HENS)
    assert len(many) == 70
    assert {json.loads(text)["hens"] for text in many} == {"than", "größere"}
    records = ok(*line, "--count", 9, "--json", "--threads", 1).records
    assert [(record["text"], record["finish"]) for record in records] == [(text, "grammar") for text in many[:9]]
    assert {len(text) for text in ok(*line, "-n", 26, "--count", 20).text.splitlines()} == {26}
    refused(charrnn(*line, "-n", 25), 2, "a text needs 26 characters: --length 25 is too small")


def test_every_sample_is_a_text_of_its_grammar_and_unique_writes_none_twice() -> None:
    Path("sums.lark").write_text(SUMS)
    line = ("sample", "--grammar", "sums.lark", "--seed", 4, "-q", "-n", 12)
    parser = lark.Lark(SUMS)
    many = ok(*line, "--count", 60).text.splitlines()
    assert [text for text in many if not parser.parse(text)] == []
    assert max(map(len, many)) <= 12
    single = ok(*line, "--grammar", "sums.lark", "-n", 1, "--count", 10, "--unique").text.splitlines()
    assert sorted(single) == list("0123456789")
    fewer = charrnn(*line, "-n", 1, "--count", 11, "--unique")
    assert (fewer.code, sorted(fewer.text.splitlines())) == (1, list("0123456789"))
    assert "--unique: only 10 of 11 samples" in fewer.err


def test_a_prompt_is_the_beginning_of_the_text_unless_it_is_not_echoed() -> None:
    Path("sums.lark").write_text(SUMS)
    line = ("sample", "--grammar", "sums.lark", "--seed", 4, "-q", "-n", 12)
    begun = ok(*line, "-p", "12+t", "--count", 20).text.splitlines()
    assert all(lark.Lark(SUMS).parse(text) and text.startswith("12+t") for text in begun)
    refused(charrnn(*line, "-p", "1{"), 2, "no text begins with the first 2 characters of the prompt")
    alone = ok(*line, "-p", "1{", "--no-echo", "--count", 20).text.splitlines()
    assert all(lark.Lark(SUMS).parse(text) for text in alone)
    stopped = ok(*line, "-p", "12+t", "--stop", "h", "--json").records
    assert stopped[0]["finish"] in ("stop", "length")


def test_grammars_that_cannot_be_used_are_refused_in_one_line() -> None:
    Path("bad.lark").write_text("start: gone")
    Path("far.lark").write_text('start: "fox" | "fo" "猫"')
    Path("bad.json").write_text('{"type": "object", "minProperties": 3}')
    Path("kind.json").write_text('{"type": "string", "format": ["date"]}')
    Path("same.json").write_text('{"const": 1}')
    refused(charrnn("sample", "-q", "--grammar", "bad.lark"), 2, "--grammar bad.lark: Rule 'gone' used but not defined")
    Path("cat.lark").write_text('start: "cat" | "co" "猫"')
    refused(
        charrnn("sample", "-q", "--grammar", "cat.lark"),
        2,
        '--grammar cat.lark: no text is possible without "cat", "co", "猫"',
    )
    refused(charrnn("sample", "-q", "--json-schema", "bad.json"), 2, "#: minProperties is not supported")
    refused(charrnn("sample", "-q", "--json-schema", "kind.json"), 2, '#: format must be a string, not ["date"]')
    refused(charrnn("sample", "-q", "--grammar", "none.lark"), 1, "none.lark: No such file")
    refused(charrnn("sample", "-q", "--grammar", "far.lark", "--json-schema", "same.json"), 2, "give one of them")
    refused(charrnn("sample", "-q", "--grammar", "far.lark", "--regex", "x"), 2, "give one of them")
    refused(charrnn("sample", "-q", "-n", -1, "--unique"), 2, "never ends")
    fox = ok("sample", "--grammar", "far.lark", "-m", "records")
    assert fox.text == "fox\n"
    assert '--grammar far.lark: left out what needs "猫": the model does not write it' in fox.err
    (endless,) = ok("sample", "--json-schema", "same.json", "-n", -1, "--json", "-q").records
    assert (endless["text"], endless["finish"]) == ("1", "grammar")
