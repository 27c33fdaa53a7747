"""Pages that write in the browser, in a headless Chromium: the characters of `charrnn sample -t 0`."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from charrnn.api.sampling import continuation
from charrnn.checkpoint.page import digest, model_page, part
from charrnn.core.model import CharRNN
from charrnn.core.train import train
from charrnn.core.vocab import Vocab
from tests.helpers.files import corpus_of, tiny_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LATIN = "\n ,.abcdefghijklmnopqrstuvwxyz"
CHINESE = "\n，。" + "".join(map(chr, range(0x4E00, 0x4E00 + 900))) + "😀"


class Elements(HTMLParser):
    """The texts of the elements with an id, by id."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "input", "br"):
            self.open.append(dict(attrs).get("id") or "")

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for name in filter(None, self.open):
            self.texts[name] = self.texts.get(name, "") + data


def trained(characters: str, **settings: Any) -> tuple[CharRNN, Vocab]:
    """Return a model that was trained for a moment, so that it is sure of its text, in numbers that 16 bits hold."""
    text = characters + (characters[:24] + characters[3:17] + characters[:1]) * 30
    corpus = corpus_of(text + "é" * settings["unknown"], min_count=2) if "unknown" in settings else corpus_of(text)
    line_end = corpus.vocab.newline_id if settings.pop("lines", False) else None
    settings.pop("unknown", None)
    network = {"hidden_size": 12, "embed_size": 7, "line_end": line_end, **settings}
    state = tiny_run(corpus, network, steps=150, lr=0.03, val_fraction=0.0, eval_every=150)
    for _ in train(state, corpus.ids):
        pass
    return CharRNN(state.model.config, state.model.vector.astype(np.float16).astype(np.float32)), corpus.vocab


def written(page: str, folder: Path, **values: object) -> dict[str, str]:
    """Open a page with some values of its form in a browser; return the texts of its elements after it has written."""
    assert CHROMIUM
    path = folder / "page.html"
    path.write_text(page, "utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom")
    done = subprocess.run(
        [CHROMIUM, *options, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=60000"]
        + [f"{path.as_uri()}#{urlencode(values)}"],
        capture_output=True,
        timeout=300,
    )
    return Elements(done.stdout.decode()).texts


MODELS: dict[str, dict[str, Any]] = {
    **{cell: {"cell": cell, "num_layers": 2} for cell in ("rnn", "lstm", "gru")},
    "softsign, an unknown symbol": {"cell": "rnn", "activation": "softsign", "unknown": 1},
    "an ensemble of lines with zoneout": {"cell": "lstm", "ensemble": 2, "lines": True, "zoneout": 0.2},
    "Chinese": {"cell": "gru", "characters": CHINESE},
}


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine: the page is not run in a browser")
@pytest.mark.parametrize("name", MODELS)
def test_a_page_writes_the_characters_of_the_command(name: str, tmp_path: Path) -> None:
    settings = {**MODELS[name]}
    characters = settings.pop("characters", LATIN)
    model, vocab = trained(characters, **settings)
    prompt = "".join(vocab.characters[i] for i in (5, 9, 2, 7))
    rng = np.random.default_rng(0)
    expected = [c for c, _ in zip(continuation(model, vocab, prompt, rng, 0.0), range(2000), strict=False)]
    found = written(model_page(model, vocab, name, "<f2"), tmp_path, prompt=prompt, temperature=0, length=2000)
    assert found["text"] == prompt + "".join(expected)
    assert re.fullmatch(r"2000 characters, \d+ per second\.", found["status"])
    assert len(set(expected)) > 5


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine: the page is not run in a browser")
def test_a_page_draws_from_the_filtered_probabilities_and_names_unknown_characters(tmp_path: Path) -> None:
    model, vocab = trained(LATIN, cell="gru")
    page = model_page(model, vocab, "<b>&title", "<f4")
    found = written(page, tmp_path, **{"prompt": "aéb", "temperature": 1, "top-p": 0.05, "length": 300})
    rng = np.random.default_rng(0)
    expected = "".join(c for c, _ in zip(continuation(model, vocab, "ab", rng, 0.0), range(300), strict=False))
    assert found["text"] == "aéb" + expected  # the likeliest symbol alone has more than 5 %
    assert re.fullmatch(
        r"300 characters, \d+ per second\. Left out é, which the model does not know\.", found["status"]
    )
    assert found["next"].startswith("CharacterProbability")
    assert found["next"].count("%") == 8


def test_a_page_loads_nothing_and_allows_only_its_own_style_and_program() -> None:
    model, vocab = trained(LATIN + "<", cell="gru")
    page = model_page(model, vocab, "</title><script>alert(1)</script>", "<f2")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    rules = dict(rule.split(" ", 1) for rule in policy[1].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'{digest(part('page.js'))}'"
    assert rules["style-src"] == f"'{digest(part('page.css'))}'"
    assert page.count("<script") == 3
    assert not re.search(r"(src|href|action)=|url\(|@import|fetch\(|XMLHttpRequest|WebSocket|https?:", page)
    assert "&lt;/title&gt;" in page
    assert "\\u003c" in page
