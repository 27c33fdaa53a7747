"""The start of a run: its state and its text, new, resumed or warm-started."""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from charrnn.checkpoint.paths import ENGLISH, english_model, named_model
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.config import TrainConfig
from charrnn.core.errors import CheckpointError, ResumeError, UsageError
from charrnn.core.state import TrainState
from charrnn.core.train import out_of_patience, split_text
from charrnn.data.corpus import Corpus, load_corpus
from charrnn.data.reading import Reading, same_encoding
from charrnn.data.sources import BUNDLED, STDIN, expand, is_repeatable, missing, shown, unnamed
from charrnn.training import english
from charrnn.training.configure import (
    CHANGEABLE,
    configure,
    holdout_in,
    holdout_of,
    reading_of,
    resumed_config,
    run_settings,
    start_run,
    warm_start,
)
from charrnn.training.defaults import Budget
from charrnn.training.likeness import likeness, warning
from charrnn.training.repetitive import small_network
from charrnn.training.time_budget import Deadline, config_for_time, seconds_done

NONE = "none"  # of --init-from: random weights
ENGLISH_START = "starting from the English model that comes with the program; --init-from none for random weights"


@dataclass(frozen=True)
class Request:
    """What the user asks for: the texts, the settings that were given, the budget, and how to start."""

    sources: tuple[str, ...]
    settings: dict[str, Any]
    budget: Budget
    resume: bool
    force: bool
    init_from: str | None
    ignore: tuple[str, ...] = ()
    variables: frozenset[str] = frozenset()  # settings that come from variables: a model that exists keeps its own

    @property
    def typed(self) -> dict[str, Any]:
        """The settings but those of the network and the text that come from variables."""
        return {n: value for n, value in self.settings.items() if n not in self.variables or n in CHANGEABLE}


def start(store: CheckpointStore, request: Request, warn: Callable[[str], None]) -> tuple[TrainState, Corpus]:
    """Return the state of the run and its text; raises CheckpointError rather than replace a model without --force."""
    exists = store.exists()
    if exists and request.resume:
        if store.is_read_only() and not request.force:
            raise CheckpointError(f"{store.name}: is read-only: use --force to replace it, or name another model")
        return resumed(store, request)
    if exists and not request.force:
        raise CheckpointError(f"{store.name}: already exists: use --resume to continue or --force to replace it")
    state, text = begun(request)
    compare_held_out(state, text, warn)
    return state, text


def begun(request: Request) -> tuple[TrainState, Corpus]:
    """Return a run at step 0, from random weights or from another model, and its text."""
    if request.init_from in (None, NONE):
        return new(request)
    path = named_model(str(request.init_from), "--init-from")
    name = ENGLISH if path == english_model() else str(path)
    return warm_started(CheckpointStore(path), name, request)


def new(request: Request) -> tuple[TrainState, Corpus]:
    """Return a run at step 0 with random weights or, if they suit, those of the English model; and its text."""
    settings = request.settings
    reading = new_reading(settings, settings.get("normalize", "none"), settings.get("lines", False), request.ignore)
    sources = request.sources or (BUNDLED,)
    holdout = holdout_of(settings, len(expand(sources, [])))
    text = load_corpus(sources, reading, settings.get("min_count", TrainConfig.min_count), holdout=holdout)
    network = small_network(text, settings)
    if network:
        note = "short, repetitive lines: a small network suits them (--hidden-size and --num-layers choose another)"
        text = replace(text, remarks=(*text.remarks, note))
    elif started := english_start(text, request):
        return started
    return start_run(*configure(text, network | settings, request.budget), text), text


def english_start(text: Corpus, request: Request) -> tuple[TrainState, Corpus] | None:
    """Return a run that starts from English, if nothing else is asked for and the text suits, and its text; or None."""
    store = CheckpointStore(english_model())
    if request.init_from is not None or not store.exists():
        return None
    source, vocab, *_ = store.load_model()
    if not english.suits(text, request.settings, source.config, vocab):
        return None
    text = text.with_symbols(vocab)
    state = warm_start(
        source, vocab, ENGLISH, text, run_settings(request.settings, source.config, vocab), request.budget
    )
    return state, replace(text, remarks=(*text.remarks, ENGLISH_START))


def new_reading(settings: dict[str, Any], normalize: str, lines: bool, ignore: tuple[str, ...]) -> Reading:
    """Return how the text of a new run is read."""
    if ignore and not lines:
        raise UsageError("--ignore: needs --lines")
    errors = settings.get("encoding_errors", TrainConfig.encoding_errors)
    return Reading(settings.get("encoding", TrainConfig.encoding), errors, normalize, lines, ignore)


