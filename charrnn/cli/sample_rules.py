"""charrnn sample --regex and --no-copy: the rules that each sample keeps to."""

from collections.abc import Callable, Sequence

import numpy as np

from charrnn.checkpoint import Trained
from charrnn.cli.texts import own_text
from charrnn.ops import Ids
from charrnn.rules import Copies, CopyRule, Pattern
from charrnn.sampling import Rule
from charrnn.sampling.filters import Mask
from charrnn.vocab import normalized


def rules_for(
    trained: Trained,
    alphabet: Mask | None,
    prompt: Ids,
    length: int | None,
    regex: str | None,
    no_copy: int | None,
) -> Callable[[], Sequence[Rule]]:
    """Return what makes the rules of a sample: those of a pattern, if there is one, then those against copies.

    Raises UsageError for a pattern that no sample can match, TextError if the training text cannot be read again.
    """
    vocab = trained.vocab
    usable = np.ones(len(vocab), np.bool_) if alphabet is None else alphabet
    room = float("inf") if length is None else length
    patterns = [] if regex is None else [Pattern(normalized(regex, vocab.normalize), vocab.characters, usable)]
    for pattern in patterns:
        pattern.rule(room)
    training = own_text(trained, False, "--no-copy")[0] if no_copy else np.empty(0, np.uint8)
    copies = [Copies(training, len(vocab), no_copy)] if no_copy else []

    def rules() -> Sequence[Rule]:
        of_pattern = [pattern.rule(room) for pattern in patterns]
        return [*of_pattern, *(CopyRule(each, prompt, usable, of_pattern) for each in copies)]

    return rules
