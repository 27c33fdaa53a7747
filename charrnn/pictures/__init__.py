"""Pictures: texts in colours and curves, as HTML and SVG that need no script and no network, in light and dark."""

from charrnn.pictures.html import page
from charrnn.pictures.plot import plot

__all__ = ["page", "plot"]
