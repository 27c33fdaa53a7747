"""Where a run begins: anew, with another model's weights, or where it was."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from charrnn.cli.options import named_model
from charrnn.config import Budget
from charrnn.errors import ResumeError

if TYPE_CHECKING:
    from charrnn.checkpoint import Checkpoint, CheckpointStore
    from charrnn.corpus import Corpus


def fresh(sources: tuple[str, ...], given: dict[str, Any], budget: Budget) -> tuple["Checkpoint", "Corpus"]:
    """Return a run at step 0, and its text."""
    from charrnn.corpus import BUNDLED, load_corpus
    from charrnn.plan import configure
    from charrnn.train import new_run

    reading = {name: given[name] for name in ("encoding", "normalize", "min_count") if name in given}
    text = load_corpus(sources or (BUNDLED,), **reading)
    return new_run(*configure(text, given, budget), text), text


def started_from(
    model: str, sources: tuple[str, ...], given: dict[str, Any], budget: Budget
) -> tuple["Checkpoint", "Corpus"]:
    """Return a run at step 0 that begins with the best weights of a model, and its text."""
    from charrnn.checkpoint import CheckpointStore
    from charrnn.corpus import BUNDLED, load_corpus
    from charrnn.transfer import run_from, without_network

    store = CheckpointStore(named_model(model, "--init-from"))
    source = store.load_trained()
    given, vocab = without_network(given, source), source.vocab
    reading = {name: given[name] for name in ("encoding", "min_count") if name in given}
    text = load_corpus(sources or (BUNDLED,), normalize=vocab.normalize, known=vocab, **reading)
    told = f"{store.name}: starting from its best weights; symbols new to it: {len(text.vocab) - len(vocab)}"
    return run_from(source, store.name, text, given, budget), replace(text, remarks=(*text.remarks, told))


def resumed(
    store: "CheckpointStore", sources: tuple[str, ...], given: dict[str, Any], budget: Budget
) -> tuple["Checkpoint", "Corpus"]:
    """Return the run that a model file holds, amended, and its text."""
    from charrnn.corpus import load_corpus
    from charrnn.plan import amended

    checkpoint = store.load()
    config, origin = checkpoint.train, checkpoint.origin
    if "-" in origin.sources and not sources:
        raise ResumeError(f"{store.name}: was trained from stdin: pipe the same text in and name it, -")
    vocab = checkpoint.vocab
    text = load_corpus(sources or origin.sources, config.encoding, vocab.normalize, config.min_count, known=vocab)
    checkpoint.train = amended(checkpoint, text, given, budget)
    return checkpoint, text
