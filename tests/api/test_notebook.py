"""What a notebook shows of a model and of a text."""

import html
import re
from pathlib import Path

import nbclient
import nbformat
import pytest

import charrnn
from charrnn.plots.html import EMBEDDED
from tests.helpers.command import ENVIRONMENT

CELLS = (
    "import charrnn",
    "model = charrnn.load('a')\nmodel",
    "model.surprisal('3 größere <foxes> 猫\\n')",
    "model.surprisal",
    "reports = []\ncharrnn.train('a.txt', model='b', steps=3, hidden_size=8, on_report=reports.append)",
    "await __import__('asyncio').to_thread(model.sample, 'fox', 20, seed=1)",
)


def test_a_notebook_shows_a_card_and_a_heat_map(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    outputs = [cell.outputs[0].data if cell.outputs else {} for cell in notebook.cells]
    assert "<caption>a</caption>" in outputs[1]["text/html"]
    assert outputs[1]["text/plain"] == repr(charrnn.load("a"))
    (drawn,) = re.findall("<pre[^>]*>(.*)</pre>", outputs[2]["text/html"], re.DOTALL)
    assert html.unescape(re.sub("<[^>]*>", "", drawn)) == "3 größere <foxes> 猫\n"
    assert "text/html" not in outputs[3]
    assert "<caption>b</caption>" in outputs[4]["text/html"]
    assert outputs[5]["text/plain"] == repr(charrnn.load("a").sample("fox", 20, seed=1))


def test_the_card_names_the_network_the_text_and_the_best_validation(model: Path) -> None:
    loaded = charrnn.load("a")
    rows = dict(re.findall("<tr><th>(.*?)</th><td>(.*?)</td></tr>", loaded._repr_html_()))
    assert rows["network"] == "gru, 1 x 16, embedding 64"
    assert rows["text"] == "a.txt, 5,716 characters"
    best = min(loaded.history, key=lambda each: each.val_nats_per_char)
    assert rows["held out"].endswith(f"best at step {best.step}")
    assert rows["file"] == "checkpoints/a.npz"
    model.unlink()
    assert set(rows) - set(re.findall("<th>(.*?)</th>", loaded._repr_html_())) == {"held out"}


def test_the_styles_of_a_heat_map_apply_to_nothing_else_in_the_notebook(model: Path) -> None:
    shown = charrnn.load("a").surprisal("fox")._repr_html_()
    styles = shown.split("<style>")[1].split("</style>")[0].replace("@media(prefers-color-scheme:dark){", "")
    selectors = [rule.split("{")[0] for rule in styles.split("}") if "{" in rule]
    assert len(selectors) > 20
    assert {selector.split()[0] for selector in selectors} == {f".{EMBEDDED}"}
    assert shown.count("<div") == shown.count("</div>") == 1


def test_a_name_is_shown_as_it_is_and_never_as_markup(model: Path) -> None:
    Path("<b>.npz").write_bytes(model.read_bytes())
    loaded = charrnn.load("<b>.npz")
    assert "<b>" not in loaded._repr_html_() + loaded.surprisal("<b>")._repr_html_()
