"""Options by the names that they have in other programs: a hint, and never a silent synonym."""

from collections.abc import Sequence

from typer.exceptions import TyperException

from charrnn.core.errors import UsageError

HERE = {  # name in char-rnn, nanoGPT, llama.cpp, transformers and others, with hyphens -> name here
    "--learning-rate": "--lr",
    "--max-iters": "--steps",
    "--max-steps": "--steps",
    "--max-epochs": "--epochs",
    "--num-epochs": "--epochs",
    "--num-samples": "--count",
    "--max-tokens": "--length",
    "--max-new-tokens": "--length",
    "--n-predict": "--length",
    "--temp": "--temperature",
    "--primetext": "--prompt",
    "--start": "--prompt",
    "--rnn-size": "--hidden-size",
    "--n-embd": "--hidden-size",
    "--n-layer": "--num-layers",
    "--layers": "--num-layers",
    "--seq-length": "--seq-len",
    "--block-size": "--seq-len",
    "--eval-interval": "--eval-every",
    "--eval-val-every": "--eval-every",
    "--checkpoint": "--model",
    "--init": "--init-from",
}


def with_hint(error: TyperException, known: Sequence[str]) -> Exception:
    """Return an error about an unknown option with the name that `known` has for it; other errors as they are."""
    given = getattr(error, "option_name", "")
    here = HERE.get(given.replace("_", "-"))
    if given in known or here not in known:
        return error
    return UsageError(f"no such option: {given}: here it is {here}")
