"""Self-contained HTML pages: no script, no network, light or dark mode as the reader's system has it."""

from collections.abc import Mapping

from charrnn.plots.heatmap import NEWLINE, NO_LEVEL, Cluster, Heatmap, Scale
from charrnn.plots.svg import DARK_PAGE, DARK_TEXT, LIGHT_PAGE, LIGHT_TEXT, escape, hover_text, style_sheet

POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # what a page may load: nothing but its own styles
LIGHT = (
    f":root{{color-scheme:light dark;color:{LIGHT_TEXT};background:{LIGHT_PAGE}}}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}svg{max-width:100%;height:auto}"
    ".key span{padding:.1em .4em;font-family:monospace}"
    "pre{font:14px/1.5 ui-monospace,monospace;padding:.5em;white-space:pre-wrap;overflow-wrap:anywhere;"
    "unicode-bidi:plaintext}"
    f'.n::after{{content:"{NEWLINE}"}}.{NO_LEVEL}{{text-decoration:underline}}'
)
DARK = f":root{{color:{DARK_TEXT};background:{DARK_PAGE}}}"
EMBEDDED = "charrnn"  # the CSS class around what is part of another page
LEVEL = ".{name}{{background:{background};color:{text}}}"


def page(title: str, *bodies: str) -> str:
    """Return a complete page: the title, which may be any text, above bodies that are HTML or SVG."""
    title = escape(title)
    head = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{style_sheet(LIGHT, DARK, LEVEL)}</style>\n</head>\n"
    )
    return head + "\n".join(["<body>", f"<h1>{title}</h1>", *bodies, "</body>", "</html>"]) + "\n"


def text_html(heatmap: Heatmap) -> str:
    """Return a coloured text as the body of a page; the attribute `title` of each character has its hover text."""
    scale = heatmap.scale
    key = "".join(f'<span class="{scale.css_class(label.level)}">{label.text}</span>' for label in scale.key())
    text = "".join(span(cluster, scale) for line in heatmap.lines() for cluster in line)
    return (
        f'<section>\n<h2>{escape(heatmap.title)}</h2>\n<p class="key">{key}</p>\n'
        f'<pre class="{scale.css_class(scale.level(0))}">{text}</pre>\n</section>'
    )


def span(cluster: Cluster, scale: Scale) -> str:
    """Return a cluster in its colour. The style sheet adds the sign for a newline, so that copied text is the text."""
    css_class, title = scale.css_class(cluster.level), escape(hover_text(cluster, scale))
    if cluster.text == "\n":
        return f'<span class="{css_class} n" title="{title}"></span>\n'
    text = cluster.text if cluster.text == "\t" else cluster.drawn
    return f'<span class="{css_class}" title="{title}">{escape(text)}</span>'


# ---- parts of other pages, such as notebooks ----


def embedded(heatmap: Heatmap) -> str:
    """Return a coloured text as part of another page, with styles that apply to nothing else there."""
    styles = style_sheet(
        f".{EMBEDDED} .key span{{padding:.1em .4em;font-family:monospace}}"
        f".{EMBEDDED} pre{{padding:.5em;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext}}"
        f'.{EMBEDDED} .n::after{{content:"{NEWLINE}"}}.{EMBEDDED} .{NO_LEVEL}{{text-decoration:underline}}',
        "",
        f".{EMBEDDED} {LEVEL}",
    )
    return f'<div class="{EMBEDDED}"><style>{styles}</style>\n{text_html(heatmap)}</div>'


def card(title: str, rows: Mapping[str, str]) -> str:
    """Return a titled table of names and values as part of another page."""
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
    return f'<table class="{EMBEDDED}"><caption>{escape(title)}</caption><tbody>{body}</tbody></table>'
