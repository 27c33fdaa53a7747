"""From a text and the user's settings to a run: a new one, one that starts from another model, or a resumed one."""

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from charrnn.checkpoint.environment import environment
from charrnn.core.batches import Batches
from charrnn.core.config import ModelConfig, TrainConfig
from charrnn.core.errors import ResumeError, TextError, UsageError
from charrnn.core.model import CharRNN
from charrnn.core.network import SYMBOL_ROWS
from charrnn.core.ops import Ids
from charrnn.core.score import bits
from charrnn.core.state import Origin, TrainState, new_run
from charrnn.core.train import split_text
from charrnn.core.vocab import UNKNOWN, Vocab
from charrnn.data.corpus import Corpus, is_text_of
from charrnn.data.holdout import Holdout
from charrnn.data.reading import Reading
from charrnn.data.sources import expand, shown
from charrnn.evaluation.batched import BatchedScorer, Span
from charrnn.parallel.products import single_threaded_products
from charrnn.training.defaults import (
    ENSEMBLE_DROPOUT,
    Budget,
    default_batch_size,
    default_dropout,
    default_eval_every,
    default_lr,
    default_optimizer,
    default_steps,
    default_weight_decay,
)
from charrnn.training.estimate import require_memory

PIECE, PIECES = 256, 16  # characters per piece, and pieces from which the loss at the start is estimated
# the settings that a resume may change
CHANGEABLE = ("lr", "schedule", "warmup", "weight_decay", "grad_clip", "eval_every", "patience")


def configure(text: Corpus, given: dict[str, Any], budget: Budget) -> tuple[ModelConfig, TrainConfig]:
    """Return the configurations of network and run: the given settings, and defaults that suit the text.

    A budget in seconds becomes a single step; `config_for_time` replaces it as soon as there is a network to measure.
    """
    model = {name: value for name, value in given.items() if name in ModelConfig.__dataclass_fields__}
    if given.get("lines"):
        if text.vocab.newline_id is None:
            rare = ", or fewer than --min-count," if text.vocab.unknown else ""
            raise TextError(f"{shown(text.sources)}: has no newlines{rare}, so it has no lines: leave out --lines")
        model["line_end"] = text.vocab.newline_id
    train = {name: value for name, value in given.items() if name in TrainConfig.__dataclass_fields__}
    train |= {"holdout": text.holdout, "held_out": text.held_out}
    checked = TrainConfig(1, "", **train)  # refuse invalid values before anything is derived from them
    to_train, held_out = split_text(checked, ModelConfig(len(text.vocab), **model), text.ids)
    T = train.setdefault("seq_len", TrainConfig.seq_len)
    B = train.setdefault("batch_size", default_batch_size(len(to_train), T))
    optimizer = train.setdefault("optimizer", default_optimizer(len(to_train)))
    train.setdefault("lr", default_lr(optimizer))
    train.setdefault("weight_decay", default_weight_decay(optimizer))
    if not train.get("variational_dropout"):
        train.setdefault("dropout", default_dropout(len(to_train)))
    if "activation" in given and given.get("cell", ModelConfig.cell) != "rnn":
        raise UsageError("--activation applies to the plain RNN alone: give --cell rnn with it")
    train |= {"steps": 1, "budget": ""} if budget.kind == "seconds" else budget_in_steps(budget, to_train, B, T)
    train.setdefault("eval_every", default_eval_every(train["steps"], len(held_out), B, T))
    return ModelConfig(len(text.vocab), **model), TrainConfig(**train)


def budget_in_steps(budget: Budget, to_train: Ids, B: int, T: int) -> dict[str, Any]:
    """Return the fields `steps` and `budget` of a TrainConfig for a budget that is not in seconds."""
    per_epoch = Batches(to_train, B, T, start_id=0).steps_per_epoch
    steps = {"steps": budget.amount, "epochs": budget.amount * per_epoch, "default": default_steps(len(to_train), B, T)}
    return {"steps": int(steps[budget.kind]), "budget": str(budget)}


def holdout_of(given: dict[str, Any], texts: int) -> Holdout:
    """Return which part of some texts to hold out: by default lines with --lines, and each text's tail if several."""
    kind = "lines" if given.get("lines") else "each" if texts > 1 else "tail"
    fraction = given.get("val_fraction", TrainConfig.val_fraction)
    return Holdout(given.get("holdout", kind), fraction, given.get("seed", TrainConfig.seed), bool(given.get("lines")))


def reading_of(config: TrainConfig, model: ModelConfig, vocab: Vocab, origin: Origin) -> Reading:
    """Return how a run reads its text."""
    return Reading(config.encoding, config.encoding_errors, vocab.normalize, model.lines, origin.ignore)


def holdout_in(config: TrainConfig, model: ModelConfig) -> Holdout:
    """Return which part of its text a run holds out."""
    return Holdout(config.holdout, config.val_fraction, config.seed, model.lines)


def start_run(config: ModelConfig, train_config: TrainConfig, text: Corpus) -> TrainState:
    """Return a run on a text at step 0; raises CharRNNError if it would need more memory than there is."""
    require_memory(config, train_config, len(text.ids))
    state = new_run(config, train_config, text.vocab, Origin(text.sources, text.sha256, len(text.ids), text.ignore))
    state.environment = environment()
    return state


