"""charrnn: a character-level RNN in NumPy, with hand-written backpropagation through time.

    model = charrnn.train("novel.txt", time="3m")        # or charrnn.load("novel")
    model.sample("It was ", 200, seed=1)
    model.score("It was a dark night.").bits_per_char

All is imported when it is first used: the command line starts quickly, and handles signals before anything else.
"""

__all__ = [
    "CharRNNError",
    "EvalReport",
    "Model",
    "SaveReport",
    "StepReport",
    "load",
    "to_torch_state_dict",
    "train",
    "training_reports",
]
OF_A_MODEL = ("CharRNNError", "Model", "load", "to_torch_state_dict")  # the others are about training

TYPE_CHECKING = False  # not from typing: a Ctrl-C could interrupt that import before __main__ handles signals
if TYPE_CHECKING:
    from charrnn.api.model import CharRNNError, Model, load, to_torch_state_dict
    from charrnn.api.training import EvalReport, SaveReport, StepReport, train, training_reports
    from charrnn.core import __version__ as __version__


def __getattr__(name: str) -> object:
    if name not in (*__all__, "__version__"):
        raise AttributeError(f"module 'charrnn' has no attribute {name!r}")
    from importlib import import_module

    if name == "__version__":
        return import_module("charrnn.core").__version__
    return getattr(import_module(f"charrnn.api.{'model' if name in OF_A_MODEL else 'training'}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
