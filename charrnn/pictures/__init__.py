"""Pictures: texts in colours and curves, as HTML and SVG that need no script and no network, in light and dark.

A picture of a text is the text and a value a character (`Shading`); the terminal draws it too.
"""

from charrnn.pictures.html import page, text_html
from charrnn.pictures.plot import plot
from charrnn.pictures.shades import BITS, Piece, Scale, Shading, both_ways
from charrnn.pictures.svg import text_svg

__all__ = ["BITS", "Piece", "Scale", "Shading", "both_ways", "page", "plot", "text_html", "text_svg"]