def run_settings(given: dict[str, Any], network: ModelConfig, vocab: Vocab) -> dict[str, Any]:
    """Return the given settings except those of the network, which are the source model's.

    A single network can start several. Raises ResumeError, naming the difference, if another given setting of the
    network is not the source's.
    """
    settings = {**network.settings, "normalize": vocab.normalize}
    if network.ensemble == 1:
        del settings["ensemble"]
    of_network = {name: value for name, value in given.items() if name in settings}
    refuse_changes("--init-from", "network", settings, of_network)
    return {name: value for name, value in given.items() if name not in settings}


def warm_start(
    source: CharRNN, vocab: Vocab, name: str, text: Corpus, given: dict[str, Any], budget: Budget
) -> TrainState:
    """Return a run at step 0 that starts from the best weights of another model, usually on another text.

    `vocab` and `name` are the source's; the text must have been read with that vocabulary as `known`, and may have more
    symbols. In parameters with one row per symbol, known symbols keep their rows, even if their ids change, and new
    symbols get the rows of a newly initialised network. `given` holds only settings of the run, and the number of
    networks, which all start from the source's if that is a single one: then their dropout makes them differ.
    """
    new, train = configure(text, {**given, "lines": source.config.lines}, budget)
    K = given.get("ensemble", source.config.ensemble)
    if source.config.ensemble < K and not (train.dropout or train.variational_dropout):
        if "dropout" in given:
            raise UsageError("--dropout 0: networks that start from the same weights stay equal: leave it out")
        train = replace(train, dropout=ENSEMBLE_DROPOUT)
    config = replace(source.config, vocab_size=new.vocab_size, line_end=new.line_end, ensemble=K)
    if "lr" not in given:
        to_train, _ = split_text(train, config, text.ids)
        bits_at_start = start_bits(source, vocab, text.vocab, to_train)
        train = replace(train, lr=default_lr(train.optimizer, bits_at_start))
    state = start_run(config, train, text)
    ids = ids_in(state.vocab, vocab)
    for k, network in enumerate(state.model.networks):
        for parameter, W in network.params.items():
            known = ids if parameter.endswith(SYMBOL_ROWS) else ...
            W[known] = source.networks[k % source.config.ensemble].params[parameter]
    state.init_from = name
    return state


def start_bits(source: CharRNN, vocab: Vocab, larger: Vocab, ids: Ids) -> float:
    """Return the loss of pieces from all of a text, ids (N,), by a model of fewer symbols, in bits per character.

    It is infinite if the model knows none of their characters.
    """
    smaller = np.full(len(larger), UNKNOWN, np.int32)
    smaller[ids_in(larger, vocab)] = np.arange(len(vocab))
    starts = np.linspace(0, max(0, len(ids) - PIECE), min(PIECES, max(1, len(ids) // PIECE))).astype(np.int64)
    pieces = (smaller[ids[start : start + PIECE]] for start in starts)
    spans = [Span(piece[piece != UNKNOWN]) for piece in pieces]
    scorer = BatchedScorer(source, vocab.start_id)
    batch = scorer.pack([span for span in spans if len(span.ids)], PIECES)
    with single_threaded_products():
        for _ in scorer.score(batch):
            pass
    scored = batch.nats[batch.y >= 0]
    return bits(float(scored.mean(dtype=np.float64))) if len(scored) else math.inf


def ids_in(larger: Vocab, vocab: Vocab) -> Ids:
    """Return the id of each symbol of a vocabulary, (V,), in a larger one, which was built with it as `known`."""
    unknown = [len(larger) - 1] if vocab.unknown else []
    return np.concatenate([larger.table[vocab.symbols], np.array(unknown, np.int32)])


def resumed_config(state: TrainState, text: Corpus, given: dict[str, Any], budget: Budget) -> TrainConfig:
    """Return the configuration of a resumed run, with the changes that a resume may make.

    A budget in seconds is left to `config_for_time`. Raises ResumeError if the text differs, or if a given setting
    would change the network or the order in which the text is read.
    """
    config, form = state.config, state.vocab.normalize
    before = {**asdict(config), **state.model.config.settings, "normalize": form}
    fixed = {name: value for name, value in given.items() if name not in CHANGEABLE}
    refuse_changes("--resume", "run", before, fixed)
    if not is_text_of(state.origin, text):
        sizes = f"({state.origin.chars:,} characters, here are {len(text.ids):,})"
        advice = "--resume needs that text; for another one, or one that has grown, start a new model with --init-from"
        raise ResumeError(f"{shown(text.sources)}: not the text that the model was trained on {sizes}: {advice}")
    fewer = config.holdout == "each" and len(expand(text.sources, [])) < len(state.origin.sources)
    if fewer or text.held_out != config.held_out:
        same = "the same characters in other files, and a part of each file is held out: name the same files"
        raise ResumeError(f"{shown(text.sources)}: {same}")
    config = replace(config, **{name: value for name, value in given.items() if name in CHANGEABLE})
    if budget.kind in ("default", "seconds"):
        return config
    to_train, held_out = split_text(config, state.model.config, text.ids)
    B, T = config.batch_size, config.seq_len
    longer = replace(config, **budget_in_steps(budget.after(state.step), to_train, B, T))
    usual = [default_eval_every(each.steps, len(held_out), B, T) for each in (config, longer)]
    return replace(longer, eval_every=usual[1]) if config.eval_every == usual[0] else longer


def refuse_changes(option: str, what: str, before: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise ResumeError if any given setting differs from the one before."""
    pairs = {f"--{name.replace('_', '-')}": (before[name], value) for name, value in given.items()}
    changed = "; ".join(f"{name} was {old}, not {new}" for name, (old, new) in pairs.items() if old != new)
    if changed:
        raise ResumeError(f"{option} cannot change the {what}: {changed}: leave that out, or train from scratch")
