"""Summaries of a run: its plan (train --dry-run), its end, and its model file (info), for people and as JSON."""

import json
import shlex
import sys
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

from charrnn.cli.losses import curves, loss_chart
from charrnn.cli.streams import Output
from charrnn.core.config import VALIDATION_CHARS, TrainConfig
from charrnn.core.score import bits
from charrnn.core.state import TrainState
from charrnn.core.train import out_of_patience
from charrnn.core.vocab import Vocab
from charrnn.data.corpus import Corpus
from charrnn.data.sources import shown
from charrnn.plots import display_width
from charrnn.terminal.card import card
from charrnn.terminal.streams import NOTES, can_overwrite, say
from charrnn.training.durations import in_units
from charrnn.training.estimate import estimate, training_memory

NOISE_BITS = 0.02  # per character: a smaller difference between two validations is taken for noise
SYMBOL_COLUMNS = 60  # for the symbols of a vocabulary, so that their line has at most 80 columns

# ---- the plan ----


def print_estimate(name: str, state: TrainState, text: Corpus, output: Output) -> None:
    """Print what training would do and cost: rows of a name, a tab and a value, or one JSON object."""
    cost, config, network = estimate(state, text.ids), state.config, state.model.config
    if output.json:
        origin = {"model": name, "corpus": text.sources, "step": state.step, "init_from": state.init_from}
        settings = {"vocabulary_size": network.vocab_size, **network.settings, **asdict(config)}
        return output.record({"event": "plan", **origin, **settings, **asdict(cost)})
    part = f", the first {VALIDATION_CHARS:,} scored per validation" if cost.val_chars > VALIDATION_CHARS else ""
    suitable = cost.suitable_hidden_size
    advised = f": --hidden-size {suitable} suits" if suitable else " at any --hidden-size"
    rows = {
        "model": name,
        "text": display_width.one_line(shown(text.sources)),
        "network": str(network),
        "parameters": f"{cost.parameters:,}",
        "memory": f"{cost.memory_bytes / 1e6:,.1f} MB",
        "characters": f"{cost.train_chars:,} for training, {cost.val_chars:,} held out{part}",
        "vocabulary": f"{len(state.vocab):,} symbols",
        "window": f"{config.batch_size} x {config.seq_len}",
        "steps": f"{config.steps:,}" + (f", {state.step:,} of them done" if state.step else ""),
        "epochs": f"{cost.epochs:.1f}",
        "speed": f"{cost.chars_per_second:,.0f} characters per second",
        "time": in_units(cost.seconds),
        "verdict": "the network suits the text" if cost.fit == "suits" else f"{cost.fit} for the text{advised}",
    }
    for row in rows.items():
        output.row(*row)


# ---- the end of a run ----


def print_summary(name: str, state: TrainState, seconds: float, chars: int) -> None:
    """Print the summary of a run to stderr: a card on a terminal, otherwise lines of key=value."""
    path = name if "/" in name or name.endswith(".npz") else f"./{name}"  # not a name in the folder of models
    next_command = f"charrnn sample -m {shlex.quote(path)}"
    suggestion = advice(state)
    if can_overwrite(sys.stderr):
        rows = summary_rows(state, seconds, chars)
        rows |= {"advice": suggestion} if suggestion else {}
        drawn = card(f"{name} is done", rows | {"next": f"write samples: {next_command}"}, sys.stderr)
        NOTES.write(loss_chart(curves(state), sys.stderr) + drawn)
        return
    fields = summary_fields(name, state, seconds, chars) | {"done": in_log(name)}
    say(" ".join(f"{key}={value}" for key, value in fields.items()))
    for key, value in {"advice": suggestion, "next": next_command}.items():
        if value:
            say(f"{key}={json.dumps(value, ensure_ascii=False)}")


def in_log(value: str) -> str:
    """Return a value for a line of key=value: in quotes, as in JSON, if it would not be one word otherwise."""
    is_word = not any(c.isspace() or c in '"=' for c in value)
    return value if is_word else json.dumps(value, ensure_ascii=False)


def summary_rows(state: TrainState, seconds: float, chars: int) -> dict[str, str]:
    """Return the rows of the card."""
    step, steps = state.step, state.config.steps
    rows = {"steps": f"{step:,} of {steps:,}{stop_reason(state)}"}
    if state.best:
        rows["held out"] = best_score(state, digits=3)
    if chars:
        rows["time"] = f"{in_units(seconds)}, {chars / seconds:,.0f} characters per second"
    return rows


def best_score(state: TrainState, digits: int) -> str:
    """Return the best held-out loss in words, with the part of the held-out text that was scored if not all of it."""
    if state.best is None:
        return "not scored"
    config = state.config
    held_out = config.held_out or state.origin.chars * config.val_fraction
    part = f"; of the first {VALIDATION_CHARS:,} characters held out" if held_out > VALIDATION_CHARS else ""
    return f"{bits(state.best.nats):.{digits}f} bits per character, best at step {state.best.step:,}{part}"


def held_out_part(config: TrainConfig) -> str:
    """Return which part of the text is held out, in words."""
    share = f"{100 * config.val_fraction:.3g} %"
    if config.held_out is None:
        return f"the last {share} of the text" if config.val_fraction else "nothing"
    parts = {"each": f"the last {share} of each text", "lines": f"{share} of the lines, chosen by --seed"}
    return f"{parts[config.holdout]}: {config.held_out:,} characters"


