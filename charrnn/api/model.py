"""A model as programs see it: it writes, it scores, and it can be kept elsewhere.

import charrnn

model = charrnn.load("plays")
print(model.sample("ROMEO:", 200, seed=1))
print(model.score("Good morrow!").bits_per_char)

Scoring is imported when it is used, so that a program that only samples starts quickly.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np

from charrnn.api.loaded import LoadedModel
from charrnn.api.sampling import (
    SamplingOptions,
    as_read,
    checked_sampling,
    continuation,
    ending,
    number,
    pieces,
    seed_of,
    several,
    whole,
)
from charrnn.checkpoint.export import torch_state_dict
from charrnn.checkpoint.paths import english_model, is_english, model_path
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.config import require
from charrnn.core.errors import CharRNNError, CheckpointError, UsageError
from charrnn.core.ops import Array, Ids
from charrnn.core.score import Score, bits
from charrnn.parallel.products import each_within, single_threaded_products

if TYPE_CHECKING:
    from charrnn.api.results import Candidate, Line, Surprisal, Validation

__all__ = ["CharRNNError", "Model", "load", "to_torch_state_dict"]
RATE, FIGURE = 1 / 1000, "peak"  # of Model.threshold, as of `charrnn eval --threshold auto`


@dataclass(frozen=True, eq=False, repr=False)
class Model(LoadedModel):
    """A trained network with its vocabulary and the configuration and text of its training. It never changes."""

    def __repr__(self) -> str:
        """Return the name and the network.

        >>> load("plays")
        <Model plays: gru, 1 x 16, 66 symbols, 9,250 parameters>
        """
        symbols, parameters = len(self.vocab), len(self.network.vector)
        return f"<Model {self.name}: {self.network.config}, {symbols:,} symbols, {parameters:,} parameters>"

    def _repr_html_(self) -> str:
        """Return a card, as a notebook shows it."""
        from charrnn.api.notebook import model_card

        history: list[Validation] = []
        with suppress(CheckpointError):  # its file may be gone
            history = self.history
        return model_card(self, history)

    # ---- writing ----

    def sample(
        self,
        prompt: str = "",
        length: int | None = 1000,
        *,
        seed: int | None = None,
        **options: Unpack[SamplingOptions],
    ) -> str:
        """Return the prompt followed by `length` characters, as `charrnn sample` does.

        The same seed gives the same text on the same machine; without a seed each call gives another text. A
        temperature below 1 is more conservative, above 1 more surprising, and 0 always takes the most likely character.
        The other options are those of the command: `top_k`, `top_p`, `min_p`, `only`, `ban`, `regex`, `grammar`,
        `json_schema`, `no_copy`, `stop` (a text or several), and `echo=False` to leave out the prompt. With one of
        them that ends a sample, the length may be None. As in every text that is read, CR LF counts as LF, and a
        byte-order mark at the start is dropped.

        Raises UnknownCharacterError for a prompt with characters outside the vocabulary, and UsageError for values out
        of range.

        >>> model = load("plays")
        >>> text = model.sample("KING: ", 20, seed=1)
        >>> len(text), text.startswith("KING: ")
        (26, True)
        >>> text == model.sample("KING: ", 20, seed=1)
        True
        >>> model.sample(regex="(King|Queen) [A-Z][a-z]{3}", seed=1, temperature=0)[:5] in ("King ", "Queen")
        True
        """
        wanted = ending(length, options)
        prompt = self.as_read(prompt)
        with single_threaded_products():
            found = pieces(self, prompt, seed_of(seed), wanted)
            return "".join([prompt * wanted.echo, *(piece.text for piece in found)])

    def stream(
        self,
        prompt: str = "",
        length: int | None = 1000,
        *,
        seed: int | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Iterator[str]:
        """Yield the text of `sample` in pieces, as they are written; without end if the length is None.

        >>> model = load("plays")
        >>> "".join(model.stream("KING: ", 20, seed=1)) == model.sample("KING: ", 20, seed=1)
        True
        """
        wanted, prompt = checked_sampling(length, options), self.as_read(prompt)
        found = pieces(self, prompt, seed_of(seed), wanted)

        def texts() -> Generator[str, None, None]:
            if prompt and wanted.echo:
                yield prompt
            yield from (piece.text for piece in found if piece.text)

        return each_within(single_threaded_products, texts())

    def samples(
        self,
        count: int,
        prompt: str = "",
        length: int | None = 1000,
        *,
        seed: int | None = None,
        unique: bool = False,
        threads: int = 1,
        **options: Unpack[SamplingOptions],
    ) -> Iterator[str]:
        """Yield `count` samples, as `charrnn sample --count` writes them; the first is that of `sample`.

        Many are written at once, so this takes much less time than as many calls of `sample`. Sample i depends on the
        seed and on i alone. With `unique` none comes twice. More than one of `threads` are further processes, forked
        from this one.

        >>> model = load("plays")
        >>> names = list(model.samples(3, length=None, regex="[A-Z][a-z]+", seed=1, unique=True))
        >>> len(set(names)), names[0].istitle()
        (3, True)
        """
        wanted, prompt, cores = ending(length, options), self.as_read(prompt), max(1, whole(threads, "threads"))
        found = pieces(self, prompt, seed_of(seed), wanted, whole(count, "count"), unique=unique, cores=cores)

        def texts() -> Generator[str, None, None]:
            parts = [prompt * wanted.echo]
            for piece in found:
                parts.append(piece.text)
                if piece.finish is not None:
                    yield "".join(parts)
                    del parts[1:]

        return each_within(single_threaded_products, texts())

    def continuation(self, prompt: str, rng: np.random.Generator, temperature: float) -> Iterator[str]:
        """Yield characters that continue a prompt, endlessly, drawn from `rng`.

        >>> characters = load("plays").continuation("KING: ", np.random.default_rng(1), temperature=0.8)
        >>> len([next(characters) for _ in range(5)])
        5
        """
        return continuation(self.network, self.vocab, prompt, rng, temperature)

    # ---- scoring ----

    def score(self, text: str) -> Score:
        """Return the loss of a text, as `charrnn eval` computes it.

        Characters outside the vocabulary are counted in `unknown` and excluded from everything else. The means are None
        if no character is left.

        >>> score = load("plays").score("The fox, the king and 猫.")
        >>> score.chars, score.unknown
        (23, 1)
        >>> 0 < score.bits_per_char < 20
        True
        """
        from charrnn.evaluation.text import score_ids

        with single_threaded_products():
            return score_ids(self.network, [self.encoded(text)], self.vocab.start_id)

    def score_lines(
        self, lines: str | Iterable[str], *, score: str = "mean", ignore: str | Sequence[str] | None = None
    ) -> Iterator["Line"]:
        """Yield the lines of a text, each scored on its own with its newline, as `charrnn eval --lines` does.

        The lines may also come one by one, with or without their newlines. Each has `text`, `bits`, the figure that
        `score` names (mean, sum, max, peak or peak:N), and `score`. What the patterns of `ignore` match is not scored;
        by default those that the model was trained with.

        >>> for line in load("plays").score_lines("The king.\\nxqzj!\\n"):
        ...     print(line.text, line.score.chars, line.bits > 0)
        The king. 10 True
        xqzj! 6 True
        """
        from charrnn.api.results import Line
        from charrnn.evaluation.anomaly import named_figure
        from charrnn.evaluation.lines import LineScorer, line_batches

        figure, patterns = named_figure(score), self.origin.ignore if ignore is None else several(ignore)
        scorer = LineScorer(self.network, self.vocab, tuple(filter(None, patterns)))
        own = [as_read(lines, "lines")] if isinstance(lines, str) else map(whole_line, lines)
        blocks = ["".join(own)] if isinstance(lines, Sequence) else own  # an iterator gives one line at a time

        def scored() -> Generator[Line, None, None]:
            for batch in line_batches(blocks):
                for text, found in zip(batch, scorer.scores(batch), strict=True):
                    value = figure.value(found.losses, found.score.chars + found.score.unknown)
                    yield Line(text.removesuffix("\n"), value, found.score)

        return each_within(single_threaded_products, scored())

    def surprisal(self, text: str) -> "Surprisal":
        """Return the bits of each character of a text; a notebook shows it as a heat map.

        >>> found = load("plays").surprisal("To be 猫")
        >>> [character for character, bits in found if not bits > 0]
        ['猫']
        """
        from charrnn.api.results import Surprisal
        from charrnn.evaluation.characters import predictions

        text = self.as_read(text, "text")
        with single_threaded_products():
            found = predictions(self.network, [self.vocab.encode(text)], self.vocab.start_id)
            return Surprisal(text, np.array([each.nats if each else np.nan for each in found]) / np.log(2), self.name)

    def next(self, text: str = "", count: int = 5) -> list["Candidate"]:
        """Return the `count` most likely characters after a text, the likeliest first, as `charrnn eval --next` does.

        >>> for character, probability, bits in load("plays").next("KING", 2):
        ...     print(len(character), 0 < probability < 1, bits > 0)
        1 True True
        1 True True
        """
        from charrnn.api.results import Candidate
        from charrnn.evaluation.characters import likeliest

        with single_threaded_products():
            found = likeliest(self.network, [self.encoded(text)], self.vocab.start_id, whole(count, "count"))
        return [Candidate(self.vocab.characters[each.id], each.probability, bits(each.nats)) for each in found]

    def threshold(self, rate: float = RATE, score: str = FIGURE) -> float:
        """Return the bits that this share of lines like those of the training exceed, by a score of `score_lines`.

        It was calibrated on held-out lines at the end of a training with `lines`; raises CheckpointError if it was not.
        """
        from charrnn.evaluation.anomaly import named_figure, threshold_of

        require(0 < number(rate, "rate") < 1, "rate", rate, "above 0 and below 1")
        name, kept = named_figure(score).name, self.run().thresholds
        if not kept.get(name):
            names = " or ".join(f"--score {each}" for each in kept)
            advice = f"use {names}" if kept else "train with --lines and held-out lines to the end, or give a number"
            raise CheckpointError(f"{self.path}: has no calibrated threshold for --score {name}: {advice}")
        return threshold_of(kept[name], rate)

    # ---- its training, and its file ----

    @property
    def history(self) -> list["Validation"]:
        """The validations of its training so far, read from its file.

        >>> [step for step, train_loss, val_loss in load("plays").history]
        [2]
        """
        from charrnn.api.results import Validation

        return [Validation(*each) for each in CheckpointStore(self.path).load().history]

    def save(self, target: str | PathLike[str], *, force: bool = False) -> "Model":
        """Write the whole run to another file, from which it can be resumed, and return that model.

        `target` is a name or a path as in `load`. Raises CheckpointError for a file that exists, unless `force` is
        given, and if it cannot be written.

        >>> load("plays").save("./copy.npz", force=True).score("The king.") == load("plays").score("The king.")
        True
        """
        from charrnn.checkpoint.targets import save_copy

        name = fspath(target)
        path = model_path(name, "target")
        self.run()  # raises if the file has another network by now
        save_copy(self.path, path, force)
        return load_file(path, name)

    def export(self, target: str | PathLike[str], *, dtype: str | None = None, force: bool = False) -> Path:
        """Write the model for others, as `charrnn export` does: to .npz, .safetensors or .html. Return the path.

        `dtype` is "f2" or "f4", by default f4 for .safetensors and otherwise f2. Raises CheckpointError for a file that
        exists, unless `force` is given, and UsageError for another suffix.

        >>> load("plays").export("plays.html", force=True).stat().st_size > 10_000
        True
        """
        from charrnn.checkpoint.targets import export_model

        self.run()  # raises if the file has another network by now
        export_model(self.path, fspath(target), dtype, force)
        return Path(target)

    # ---- texts ----

    def as_read(self, text: str, name: str = "prompt") -> str:
        """Return a text as it is read from a file, in the model's Unicode form."""
        return self.vocab.normalized(as_read(text, name))

    def encoded(self, text: str) -> Ids:
        """Return the ids of a text, -1 for characters outside the vocabulary."""
        return self.vocab.encode(self.as_read(text, "text"))


