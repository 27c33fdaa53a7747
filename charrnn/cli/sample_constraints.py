"""charrnn sample --regex and --no-copy: the constraints on each sample."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from charrnn.api import Model
from charrnn.cli.eval_inputs import load_model_corpus
from charrnn.core.ops import Ids
from charrnn.core.sample import Mask
from charrnn.sampling.constraint import Constraint
from charrnn.sampling.no_copy import NGramFilter, NoCopyConstraint
from charrnn.sampling.regex.pattern import Pattern, PatternConstraint


def constraint_factory(
    model: Model,
    alphabet: Mask | None,
    prompt: Ids,
    length: int | None,
    regex: str | None,
    no_copy: int | None,
) -> Callable[[], Sequence[Constraint]]:
    """Return a function that makes the constraints of one sample: the pattern's, if any, before the one on copies.

    Raises UsageError for a pattern that no sample can match, TextError if the training text cannot be read again.
    """
    vocab = model.vocab
    usable = np.ones(len(vocab), np.bool_) if alphabet is None else alphabet
    max_length = float("inf") if length is None else length
    patterns = [] if regex is None else [Pattern(vocab.normalized(regex), vocab.characters, usable)]
    for pattern in patterns:
        PatternConstraint(pattern, max_length)  # raises UsageError before the training text is read
    ngrams = [NGramFilter(load_model_corpus(model, False, "--no-copy")[0], len(vocab), no_copy)] if no_copy else []
    return partial(constraints, patterns, max_length, ngrams, prompt)


def constraints(
    patterns: Sequence[Pattern], max_length: float, ngrams: Sequence[NGramFilter], prompt: Ids
) -> list[Constraint]:
    """Return the constraints of one sample."""
    matching = [PatternConstraint(pattern, max_length) for pattern in patterns]
    return [*matching, *(NoCopyConstraint(each, prompt) for each in ngrams)]
