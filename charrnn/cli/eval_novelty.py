"""charrnn eval --novelty: how much of each text is copied from the training text."""

import sys
from collections.abc import Sequence

import numpy as np

from charrnn.api.model import Model
from charrnn.cli.eval_characters import ESCAPES
from charrnn.cli.eval_inputs import EncodedText, held_out_text, named_texts
from charrnn.cli.eval_texts import FIGURE_CELLS
from charrnn.cli.streams import Output
from charrnn.core.errors import TextError
from charrnn.core.vocab import UNKNOWN
from charrnn.evaluation.novelty import LENGTHS, novelty
from charrnn.plots.display_width import cells
from charrnn.terminal.streams import columns

MAX_SHOWN = 60  # characters of a copied run in a row
MIN_SHOWN = 10  # on a narrow terminal


def write_novelty(names: Sequence[str], model: Model, output: Output) -> None:
    """Write one row per text: the longest copy, the shares of copied runs, the length, the name and the copy itself.

    A text is held in memory. Characters that the vocabulary lacks are never copies.
    """
    training, held_out = model.own_text(not names, "--novelty", output.note)
    vocab = model.vocab
    texts = named_texts(names, output) or [held_out_text(model, held_out)]
    shares = [f"runs {n}".ljust(FIGURE_CELLS) for n in LENGTHS]
    head = ("longest", *shares, "characters", "text".ljust(max(cells(name) for name, _ in texts)), "longest copy")
    output.head(*head)
    room = max(MIN_SHOWN, min(MAX_SHOWN, columns(sys.stdout) - cells("  ".join(head[:-1])) - len("   …")))
    for name, blocks in texts:
        text = np.concatenate([np.empty(0, np.int32), *EncodedText(blocks, vocab)])
        if not len(text):
            raise TextError(f"{name}: the text is empty: nothing to compare")
        text[text == len(vocab.symbols)] = UNKNOWN
        found = novelty(text, training, len(vocab))
        copied = vocab.decode(text[found.at : found.at + found.longest].tolist())
        if output.json:
            places = {"longest_copy": found.longest, "longest_copy_at": found.at, "longest_copy_text": copied}
            seen = {f"seen_{n}": found.seen[n] for n in LENGTHS}
            output.record({"text": name, "model": str(model.path), "chars": found.chars, **places, **seen})
        else:
            figures = ["-" if share is None else f"{share:.4f}" for share in found.seen.values()]  # -: text too short
            most = room if output.to_terminal else MAX_SHOWN
            excerpt = copied[:most].translate(ESCAPES) + " …" * (len(copied) > most)
            output.row(str(found.longest), *figures, str(found.chars), name, excerpt)
