"""A page of HTML that holds all it needs: no script, no network, light and dark as its reader has it."""

from html import escape

POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # what a page may load: nothing but its own styles
STYLE = (
    ":root{color-scheme:light dark;color:#1f2328;background:#fff}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}svg{max-width:100%;height:auto}"
    "@media(prefers-color-scheme:dark){:root{color:#d1d7e0;background:#0d1117}}"
)


def page(title: str, *bodies: str) -> str:
    """Return a whole page: the title, which may be any text, and bodies one below the other, each HTML or an SVG."""
    head = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{STYLE}</style>\n</head>\n'
    )
    return head + "\n".join(["<body>", f"<h1>{escape(title)}</h1>", *bodies, "</body>", "</html>"]) + "\n"