def best_losses(state: TrainState) -> dict[str, float | None]:
    """Return the best held-out loss for JSON, null if there is none."""
    nats = state.best.nats if state.best else None
    return {"val_nats_per_char": nats, "val_bits_per_char": None if nats is None else bits(nats)}


def summary_fields(name: str, state: TrainState, seconds: float, chars: int) -> dict[str, object]:
    """Return the figures of the summary for a log, by key; no value contains a blank."""
    best = state.best
    fields: dict[str, object] = {"done": name, "step": state.step, "steps": state.config.steps}
    fields |= {"patience": state.config.patience} if stop_reason(state) else {}
    fields |= {"best_step": best.step, "best_val_bits": f"{bits(best.nats):.4f}"} if best else {}
    return fields | {"seconds": f"{seconds:.1f}", "chars_per_second": f"{chars / seconds:.0f}"}


def stop_reason(state: TrainState) -> str:
    """Return why a run ended before its last step; empty if it did not."""
    if state.step >= state.config.steps or not out_of_patience(state):
        return ""
    return f", after {state.config.patience} validations without a new best (--patience)"


def advice(state: TrainState) -> str:
    """Return what would improve the model, judging by the held-out losses; empty if nothing is obvious."""
    best, history = state.best, state.history
    if state.unlike:
        return ""
    if best is None:
        return "no text is held out, so the loss on new text is unknown: use --val-fraction 0.1"
    step, _, last = history[-1]
    if bits(last - best.nats) > NOISE_BITS:
        dropout = "more --dropout" if state.config.dropout else "--dropout"
        rise = f"held-out loss has risen by {bits(last - best.nats):.2f} bits since step {best.step:,}"
        return f"{rise}: more text, a smaller network or {dropout} would help"
    if step == best.step and len(history) > 1 and bits(history[-2][2] - last) > NOISE_BITS:
        fall = f"held-out loss fell by {bits(history[-2][2] - last):.2f} bits in the last {step - history[-2][0]:,}"
        return f"{fall} steps: a longer run would help (--steps, --epochs or --time)"
    return ""


# ---- the model file ----


def model_record(path: Path, state: TrainState, file_bytes: int) -> dict[str, Any]:
    """Return the JSON object of a model."""
    return {
        "path": str(path),
        **state.model.config.settings,
        "parameters": len(state.model.vector),
        "vocabulary_size": len(state.vocab),
        "step": state.step,
        "seconds": state.seconds,
        "best_step": state.best.step if state.best else None,
        **best_losses(state),
        "corpus": {name: value for name, value in asdict(state.origin).items() if value or name != "ignore"},
        "init_from": state.init_from,
        "train": asdict(state.config),
        "history": [
            {"step": step, "train_nats_per_char": train_loss, "val_nats_per_char": loss}
            for step, train_loss, loss in state.history
        ],
        "memory_bytes": training_memory(state),
        "file_bytes": file_bytes,
    }


def model_rows(state: TrainState, file_bytes: int) -> dict[str, str]:
    """Return the rows of a model's card, by label."""
    config, origin = state.model.config, state.origin
    texts = display_width.one_line(shown(origin.sources))  # names from the file
    weights, training = state.model.vector.nbytes / 1e6, training_memory(state) / 1e6
    suggestion = advice(state)
    losses = [f"{step:,}: {bits(t):.3f} / {bits(v):.3f}" for step, t, v in state.history[-10:]]
    return {
        "network": f"{config}, embedding {config.embed_size}",
        "parameters": f"{len(state.model.vector):,}",
        "memory": f"{weights:,.1f} MB of weights, {training:,.1f} MB in training",
        "vocabulary": f"{len(state.vocab):,} symbols: {visible_symbols(state.vocab)}",
        "corpus": f"{texts}, {origin.chars:,} characters, SHA-256 {origin.sha256[:16]}…",
        **({"ignored": "\n".join(map(display_width.one_line, origin.ignore))} if origin.ignore else {}),
        **({"started from": display_width.one_line(state.init_from)} if state.init_from is not None else {}),
        "training": training_settings(state),
        "held-out part": held_out_part(state.config),
        "held out": best_score(state, digits=4),
        **({"advice": suggestion} if suggestion and state.step else {}),
        "file": f"{file_bytes / 1e6:,.1f} MB",
        "train / held out": "\n".join(losses) or "-",
    }


def training_settings(state: TrainState) -> str:
    """Return the steps and the main settings of a run, in words."""
    config, zoneout = state.config, state.model.config.zoneout
    rates = {"dropout": config.dropout, "variational dropout": config.variational_dropout, "zoneout": zoneout}
    parts = [
        f"step {state.step:,} of {config.steps:,} ({config.budget})",
        f"windows of {config.batch_size} x {config.seq_len}",
        f"{config.optimizer}, lr {config.lr:g}, {config.schedule}",
        *(f"{name} {rate:g}" for name, rate in rates.items() if rate),
        f"weight decay {config.weight_decay:g}",
        f"seed {config.seed}",
    ]
    return ", ".join(parts)


def visible_symbols(vocab: Vocab) -> str:
    """Return the first printable symbols of a vocabulary, with an ellipsis if there are more."""
    symbols = [c for c in vocab.characters if c.isprintable() and not c.isspace()]
    fitting = sum(total < SYMBOL_COLUMNS for total in accumulate(map(display_width.width, symbols)))
    return "".join(symbols[:fitting]) + ("…" if len(symbols) > fitting else "")
