"""Self-contained HTML pages: no script, no network, light or dark mode as the reader's system has it."""

from collections.abc import Mapping

from charrnn.plots.heatmap import NEWLINE, NO_LEVEL, SHARES, Cluster, Heatmap, Scale, guess_below
from charrnn.plots.svg import (
    DARK_PAGE,
    DARK_TEXT,
    GUESS_FONT,
    GUESS_HEIGHT,
    LIGHT_PAGE,
    LIGHT_TEXT,
    escape,
    hover_text,
    style_sheet,
)

TEXT_SIZE, TEXT_HEIGHT = 14, 21  # pixels: of the font, and of a line without guesses
POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # what a page may load: nothing but its own styles
LIGHT = (
    f":root{{color-scheme:light dark;color:{LIGHT_TEXT};background:{LIGHT_PAGE}}}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}svg{max-width:100%;height:auto}"
    ".key{margin:.4em 0}.key span{padding:.1em .4em;font-family:monospace}"
    f"pre{{font:{TEXT_SIZE}px/{TEXT_HEIGHT}px ui-monospace,monospace;padding:.5em;"
    "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext}"
    f'.n::after{{content:"{NEWLINE}"}}.{NO_LEVEL}{{text-decoration:underline}}'
    "pre[style] span{position:relative}pre[style] .below{position:absolute;top:100%;left:0;width:100%}"
    f".below i{{display:block;font:{GUESS_FONT}px/{GUESS_HEIGHT}px ui-monospace,monospace;"
    "white-space:pre;overflow:hidden;text-align:center}"
    '.below i::before{content:attr(data-is);content:attr(data-is)/""}'  # where possible, screen readers skip it
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
    scale, rows = heatmap.scale, heatmap.guess_rows
    keys = "".join(f'<p class="key">{key_html(each)}</p>\n' for each in heatmap.scales())
    text = "".join(span(cluster, scale, rows) for line in heatmap.lines() for cluster in line)
    below = rows * GUESS_HEIGHT
    # A line is in the middle of its height, so that half of the room for the guesses is above the first one.
    room = f' style="line-height:{TEXT_HEIGHT + below}px;padding-bottom:{below // 2 + 8}px"' if rows else ""
    return (
        f"<section>\n<h2>{escape(heatmap.title)}</h2>\n{keys}"
        f'<pre class="{scale.css_class(scale.level(0))}"{room}>{text}</pre>\n</section>'
    )


def key_html(scale: Scale) -> str:
    """Return the labels of a scale in its colours."""
    return "".join(f'<span class="{scale.css_class(label.level)}">{label.text}</span>' for label in scale.key())


def span(cluster: Cluster, scale: Scale, guess_rows: int) -> str:
    """Return a cluster in its colour, with guesses below it.

    The style sheet adds the sign for a newline and the guesses, so that copied text is the text.
    """
    css_class, title = scale.css_class(cluster.level), escape(hover_text(cluster, scale))
    is_newline, below = cluster.text == "\n", guesses_html(cluster, guess_rows)
    text = "" if is_newline else cluster.text if cluster.text == "\t" else cluster.drawn
    start = f'<span class="{css_class}{" n" * is_newline}" title="{title}">'
    return f"{start}{escape(text)}{below}</span>" + "\n" * is_newline


def guesses_html(cluster: Cluster, guess_rows: int) -> str:
    """Return the guesses below a cluster, the likeliest first, in the colours of their probabilities."""
    guesses = [guess_below(cluster, rank) for rank in range(min(guess_rows, len(cluster.guesses)))]
    rows = "".join(f'<i class="{SHARES.css_class(each.level)}" data-is="{escape(each.drawn)}"></i>' for each in guesses)
    return f'<span class="below">{rows}</span>' if rows else ""


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
