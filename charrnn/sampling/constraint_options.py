"""--regex, --grammar, --json-schema and --no-copy: the constraints on each sample."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charrnn.core.errors import UsageError
from charrnn.core.ops import Ids
from charrnn.core.sample import Mask
from charrnn.core.vocab import Vocab
from charrnn.data.reading import read_text
from charrnn.sampling.constraint import Constraint
from charrnn.sampling.no_copy import NGramFilter, NoCopyConstraint
from charrnn.sampling.regex.pattern import Pattern, PatternConstraint
from charrnn.sampling.samples import SampleOptions


class ConstraintOptions(NamedTuple):
    """The options that constrain samples, as they were given."""

    regex: str | None
    grammar: str | None
    json_schema: str | None
    no_copy: int | None

    def check(self, has_stop: bool) -> None:
        """Raise UsageError if more than one option determines where a sample ends."""
        ends = {"--regex": self.regex, "--grammar": self.grammar, "--json-schema": self.json_schema}
        given = [name for name, value in ends.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)}: give one of them: each determines the whole sample")
        if self.regex is not None and has_stop:
            raise UsageError("--regex and --stop: give one of them: the pattern determines where a sample ends")


ConstraintFactory = Callable[[Ids, Ids], Sequence[Constraint]]  # called with the ids of a prompt, and those echoed


def constraint_factory(
    options: SampleOptions,
    given: Mapping[str, Any],
    vocab: Vocab,
    echoed: Ids,
    training_text: Callable[[str, Callable[[str], None]], Ids],
    note: Callable[[str], None],
) -> ConstraintFactory:
    """Return a function that makes the constraints of one sample: that on whole samples before the one on copies.

    Its arguments are the ids of the prompt, and those of them that are part of the output, where a text of a grammar
    begins. `given` has the values of ConstraintOptions; `training_text` reads the text of the model for the option that
    it is given. Raises UsageError for a constraint that no sample can meet after the ids `echoed`, TextError if a file
    or the training text cannot be read.
    """
    wanted = ConstraintOptions(**given)
    wanted.check(bool(options.stops))
    usable = options.filters.get("allowed", np.ones(len(vocab), np.bool_))
    length = inf if options.length is None else options.length
    whole = whole_constraint(wanted, vocab, usable, length, note)
    if whole:
        whole(echoed.tolist())  # raises UsageError before the training text is read
    n = wanted.no_copy
    ngrams = [NGramFilter(training_text("--no-copy", note), len(vocab), n)] if n is not None else []
    return partial(constraints, whole, ngrams)  # which other processes can be given, unlike a function in here


def constraints(
    whole: Callable[[list[int]], Constraint] | None, ngrams: Sequence[NGramFilter], prompt: Ids, echoed: Ids
) -> Sequence[Constraint]:
    """Return the constraints of one sample."""
    return [*([whole(echoed.tolist())] if whole else []), *(NoCopyConstraint(each, prompt) for each in ngrams)]


def whole_constraint(
    wanted: ConstraintOptions, vocab: Vocab, usable: Mask, length: float, note: Callable[[str], None]
) -> Callable[[list[int]], Constraint] | None:
    """Return what makes the constraint on a whole sample from the ids that are echoed, None if there is none."""
    if wanted.regex is not None:
        pattern = Pattern(vocab.normalized(wanted.regex), vocab.characters, usable)
        return partial(pattern_constraint, pattern, length)
    file = wanted.grammar if wanted.json_schema is None else wanted.json_schema
    if file is None:
        return None
    from charrnn.sampling.grammar.chart import Chart, GrammarConstraint
    from charrnn.sampling.grammar.context_free import CompiledGrammar, listed
    from charrnn.sampling.grammar.json_schema import json_schema_grammar
    from charrnn.sampling.grammar.lark_grammar import lark_grammar

    name = f"{'--grammar' if wanted.json_schema is None else '--json-schema'} {file}"
    source = vocab.normalized("".join(read_text(file, "none", [])))
    try:
        if wanted.json_schema is None:
            grammar = lark_grammar(source, Path(file).parent)
        else:
            has_space = usable[vocab.encode(" ")].all() if " " in vocab.characters else False
            grammar = json_schema_grammar(source, " " if has_space else "")
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    compiled = CompiledGrammar(name, grammar, vocab.characters, usable)
    if compiled.lacking:
        note(f"{name}: left out what needs {listed(compiled.lacking)}: the model does not write it")
    return partial(GrammarConstraint, Chart(compiled), length=length)


def pattern_constraint(pattern: Pattern, length: float, echoed: list[int]) -> Constraint:
    """Return the constraint of --regex, which does not apply to the prompt."""
    return PatternConstraint(pattern, length)
