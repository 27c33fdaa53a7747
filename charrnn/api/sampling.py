"""Samples as the command and the library ask for them: options, what they mean for a model, and the pieces of text."""

import secrets
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from operator import index
from os import PathLike
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from charrnn.api.loaded import LoadedModel, ignored
from charrnn.core.config import require
from charrnn.core.errors import UsageError
from charrnn.core.model import CharRNN
from charrnn.core.ops import Ids
from charrnn.core.sample import Mask, Settings
from charrnn.core.vocab import Vocab, named
from charrnn.sampling.alphabet import alphabet
from charrnn.sampling.batched import generate
from charrnn.sampling.distinct import MAX_SAMPLES, distinct
from charrnn.sampling.incremental import PromptState
from charrnn.sampling.samples import Piece as Piece
from charrnn.sampling.samples import SampleOptions, samples

if TYPE_CHECKING:
    from charrnn.sampling.constraint_options import ConstraintFactory

FILTERS = ("temperature", "top_k", "top_p", "min_p")
CONSTRAINTS = ("regex", "grammar", "json_schema", "no_copy")


class SamplingOptions(TypedDict, total=False):
    """The options of a sample. All of them may be left out, and mean what those of `charrnn sample` mean."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    only: str
    ban: str
    regex: str
    grammar: str | PathLike[str]  # a file
    json_schema: str | PathLike[str]  # a file
    no_copy: int
    stop: str | Sequence[str]
    echo: bool  # whether the prompt is part of the text; True by default


@dataclass(frozen=True)
class Sampling:
    """How samples are written. Raises UsageError for values that are out of range."""

    length: int | None = 1000  # None for no end
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    only: str | None = None
    ban: str = ""
    regex: str | None = None
    grammar: str | None = None
    json_schema: str | None = None
    no_copy: int | None = None
    stop: Sequence[str] = ()
    echo: bool = True

    def __post_init__(self) -> None:
        SampleOptions(self.length, self.filters, self.stop)

    @property
    def filters(self) -> Settings:
        """The filters that were given, by name."""
        given = {name: getattr(self, name) for name in FILTERS}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def is_constrained(self) -> bool:
        """Whether each sample has constraints of its own."""
        return any(getattr(self, name) is not None for name in CONSTRAINTS)

    def echoed(self, prompt_ids: Ids) -> Ids:
        """Return the ids of a prompt that are part of a sample's text."""
        return prompt_ids[: None if self.echo else 0]


