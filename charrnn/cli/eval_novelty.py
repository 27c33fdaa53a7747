"""charrnn eval --novelty: how much of each text is copied from the training text."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from charrnn.cli.eval_characters import ESCAPES
from charrnn.cli.streams import Output
from charrnn.cli.texts import Encoded, Scorer, Text, held_out_text, own_text, texts_to_score
from charrnn.errors import TextError
from charrnn.novelty import LENGTHS, Novelty, novelty
from charrnn.vocab import UNKNOWN

SHOWN = 60  # characters of a copied run in a row


def tell_novelty(names: Sequence[str], scorer: Scorer, output: Output, json: bool, quiet: bool) -> None:
    """Write a row a text; each is held in memory. What the unknown symbol stands for is not known to be a copy."""
    training, held_out = own_text(scorer.trained, not names, "--novelty")
    vocab = scorer.vocab
    own: Iterable[Text] = [held_out_text(scorer.trained, held_out)]
    for name, blocks in texts_to_score(names, scorer.trained, quiet) if names else own:
        text = np.concatenate([np.empty(0, np.int32), *Encoded(blocks, vocab)])
        if not len(text):
            raise TextError(f"{name}: the text is empty: there is nothing to compare")
        text[text == len(vocab.symbols)] = UNKNOWN
        found = novelty(text, training, len(vocab))
        copied = vocab.decode(text[found.at : found.at + found.longest].tolist())
        if json:
            output.record(record(name, str(scorer.path), found, copied))
        else:
            output.write("\t".join([*columns(found), name, beginning(copied)]) + "\n")


def columns(found: Novelty) -> list[str]:
    """Return the figures as columns have them, a dash where a text is too short for a run."""
    shares = ["-" if share is None else f"{share:.4f}" for share in found.seen.values()]
    return [str(found.longest), *shares, str(found.chars)]


def beginning(copied: str) -> str:
    """Return a copied run as a column has it: on one line, and of a long one the beginning."""
    return copied[:SHOWN].translate(ESCAPES) + " …" * (len(copied) > SHOWN)


def record(name: str, model: str, found: Novelty, copied: str) -> dict[str, Any]:
    """Return the JSON object of a text."""
    return {
        "text": name,
        "model": model,
        "chars": found.chars,
        "longest_copy": found.longest,
        "longest_copy_at": found.at,
        "longest_copy_text": copied,
        **{f"seen_{n}": found.seen[n] for n in LENGTHS},
    }