def whole_line(line: str) -> str:
    """Return a line with its newline."""
    return f"{as_read(line, 'lines').removesuffix(chr(10))}\n"


def load(name: str | PathLike[str]) -> Model:
    """Return the model `checkpoints/NAME.npz` of a name, or the one at a path, which has a `/` or ends in `.npz`.

    Its weights are those of the best validation. `english` is the model that comes with the program, unless another one
    has that name. Raises CheckpointError if there is no such file or it is damaged.

    >>> model = load("plays")
    >>> model.network.config.cell, len(model.vocab)
    ('gru', 66)
    """
    if not isinstance(name, str | PathLike):
        raise UsageError(f"model: must be a name or a path, not {type(name).__name__}")
    given = fspath(name)
    path = model_path(given, "model")
    return load_file(english_model() if is_english(given) else path, given)


def load_file(path: Path, name: str) -> Model:
    """Return the model in a file, which a user gave by this name."""
    return Model(*CheckpointStore(path).load_model(), path, name)


def to_torch_state_dict(model: Model) -> dict[str, Array]:
    """Return copies of a model's weights under the names of a PyTorch module with `embed`, `rnn` and `head`.

        net.embed = torch.nn.Embedding(V, D)
        net.rnn   = torch.nn.GRU(D, H, L)            or LSTM, or RNN with its nonlinearity
        net.head  = torch.nn.Linear(H, V)

    They are NumPy arrays, so this does not need PyTorch. To load them there:

        net.load_state_dict({name: torch.from_numpy(W) for name, W in charrnn.to_torch_state_dict(model).items()})

    Raises CharRNNError for zoneout and for activations that PyTorch's modules do not have.

    >>> arrays = to_torch_state_dict(load("plays"))
    >>> arrays["embed.weight"].shape, arrays["rnn.weight_hh_l0"].shape
    ((66, 64), (48, 16))
    """
    return torch_state_dict(model.network)