def checked_sampling(length: int | None, options: SamplingOptions) -> Sampling:
    """Return the options of a call from Python; raises UsageError for unknown names and values of another type."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    unknown = given.keys() - {field.name for field in fields(Sampling)} | given.keys() & {"length"}
    if unknown:
        raise UsageError(f"{', '.join(sorted(unknown))}: no options of samples")
    for name in given.keys() & {"temperature", "top_p", "min_p"}:
        given[name] = number(given[name], name)
    for name in given.keys() & {"top_k", "no_copy"}:
        given[name] = whole(given[name], name)
    for name in given.keys() & {"only", "ban", "regex"}:
        require(isinstance(given[name], str), name, repr(given[name]), "a text")
    require(isinstance(given.get("echo", True), bool), "echo", repr(given.get("echo")), "True or False")
    stop = given.get("stop", ())
    are_texts = isinstance(stop, Sequence) and all(isinstance(each, str) for each in stop)
    require(are_texts, "stop", repr(stop), "a text or several")
    given["stop"] = several(stop)
    for name in given.keys() & {"grammar", "json_schema"}:
        given[name] = str(given[name])
    return Sampling(None if length is None else whole(length, "length"), **given)


def sample_options(
    model: LoadedModel,
    prompt_ids: Ids,
    wanted: Sampling,
    *,
    scored: bool = False,
    note: Callable[[str], None] = ignored,
    warn: Callable[[str], None] = warnings.warn,
) -> tuple[SampleOptions, "ConstraintFactory | None"]:
    """Return what samples of a model with these options have in common, and what makes their constraints if any.

    Raises like `pieces`, and TextError for a constraint whose file or training text cannot be read.
    """
    vocab, filters = model.vocab, wanted.filters
    allowed = alphabet(vocab, wanted.only, wanted.ban)
    if allowed is not None:
        filters = {**filters, "allowed": allowed}
    options = SampleOptions(wanted.length, filters, normalized_stops(vocab, wanted, allowed, warn), scored=scored)
    if not wanted.is_constrained:
        return options, None
    from charrnn.sampling.constraint_options import constraint_factory  # late: most samples have none

    given = {name: getattr(wanted, name) for name in CONSTRAINTS}
    echoed = wanted.echoed(prompt_ids)
    return options, constraint_factory(options, given, vocab, echoed, model.training_text, note)


def pieces(
    model: LoadedModel,
    prompt: str,
    seed: int,
    wanted: Sampling,
    count: int = 1,
    *,
    unique: bool = False,
    scored: bool = False,
    cores: int = 1,
    note: Callable[[str], None] = ignored,
    warn: Callable[[str], None] = warnings.warn,
    report: Callable[[int], object] = int,
) -> Iterator[Piece]:
    """Return the pieces of `count` samples, which continue a prompt that is in the model's normal form.

    The prompt is no part of them. With `unique` no sample comes twice; with `scored` each has its mean loss. Raises
    UnknownCharacterError for a prompt with characters outside the vocabulary, and UsageError for options that no
    sample can meet, all at once, before the first piece. `note` and `warn` receive what the user should know;
    `report` is called with each number of characters of the prompt that have been read.
    """
    prompt_ids = model.vocab.encode_known(prompt)
    options, make = sample_options(model, prompt_ids, wanted, scored=scored, note=note, warn=warn)
    if make:
        options = replace(options, constraints=partial(make, prompt_ids, wanted.echoed(prompt_ids)))
    start = PromptState(model.network, np.concatenate([[model.vocab.start_id], prompt_ids]), report)
    found = samples(start, model.vocab, seed, MAX_SAMPLES if unique else count, options, cores)
    return distinct(found, count) if unique else found


def normalized_stops(vocab: Vocab, wanted: Sampling, allowed: Mask | None, warn: Callable[[str], None]) -> list[str]:
    """Return the texts that end samples in the model's normal form; warn about those that can never be written.

    Raises UsageError if there are no others and a sample is endless without them.
    """
    normal = [vocab.normalized(stop) for stop in wanted.stop]
    impossible = list(filter(None, (never_written(vocab, stop, allowed) for stop in normal)))
    if wanted.length is None and normal and len(impossible) == len(normal):
        raise UsageError(f"{impossible[0]}: with --length -1 the sample would never end")
    for reason in impossible:
        warn(reason)
    return normal


def never_written(vocab: Vocab, stop: str, allowed: Mask | None) -> str:
    """Return why a text can never be written, because of characters that no sample has; empty if it can."""
    characters = vocab.characters[: len(vocab.symbols)]
    strange = sorted(set(stop) - set(characters))
    banned = sorted(set(stop) - {characters[i] for i in np.flatnonzero(allowed)}) if allowed is not None else []
    if banned and not strange:
        return f"--stop {stop}: never written, because --only and --ban leave out {named(banned)}"
    hint = "; a newline is written $'\\n' in the shell" if "\\n" in stop else ""
    return f"--stop {stop}: never written, because the model does not know {named(strange)}{hint}" if strange else ""


def continuation(
    network: CharRNN, vocab: Vocab, prompt: str, rng: np.random.Generator, temperature: float
) -> Iterator[str]:
    """Yield characters that continue a prompt, endlessly; raises UnknownCharacterError as Model.sample does."""
    ids = np.concatenate([[vocab.start_id], vocab.encode_known(vocab.normalized(as_read(prompt, "prompt")))])
    allowed = alphabet(vocab)  # None for all symbols
    filters = {"temperature": number(temperature, "temperature")} | ({} if allowed is None else {"allowed": allowed})
    return (vocab.characters[i] for i in generate(network, ids, rng, filters))


def ending(length: int | None, options: SamplingOptions) -> Sampling:
    """Return the options of samples that have an end; raises UsageError if nothing ends them."""
    wanted = checked_sampling(length, options)
    if length is None and not (wanted.stop or wanted.regex or wanted.grammar or wanted.json_schema):
        raise UsageError("length None never ends: give a length, stop or regex, or use stream")
    return wanted


# ---- values ----


def as_read(text: str, name: str) -> str:
    """Return a text as it is read from a file: with LF for CR LF, and without a byte-order mark at its start."""
    if not isinstance(text, str):
        raise UsageError(f"{name}: must be a str, not {type(text).__name__}")
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def several(texts: str | Sequence[str]) -> tuple[str, ...]:
    """Return one text or several as several."""
    return (texts,) if isinstance(texts, str) else tuple(texts)


def whole(value: int, name: str) -> int:
    """Return a number if it is a whole one, 0 or more; raises UsageError, naming it, if not."""
    try:
        found = index(value)
    except TypeError as error:
        raise UsageError(f"{name} {value!r}: must be a whole number") from error
    require(found >= 0, name, found, "0 or more")
    return found


def number(value: float, name: str) -> float:
    """Return a value as a float; raises UsageError, naming it, if it is no number."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} {value!r}: must be a number") from error


def seed_of(seed: int | None) -> int:
    """Return the seed that was given, or a random one."""
    return secrets.randbits(32) if seed is None else whole(seed, "seed")
