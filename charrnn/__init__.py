"""charrnn: a character-level RNN in NumPy, with hand-written backpropagation through time.

    model = charrnn.load("novel")
    model.sample("It was ", 200, seed=1)
    model.score("It was a dark night.").bits_per_char

NumPy is imported when one of these names is first used, so that the command line starts quickly.
"""

__version__ = "0.1.0"
__all__ = ["Model", "load", "to_torch_state_dict"]

TYPE_CHECKING = False  # not from typing: a Ctrl-C could interrupt that import before __main__ handles signals
if TYPE_CHECKING:
    from charrnn.api import Model, load, to_torch_state_dict


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'charrnn' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("charrnn.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
