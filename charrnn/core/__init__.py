"""The network and how it learns, in NumPy and the standard library alone; docs/architecture.md is the way through."""

__version__ = "0.1.0"