def warm_started(store: CheckpointStore, name: str, request: Request) -> tuple[TrainState, Corpus]:
    """Return a run at step 0 with the best weights of another model, and its text, with a note on the start."""
    source, vocab, _, origin = store.load_model()
    of_network = {*source.config.settings, "normalize"} & request.variables
    given = {key: value for key, value in request.settings.items() if key not in of_network}
    settings = run_settings(given, source.config, vocab)
    reading = new_reading(settings, vocab.normalize, source.config.lines, request.ignore or origin.ignore)
    min_count = settings.get("min_count", TrainConfig.min_count)
    sources = request.sources or (BUNDLED,)
    holdout = holdout_of({**settings, "lines": source.config.lines}, len(expand(sources, [])))
    text = load_corpus(sources, reading, min_count, known=vocab, holdout=holdout)
    note = f"{name}: starting from its best weights; symbols new to it: {len(text.vocab) - len(vocab)}"
    state = warm_start(source, vocab, name, text, settings, request.budget)
    return state, replace(text, remarks=(*text.remarks, note))


def compare_held_out(state: TrainState, text: Corpus, warn: Callable[[str], None]) -> None:
    """Warn of a held-out part that is unlike the rest, and remember it in the state."""
    found = likeness(text, *split_text(state.config, state.model.config, text.ids))
    state.unlike = found.unlike
    if found.unlike:
        repeatable = all(map(is_repeatable, text.sources))
        texts = len(expand(text.sources, [])) if repeatable else len(text.sources)
        warn(warning(found, text.holdout, texts))


def resumed(store: CheckpointStore, request: Request) -> tuple[TrainState, Corpus]:
    """Return the run of a model file, with the settings that a resume may change, and its text."""
    state = store.load()
    if state.weights:
        raise ResumeError(f"{store.name}: holds weights alone, which cannot be resumed: start from it with --init-from")
    config, origin, vocab = state.config, state.origin, state.vocab
    if not (request.sources or all(map(is_repeatable, origin.sources))):
        again = "name the same files" if config.holdout == "each" else "give the same text again, for example as -"
        raise ResumeError(f"{store.name}: {unnamed(origin.sources)}: {again}")
    lost = [] if request.sources else missing(origin.sources)
    if lost:
        named = f"name it where it is now, as with `charrnn train NEW-PATH --resume -m {shlex.quote(store.name)}`"
        raise ResumeError(f"{shown(lost)}: the text of {store.name} is no longer there: {named}")
    if request.ignore not in ((), origin.ignore) and "ignore" not in request.variables:
        raise ResumeError("--resume cannot change what is ignored: leave out --ignore, or train from scratch")
    reading = reading_of(config, state.model.config, vocab, origin)
    most = None if request.sources else origin.chars
    text = load_corpus(
        request.sources or origin.sources,
        reading,
        config.min_count,
        vocab,
        most,
        holdout_in(config, state.model.config),
    )
    state.config = resumed_config(state, text, without_same_encoding(request.typed, config), request.budget)
    if request.sources and STDIN not in text.sources:
        state.origin = replace(origin, sources=text.sources)  # where it is now
    return state, text


def without_same_encoding(settings: dict[str, Any], config: TrainConfig) -> dict[str, Any]:
    """Return settings without an encoding that is the run's under another name, such as UTF8 for utf-8."""
    same = same_encoding(settings.get("encoding", config.encoding), config.encoding)
    return {name: value for name, value in settings.items() if not (same and name == "encoding")}


def is_finished(state: TrainState) -> bool:
    """Return whether a run has done all of its steps, or has run out of patience."""
    return state.step >= state.config.steps or out_of_patience(state)


def fit_to_budget(state: TrainState, text: Corpus, request: Request, began: float) -> Deadline | None:
    """Set the steps of a run with a budget in seconds, and return its deadline; this process counts from `began`.

    Return None for other budgets, and if the budget is spent. So it is at the last step of a run with the same budget,
    even if the run ended early; in a file without the seconds of its training its steps are then known.
    """
    budget = request.budget
    if budget.kind != "seconds":
        return None
    if str(budget) == state.config.budget and not budget.more and (state.seconds is None or is_finished(state)):
        return None
    state.seconds = seconds_done(state, text.ids)
    budget = budget.after(state.seconds)
    if state.step and budget.amount <= state.seconds:
        state.config = replace(state.config, steps=state.step, budget=str(budget))
        return None
    used = state.seconds + time.perf_counter() - began
    fitted, per_validation = config_for_time(state, text.ids, budget, used)
    state.config = replace(fitted, eval_every=request.settings.get("eval_every") or fitted.eval_every)
    return Deadline(state, began + budget.amount - state.seconds, per_validation)
