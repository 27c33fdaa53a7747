"""charrnn eval --lines: a row a line, as the lines come."""

from collections.abc import Sequence
from typing import NamedTuple

from charrnn.cli.streams import Output
from charrnn.cli.texts import Scorer, bits_column, record, tell_unknown, texts_to_score
from charrnn.evaluate import LineScore, LineScorer, batches, bits, full_nats
from charrnn.vocab import Vocab


class Bar(NamedTuple):
    """What a line must cost to be passed on: more than so many bits a character, or less."""

    threshold: float
    below: bool

    def passes(self, vocab: Vocab, line: LineScore) -> bool:
        """Tell whether a line is passed on: by the mean over all of its characters, unknown ones at their full cost."""
        mean = bits(full_nats(vocab, *line)) / (line.score.chars + line.score.unknown)
        return mean < self.threshold if self.below else mean > self.threshold


def score_lines(
    names: Sequence[str], scorers: Sequence[Scorer], output: Output, json: bool, bar: Bar | None, quiet: bool
) -> None:
    """Write a row a line, or with a bar the lines themselves that pass it."""
    readers = [LineScorer(scorer.trained.model, scorer.vocab) for scorer in scorers]
    for name, blocks in texts_to_score(names, scorers[0].trained, quiet):
        unknown = [0 for _ in scorers]
        for batch in batches(blocks):
            columns = [reader.scores(batch) for reader in readers]
            for line, *scores in zip(batch, *columns, strict=True):
                unknown = [before + each.score.unknown for before, each in zip(unknown, scores, strict=True)]
                if bar is None or bar.passes(scorers[0].vocab, scores[0]):
                    write(output, name, line.removesuffix("\n"), scorers, scores, json, as_it_is=bar is not None)
        tell_unknown(name, unknown, scorers, quiet)


def write(
    output: Output,
    name: str,
    line: str,
    scorers: Sequence[Scorer],
    scores: Sequence[LineScore],
    json: bool,
    as_it_is: bool,
) -> None:
    """Write a line: its figures, the best model's name where there are several, the line itself; or that alone."""
    several = len(scorers) > 1
    costs = [full_nats(scorer.vocab, *each) for scorer, each in zip(scorers, scores, strict=True)]
    best = min(range(len(costs)), key=costs.__getitem__)
    if json:
        for k, (scorer, each) in enumerate(zip(scorers, scores, strict=True)):
            more = {"best": k == best} if several else {}
            output.record(record(name, str(scorer.path), each.score, line) | more)
        return
    figures = [bits_column(each.score) for each in scores]
    columns = [] if as_it_is else [*figures, *([scorers[best].name] if several else [])]
    output.write("\t".join([*columns, line]) + "\n")
