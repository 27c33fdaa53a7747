"""The text that a model was trained on, read again."""

import shlex
from collections.abc import Callable

from charrnn.core.config import ModelConfig, TrainConfig
from charrnn.core.errors import TextError
from charrnn.core.ops import Ids
from charrnn.core.state import Origin
from charrnn.core.train import split_text
from charrnn.core.vocab import Vocab
from charrnn.data.corpus import is_text_of, load_corpus
from charrnn.data.sources import is_repeatable, missing, shown, unnamed
from charrnn.training.configure import holdout_in, reading_of


def own_text(
    name: str,
    network: ModelConfig,
    config: TrainConfig,
    vocab: Vocab,
    origin: Origin,
    to_score: bool,
    option: str | None,
    note: Callable[[str], None],
) -> tuple[Ids, Ids]:
    """Read the corpus of the model of a name again; return the part that it was trained on and the held-out part.

    The names of its texts come from the model file, which may come from another person: so they are noted, only regular
    files are read, and no more characters than the model was trained on.
    Raises TextError if the corpus cannot be read again, or if its held-out part is to be scored and there is none. The
    message names what works without it: another text to score, or leaving out the option that needs the corpus.
    """
    advice = " and ".join(["name a text to score"] * to_score + [f"leave out {option}"] * bool(option))
    if not all(map(is_repeatable, origin.sources)):
        raise TextError(f"the model {unnamed(origin.sources)}, which cannot be read again: {advice}")
    if to_score and not config.val_fraction:
        raise TextError("the model was trained on all of its text (--val-fraction 0): name a text to score")
    lost = missing(origin.sources)
    if lost:
        new_place = f"name its new place, as with `charrnn train NEW-PATH --resume -m {shlex.quote(name)}`"
        raise TextError(f"{shown(lost)}: the model's own text is no longer there: {advice}, or {new_place}")
    reading, holdout = reading_of(config, network, vocab, origin), holdout_in(config, network)
    corpus = load_corpus(origin.sources, reading, config.min_count, vocab, origin.chars, holdout)
    if not is_text_of(origin, corpus):
        raise TextError(f"{shown(origin.sources)}: not the text that the model was trained on: {advice}")
    note(f"read the text of the model: {shown(origin.sources)}, {origin.chars:,} characters")
    return split_text(config, network, corpus.ids)
