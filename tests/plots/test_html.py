import math
from html.parser import HTMLParser

import numpy as np

from charrnn.plots.display_width import DRAWABLE
from charrnn.plots.heatmap import BITS, Heatmap
from charrnn.plots.html import page, text_html
from charrnn.plots.line_plot import line_plot

VOID = {"meta"}  # elements without an end tag


class Parsed(HTMLParser):
    """The elements and texts of a page, in which every end tag matches its start tag."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[list[str], str]] = []  # the elements around a text, the text
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[:], data))

    def text_of(self, tag: str) -> str:
        return "".join(text for names, text in self.texts if tag in names)


def test_a_page_contains_its_bodies_and_loads_nothing() -> None:
    curve = line_plot({"loss": {"all": ([(1.0, 1.0), (2.0, 3.0)], [(1.0, 1.0), (2.0, 2.0)])}}, "steps")
    parsed = Parsed(page("<b>&amp;</b>", "<p>one</p>", curve))
    assert [parsed.text_of(tag) for tag in ("title", "h1", "p")] == ["<b>&amp;</b>", "<b>&amp;</b>", "one"]
    names = [name for name, _ in parsed.elements]
    assert (names.count("svg"), names.count("b"), names.count("script")) == (1, 0, 0)
    assert not {"src", "href"} & {key for _, attributes in parsed.elements for key in attributes}
    policy = next(a["content"] for name, a in parsed.elements if name == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert "prefers-color-scheme:dark" in parsed.text_of("style")


def drawn(text: str, values: list[float]) -> Parsed:
    return Parsed(page("title", text_html(Heatmap("<i>&\x1b", BITS, [(text, np.array(values))]))))


def spans(parsed: Parsed) -> list[tuple[str | None, str | None]]:
    return [(a["class"], a["title"]) for name, a in parsed.elements if name == "span" and "title" in a]


def test_every_character_has_a_colour_and_a_value() -> None:
    parsed = drawn("a<\n", [0.25, 9, math.nan])
    assert spans(parsed) == [("s0", "0.25"), ("s7", "9.00"), ("x n", "unknown")]
    style = parsed.text_of("style")
    light, dark = style.split("@media(prefers-color-scheme:dark)")
    for name in ("s0", "s7", "d0", "d8"):
        assert (light.count(f".{name}{{"), dark.count(f".{name}{{")) == (1, 1)
    key = [a["class"] for name, a in parsed.elements if name == "span" and "title" not in a]
    assert key == [f"s{level}" for level in range(8)]


def test_guesses_are_below_each_character_by_the_style_sheet_so_that_copied_text_is_the_text() -> None:
    tops = [[("<", 0.61), ("b", 0.2)], [("猫", 0.95)], [], [(" ", 0.05)]]
    for rows in (0, 2):
        picture = Heatmap("a", BITS, [("猫b\n\t", np.array([0.5, 1.25, 1, 1]), tops)], rows)
        parsed = Parsed(page("title", text_html(picture)))
        assert parsed.text_of("pre") == "猫b\n\t"
        found = [(a["class"], a["data-is"]) for name, a in parsed.elements if name == "i"]
        assert found == ([("p3", "< "), ("p1", "b "), ("p4", "·"), ("p0", " " * 8)] if rows else [])
        (style,) = [a.get("style") for name, a in parsed.elements if name == "pre"]
        assert style == ("line-height:51px;padding-bottom:23px" if rows else None)
        keys = [a["class"] for name, a in parsed.elements if name == "span" and (a["class"] or "").startswith("p")]
        assert keys == [f"p{level}" for level in range(5 * bool(rows))]
        assert next(title for _, title in spans(parsed)) == "0.50 | < 61%, b 20%"


HOSTILE = (
    '</pre><script>alert("1")</script>&lt;\t<!-- \x00\x1b[2J\u202e[bold]猫e\u0301 👩\u200d🚀\n\n\ud800\ufffe\u2028 ↵'
)


def test_markup_in_a_text_stays_text_that_can_be_copied() -> None:
    parsed = drawn(HOSTILE, [1.0] * len(HOSTILE))
    assert not {"script", "i", "b"} & {name for name, _ in parsed.elements}
    assert parsed.text_of("pre") == HOSTILE.translate(DRAWABLE)
    assert parsed.text_of("h2") == "<i>&␛"


def test_an_empty_text_is_an_empty_picture() -> None:
    assert spans(drawn("", [])) == []
