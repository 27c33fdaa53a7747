"""A new run that starts where another model has got to: the same network with its best weights, on another text.

The vocabulary may grow on the way. A parameter with a row a symbol then keeps the rows of the symbols that the model
knew, wherever their ids have moved to, and the new symbols have rows as a fresh network draws them.
"""

from dataclasses import replace
from typing import Any

from charrnn.checkpoint import Checkpoint, Trained
from charrnn.config import Budget
from charrnn.corpus import Corpus
from charrnn.errors import ResumeError
from charrnn.model import CharRNN
from charrnn.network import SYMBOL_ROWS
from charrnn.plan import configure, differences
from charrnn.train import new_run
from charrnn.vocab import Vocab


def without_network(given: dict[str, Any], source: Trained) -> dict[str, Any]:
    """Return the settings given that are of the run, since those of the network come from the source.

    Raises ResumeError, naming the difference, if one given is another than the source's.
    """
    network = {**source.model.config.settings, "normalize": source.vocab.normalize}
    different = differences(network, {name: value for name, value in given.items() if name in network})
    if different:
        raise ResumeError(f"--init-from cannot change the network: {different}: leave that out, or start anew")
    return {name: value for name, value in given.items() if name not in network}


def run_from(source: Trained, name: str, text: Corpus, given: dict[str, Any], budget: Budget) -> Checkpoint:
    """Return a run at step 0 with the best weights of a source, whose name it keeps; all else begins anew.

    The text must have been read with the source's vocabulary known; given holds settings of the run alone.
    """
    fresh, train = configure(text, {**given, "lines": source.model.config.lines}, budget)
    config = replace(source.model.config, vocab_size=fresh.vocab_size, line_end=fresh.line_end)
    checkpoint = new_run(config, train, text)
    transplant(source.model, source.vocab, checkpoint.model, checkpoint.vocab)
    checkpoint.init_from = name
    return checkpoint


def transplant(source: CharRNN, old: Vocab, model: CharRNN, new: Vocab) -> None:
    """Overwrite the parameters of a network with those of another, of which it differs in having more symbols."""
    ids = old.ids_in(new)
    for name, W in model.params.items():
        W[ids if name.endswith(SYMBOL_ROWS) else ...] = source.params[name]
