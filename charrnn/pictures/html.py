"""Pages of HTML that hold all they need: no script, no network, light and dark as their reader has it."""

from html import escape

from charrnn.pictures.shades import NEWLINE, UNKNOWN, Mark, Scale, Shading, drawable, grounds, ink

POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # what a page may load: nothing but its own styles
STYLE = (
    ":root{color-scheme:light dark;color:#1f2328;background:#fff}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}svg{max-width:100%;height:auto}"
    ".key span{padding:.1em .4em;font-family:monospace}"
    "pre{font:14px/1.5 ui-monospace,monospace;padding:.5em;white-space:pre-wrap;overflow-wrap:anywhere;"
    "unicode-bidi:plaintext}"
    f'.n::after{{content:"{NEWLINE}"}}.{UNKNOWN}{{text-decoration:underline}}'
)
DARK = ":root{color:#d1d7e0;background:#0d1117}"


def palettes(dark: bool) -> str:
    """Return the style of every level of every palette."""
    return "".join(f".{name}{{background:{colour};color:{ink(colour)}}}" for name, colour in grounds(dark))


def page(title: str, *bodies: str) -> str:
    """Return a whole page: the title, which may be any text, and bodies one below the other, each HTML or an SVG."""
    named = escape(drawable(title))
    style = f"{STYLE}{palettes(dark=False)}@media(prefers-color-scheme:dark){{{DARK}{palettes(dark=True)}}}"
    head = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{named}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{style}</style>\n</head>\n'
    )
    return head + "\n".join(["<body>", f"<h1>{named}</h1>", *bodies, "</body>", "</html>"]) + "\n"


def text_html(shading: Shading) -> str:
    """Return a text in its colours as the body of a page; what a character's value is stands in its title."""
    scale = shading.scale
    key = "".join(f'<span class="{scale.style(mark.level)}">{mark.text}</span>' for mark in scale.key())
    text = "".join(span(mark, scale) for line in shading.lines() for mark in line)
    return (
        f'<section>\n<h2>{escape(drawable(shading.title))}</h2>\n<p class="key">{key}</p>\n'
        f'<pre class="{scale.style(scale.level(0))}">{text}</pre>\n</section>'
    )


def span(mark: Mark, scale: Scale) -> str:
    """Return a mark in its colour. The sign for a newline is the style's: who copies the text gets the text."""
    style, title = scale.style(mark.level), scale.told(mark)
    if mark.text == "\n":
        return f'<span class="{style} n" title="{title}"></span>\n'
    text = mark.text if mark.text == "\t" else mark.drawn
    return f'<span class="{style}" title="{title}">{escape(text)}</span>'
