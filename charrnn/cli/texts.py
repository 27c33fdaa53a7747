"""The texts and the models of charrnn eval: where they come from, and what a model reads of a text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from charrnn.checkpoint import CheckpointStore, Trained
from charrnn.corpus import load_corpus, read_text
from charrnn.corpus.reading import in_normal_form
from charrnn.errors import TextError
from charrnn.evaluate import Score, bits, stand_ins
from charrnn.ops import Ids
from charrnn.terminal import say
from charrnn.vocab import UNKNOWN, Vocab, text_of

PIECE = 1 << 16  # ids of a held-out text that are turned back into characters at a time

Text = tuple[str, Iterable[str]]  # its name, and blocks of it as they come, to be read once


@dataclass(frozen=True)
class Scorer:
    """A model that scores texts: what its user calls it, its file, and what is in it."""

    name: str
    path: Path
    trained: Trained

    @classmethod
    def load(cls, name: str, path: Path) -> Self:
        """Read a model file."""
        return cls(name, path, CheckpointStore(path).load_trained())

    @property
    def vocab(self) -> Vocab:
        """The characters that it knows."""
        return self.trained.vocab


class Encoded:
    """A text as ids of a vocabulary, read once in blocks; on the way it counts what the vocabulary lacks."""

    def __init__(self, blocks: Iterable[str], vocab: Vocab) -> None:
        self.blocks, self.vocab = in_form(blocks, vocab), vocab
        self.unknown = self.stand_ins = 0  # characters without an id; those that have the unknown symbol's

    def __iter__(self) -> Iterator[Ids]:
        for block in self.blocks:
            ids = self.vocab.encode(block)
            self.unknown += int(np.count_nonzero(ids == UNKNOWN))
            self.stand_ins += stand_ins(self.vocab, ids)
            yield ids


def in_form(blocks: Iterable[str], vocab: Vocab) -> Iterable[str]:
    """Bring a text to the normal form of a vocabulary."""
    return blocks if vocab.normalize == "none" else in_normal_form(blocks, vocab.normalize)


def blocks_of(name: str, quiet: bool) -> Iterator[str]:
    """Read a file, or stdin, as it comes, and at its end say what had to be changed."""
    remarks = list[str]()
    yield from read_text(name, "none", remarks)
    tell(remarks, quiet)


def held_out_text(trained: Trained, held_out: Ids) -> Text:
    """Return the held-out part of a model's corpus; where its vocabulary says unknown there is U+FFFD."""
    symbols = np.append(trained.vocab.symbols, 0xFFFD)
    blocks = (text_of(symbols[held_out[i : i + PIECE]]) for i in range(0, len(held_out), PIECE))
    return f"{' '.join(trained.origin.sources)} (held out)", blocks


def own_text(trained: Trained, for_scoring: bool, option: str | None = None) -> tuple[Ids, Ids]:
    """Read the model's own corpus again: what it was trained on, and the part that was held out.

    Raises TextError if that cannot be, or if there is no held-out part to score, naming what works without it: a text
    of one's own to score, or no `option`, which needs the training text.
    """
    ways = ["name a text to score"] * for_scoring + [f"leave out {option}"] * bool(option)
    advice = " and ".join(ways)
    origin, config = trained.origin, trained.train
    if "-" in origin.sources:
        raise TextError(f"the model was trained from stdin: {advice}")
    if for_scoring and not config.val_fraction:
        raise TextError("the model was trained on all of its text (--val-fraction 0): name a text to score")
    vocab = trained.vocab
    corpus = load_corpus(origin.sources, config.encoding, vocab.normalize, config.min_count, known=vocab)
    if corpus.sha256 != origin.sha256:
        raise TextError(f"{' '.join(origin.sources)}: not the text that the model was trained on: {advice}")
    from charrnn.train import parts

    return parts(trained, corpus.ids)


def texts_to_score(names: Sequence[str], trained: Trained, quiet: bool) -> Iterable[Text]:
    """Return the texts of these names, or else the part of the model's own corpus that was held out."""
    if names:
        return [(name, blocks_of(name, quiet)) for name in names]
    return [held_out_text(trained, own_text(trained, for_scoring=True)[1])]


def record(text: str | None, model: str, score: Score, line: str | None = None) -> dict[str, Any]:
    """Return the JSON object of a score; where nothing could be scored it has null."""
    return {
        "text": text,
        **({} if line is None else {"line": line}),
        "model": model,
        "chars": score.chars,
        "unknown": score.unknown,
        "nats_per_char": score.nats_per_char if score.chars else None,
        "bits_per_char": score.bits_per_char if score.chars else None,
        "perplexity": score.perplexity if score.chars else None,
        "accuracy": score.accuracy if score.chars else None,
    }


def bits_column(score: Score) -> str:
    """Return bits a character as a column has them, a dash where nothing could be scored."""
    return f"{bits(score.nats_per_char):.4f}" if score.chars else "-"


def tell(remarks: Iterable[str], quiet: bool) -> None:
    """Say on stderr what was done to a text."""
    if not quiet:
        for remark in remarks:
            say(remark)


def tell_unknown(text: str, unknown: Sequence[int], scorers: Sequence[Scorer], quiet: bool) -> None:
    """Say how many characters each model left out of a text, if any."""
    names = ["the model"] if len(scorers) == 1 else [scorer.name for scorer in scorers]
    counts = zip(names, unknown, strict=True)
    tell((f"{text}: left out {n} characters that {name} does not know" for name, n in counts if n), quiet)
