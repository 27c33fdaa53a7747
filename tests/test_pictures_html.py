from html.parser import HTMLParser

from charrnn.pictures import page, plot

VOID = {"meta"}  # elements that have no end


class Parsed(HTMLParser):
    """A page taken apart: elements with attributes, texts with what they stand in; each end has its beginning."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []  # the element that a text stands in, the text
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
        self.texts.append((self.open[-1] if self.open else "", data))

    def text_of(self, tag: str) -> str:
        return "".join(text for name, text in self.texts if name == tag)


def test_a_page_holds_its_bodies_and_loads_nothing() -> None:
    curve = plot({"loss": {"all": ([(1.0, 1.0), (2.0, 3.0)], [(1.0, 1.0), (2.0, 2.0)])}}, "steps")
    parsed = Parsed(page("<b>&amp;</b>", "<p>one</p>", curve))
    assert [parsed.text_of(tag) for tag in ("title", "h1", "p")] == ["<b>&amp;</b>", "<b>&amp;</b>", "one"]
    names = [name for name, _ in parsed.elements]
    assert (names.count("svg"), names.count("b"), names.count("script")) == (1, 0, 0)
    assert not {"src", "href"} & {key for _, attributes in parsed.elements for key in attributes}
    policy = next(a["content"] for name, a in parsed.elements if name == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert "prefers-color-scheme:dark" in parsed.text_of("style")
