"""charrnn: a character-level text generator, a NumPy RNN with hand-written backpropagation through time.

    model = charrnn.load("novel")
    model.sample("It was ", 200, seed=1)
    model.score("It was a dark night.").bits_per_char

NumPy is imported when one of these is first used, so that the command line starts soon.
"""

__version__ = "0.1.0"
__all__ = ["Model", "load", "to_torch_state_dict"]

MODULES = {"Model": "library", "load": "library", "to_torch_state_dict": "export"}

TYPE_CHECKING = False  # as typing has it, whose import a Ctrl-C could meet before __main__ is ready for one
if TYPE_CHECKING:
    from charrnn.export import to_torch_state_dict
    from charrnn.library import Model, load


def __getattr__(name: str) -> object:
    if name not in MODULES:
        raise AttributeError(f"module 'charrnn' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"charrnn.{MODULES[name]}"), name)
