"""The commands of docs/recipes.md run unchanged, with small networks, and do what the page says."""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from tests.helpers.command import ENVIRONMENT, command

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "recipes.md").read_text("utf-8")
PLAYS = (ROOT / "corpora" / "plays.txt").read_text("utf-8")
RECIPES = {title: body for title, _, body in (part.partition("\n") for part in PAGE.split("\n## "))}
SMALL = {
    "CHARRNN_HIDDEN_SIZE": "24",
    "CHARRNN_NUM_LAYERS": "1",
    "CHARRNN_BATCH_SIZE": "10",
    "CHARRNN_STEPS": "100",
    "CHARRNN_LR": "0.03",
    "CHARRNN_SEED": "1",  # of samples too, so that the tests do not depend on chance
}
WORDS = {
    "en": "the house and which would there through night water thought neighbour with",
    "de": "das Haus und welche würde dort durch Nacht Wasser gedacht Nachbar mit",
    "es": "la casa y cual sería allí por noche agua pensado vecino con",
}
UNUSUAL = ["kernel panic at 0x7f: not syncing", "PUT //etc/passwd 777 !!", "zzzz zzzz zzzz zzzz"]
MOVES = ["e5", "Nf3", "Bb5", "Nc6", "a6", "d4", "exd4", "O-O", "Kh1", "Rg7"]
VIM = shutil.which("vim")
PARAGRAPH = "CRUMB:\nMadam, the court is full of\n"


class RecipeFolder:
    """A folder with the texts that the recipes name and `charrnn` on the path, and the output of each recipe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name, text in texts().items():
            file = path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        words = " ".join(f"'{word}'" for word in command())
        program = path / "bin" / "charrnn"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        program.chmod(0o755)
        self.env = {**ENVIRONMENT, **SMALL, "PATH": f"{program.parent}:{ENVIRONMENT['PATH']}"}
        self.output = {title: self.run("bash", "-c", script(body)) for title, body in RECIPES.items()}

    def run(self, *words: str) -> str:
        """Run a program in the folder and return its stdout."""
        done = subprocess.run(words, cwd=self.path, env=self.env, capture_output=True, timeout=120, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file in the folder."""
        return (self.path / name).read_text("utf-8").splitlines()


def script(body: str) -> str:
    """Return the shell blocks of a recipe as one script, which ends at the first failure."""
    return "set -e -o pipefail\n" + "".join(re.findall(r"^```sh\n(.*?)^```", body, re.M | re.S))


def texts() -> dict[str, str]:
    """Return the texts that the recipes name, by path."""
    rng = np.random.default_rng(5)

    def pick(words: Sequence[str], n: int = 1, between: str = " ") -> str:
        return between.join(words[i] for i in rng.integers(0, len(words), n))

    def log(day: int, n: int) -> list[str]:
        return [
            f"2026-11-{day} 10:{i % 60:02} GET /{pick(['map', 'list', 'item'])}/{pick('0123456789', 2, '')} 200"
            for i in range(n)
        ]

    names = [pick("MBJLTK") + pick("aeiou") + pick(["ra", "lin", "no", "ter"], 2, "") for _ in range(300)]
    today = log(22, 60)
    for place, line in zip((5, 30, 59), UNUSUAL, strict=True):
        today.insert(place, f"2026-11-22 11:11 {line}")
    talk = {name: [pick(words.split(), 9) for _ in range(150)] for name, words in WORDS.items()}
    mixed = [line for lines in zip(*(lines[-20:] for lines in talk.values()), strict=True) for line in lines]
    return {
        "names.txt": "\n".join(names) + "\n",
        "yesterday.log": "\n".join(log(21, 1200)) + "\n",
        "today.log": "\n".join(today) + "\n",
        **{f"{name}.txt": "\n".join(lines[:-20]) + "\n" for name, lines in talk.items()},
        "mixed.txt": "\n".join(mixed) + "\n",
        "orders.jsonl": "".join(
            json.dumps({"id": n, "name": pick(names), "items": [pick(["book", "map"])], "paid": n % 2 > 0}) + "\n"
            for n in range(1, 200)
        ),
        "people.sql": "".join(f"INSERT INTO people VALUES ({n}, '{pick(names)}', NULL);\n" for n in range(1, 200)),
        "games.txt": "".join(
            f"1. e4 {pick(MOVES)} 2. {pick(MOVES)} {pick(MOVES)} 3. Qxd8+ O-O-O#\n" for _ in range(150)
        ),
        "drafts/1.txt": "".join(rng.permutation([*PLAYS[2000:3000]])),
        "drafts/2.txt": PLAYS[2000:3000],
        "paragraph.txt": PARAGRAPH,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RecipeFolder:
    return RecipeFolder(tmp_path_factory.mktemp("recipes"))


def test_new_names_are_sampled_also_by_a_pattern(folder: RecipeFolder) -> None:
    path, *names = folder.output["Names"].splitlines()
    assert (path, len(names)) == ("checkpoints/names.npz", 10 + 5)
    new = folder.lines("new.txt")
    assert names[10:] == new[:5]
    assert [name for name in new if not re.fullmatch("[A-Z][a-z]{3,8}", name)] == []
    assert new == sorted(set(new) - {*folder.lines("names.txt")})


def test_the_most_unusual_lines_of_a_log_are_those_that_were_inserted(folder: RecipeFolder) -> None:
    _, *rows, said = folder.output["Unusual lines in a log"].splitlines()
    assert {row.split(" ", 2)[2] for row in rows[:3]} == {*UNUSUAL}
    alarms = folder.lines("alarms.txt")
    assert [line for line in alarms if line.split(" ", 2)[2] in UNUSUAL] == alarms[:3]
    assert len(alarms) < 20
    assert (folder.lines("found.txt"), said) == (alarms, "exit code 3: look at found.txt")


def test_a_model_of_a_log_is_trained_further_and_its_drift_is_shown(folder: RecipeFolder) -> None:
    assert folder.output["A model that keeps up with its log"].splitlines() == ["checkpoints/log-next.npz"]
    rows = [row.split("\t") for row in folder.lines("drift.tsv")]
    assert [(row[0], row[1], row[6]) for row in rows] == [
        (str(n), str(min(20, 64 - n)), "today.log") for n in (1, 21, 41, 61)
    ]
    assert not (folder.path / "checkpoints" / "log-next.npz").exists()


def test_each_line_is_assigned_to_its_language(folder: RecipeFolder) -> None:
    rows = [line.split("\t") for line in folder.lines("languages.tsv")]
    assert [line for _, line in rows] == folder.lines("mixed.txt")
    assert [name for name, _ in rows] == ["en", "de", "es"] * 20
    assert folder.output["Three languages, line by line"].split()[-6:] == ["20", "de", "20", "en", "20", "es"]


def test_the_blanks_of_a_template_are_filled_and_its_text_is_kept(folder: RecipeFolder) -> None:
    template, filled = folder.lines("template.txt"), folder.lines("filled.txt")
    assert len(template) == len(filled)
    for given, line in zip(template, filled, strict=True):
        assert line.startswith(given.removesuffix("_"))
        assert given.endswith("_") or line == given
    assert sum(len(line) > len(given) for given, line in zip(template, filled, strict=True)) >= 2


def test_drafts_are_sorted_with_the_best_first(folder: RecipeFolder) -> None:
    rows = [row.split("\t") for row in folder.output["Sorting a folder of drafts"].splitlines()]
    assert [row[1:] for row in rows] == [["1000", "drafts/2.txt"], ["1000", "drafts/1.txt"]]
    assert float(rows[0][0]) + 1 < float(rows[1][0])


def test_text_at_a_higher_temperature_is_more_surprising(folder: RecipeFolder) -> None:
    rows = [row.split("\t") for row in folder.output["Which temperature?"].splitlines()]
    bits, copied = [float(row[0]) for row in rows[:5]], [int(row[0]) for row in rows[5:]]
    names = [f"heat/{t}.txt" for t in ("0.2", "0.5", "0.8", "1.0", "1.2")]
    assert [row[2] for row in rows[:5]] == [row[1] for row in rows[5:]] == names
    assert bits == sorted(bits)
    assert copied[0] > copied[4]


def test_ten_thousand_addresses_match_and_differ(folder: RecipeFolder) -> None:
    emails = folder.lines("emails.txt")
    assert len(emails) == 10_000
    assert [line for line in emails if not re.fullmatch(r"[a-z]{3,10}@example\.com", line)] == []
    assert len(set(emails)) > 100


def test_records_are_valid_by_their_schema(folder: RecipeFolder) -> None:
    schema, found = json.loads("\n".join(folder.lines("order.json"))), folder.lines("fixtures.jsonl")
    for line in found:
        jsonschema.validate(json.loads(line), schema)
    assert len(set(found)) == 100


def test_texts_follow_their_grammars(folder: RecipeFolder) -> None:
    insert = r"INSERT INTO people VALUES \([1-9]\d{0,4}, '[A-Z][a-z]+', ([1-9]\d{0,4}|NULL)\);"
    move = r"([KQRBN]?x?[a-h][1-8][+#]?|[a-h]x[a-h][1-8]|O-O(-O)?)"
    request = r"2026-\d\d-\d\d \d\d:\d\d GET /(map|list|item)/\d\d 200"
    for name, pattern, count in (
        ("people-new.sql", insert, 20),
        ("games-new.txt", rf"1\. {move} {move}( [2-9]\. {move} {move})*", 5),
        ("log-new.txt", request, 20),
    ):
        found = folder.lines(name)
        assert len(found) == count
        assert [line for line in found if not re.fullmatch(pattern, line)] == []
    assert [bool(line) for line in folder.lines("sonnet.txt")][:17] == [*([True] * 4 + [False]) * 3, True, True]


def test_many_models_are_trained_and_compared(folder: RecipeFolder) -> None:
    rows = [row.split() for row in folder.output["Many models at once"].splitlines()]
    models = [f"checkpoints/plays-{cell}.npz" for cell in ("gru", "lstm", "rnn")]
    assert Counter(row[0] for row in rows[:3]) == Counter(models)
    assert Counter(row[1] for row in rows[3:]) == Counter(models)
    bits = [float(row[0]) for row in rows[3:]]
    assert bits == sorted(bits)


def test_a_paragraph_is_returned_with_a_continuation(folder: RecipeFolder) -> None:
    text = folder.output["Continuing a paragraph in vim"]
    assert text.startswith(PARAGRAPH.rstrip("\n"))
    assert len(text) > len(PARAGRAPH) + 10
    assert "\n\n" not in text


@pytest.mark.skipif(not VIM, reason="needs vim")
def test_the_mapping_works_in_vim(folder: RecipeFolder) -> None:
    mapping = re.findall(r"^```vim\n(.*?)^```", PAGE, re.M | re.S)[0].strip()
    assert mapping.endswith("!continue-text<CR>")
    (folder.path / "draft.txt").write_text(f"First.\n\n{PARAGRAPH}\nLast.\n")
    keys = ["-c", mapping, "-c", "normal 3G\\c", "-c", "wq"]
    folder.run(
        "sh", "-c", 'PATH=$PWD:$PATH exec "$@" </dev/null', "sh", str(VIM), "-Nu", "NONE", "-es", "draft.txt", *keys
    )
    lines = folder.lines("draft.txt")
    assert lines[:3] == ["First.", "", "CRUMB:"]
    assert lines[3].startswith("Madam, the court is full of")
    assert lines[-2:] == ["", "Last."]
    assert len("\n".join(lines)) > len(PARAGRAPH) + 20
