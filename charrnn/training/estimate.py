"""The time and memory that a run would take, and whether its network suits its text."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from charrnn.checkpoint.environment import available_bytes
from charrnn.core.batches import Batches
from charrnn.core.cells import CELLS
from charrnn.core.config import ModelConfig, TrainConfig
from charrnn.core.errors import CharRNNError
from charrnn.core.model import CharRNN, parameter_shapes, size_of
from charrnn.core.ops import Ids
from charrnn.core.optim import OPTIMIZERS
from charrnn.core.state import TrainState
from charrnn.core.train import masks, out_of_patience, split_text, validation_due
from charrnn.evaluation.text import workspace_bytes
from charrnn.parallel.executor import stream_parts
from charrnn.training.divergence import advised
from charrnn.training.time_budget import measure_speed

Fit = Literal["suits", "too small", "too large"]
STEP_SECONDS, VALIDATION_SECONDS = 1.0, 0.5  # how long each speed is measured
PARAMETERS_PER_CHAR = (0.05, 50.0)  # a network with fewer is too small for a text, one with more too large
HIDDEN_SIZES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)  # candidates to suggest


@dataclass(frozen=True)
class Estimate:
    """What a run would take, and whether its network suits its text."""

    parameters: int
    memory_bytes: int
    train_chars: int
    val_chars: int  # held out; a validation scores at most VALIDATION_CHARS of them
    epochs: float  # of the whole budget, from step 0
    chars_per_second: float  # of training, without validations
    seconds: float  # for the remaining steps and validations
    fit: Fit
    suitable_hidden_size: int | None  # other settings unchanged; None if none of HIDDEN_SIZES suits


def estimate(state: TrainState, ids: Ids) -> Estimate:
    """Measure the speed on copies of the run; return what the rest of it would take.

    Raises the errors of training: TextError if the text is too short, DivergedError if numbers are not finite.
    """
    config, model = state.config, state.model
    to_train, held_out = split_text(config, model.config, ids)
    per_epoch = Batches(to_train, config.batch_size, config.seq_len, state.vocab.start_id).steps_per_epoch
    with advised(config):
        per_step, per_validation = measure_speed(state, ids, STEP_SECONDS, VALIDATION_SECONDS)
    steps, validations = remaining(state)
    fit, suitable = network_fit(model.config, len(to_train))
    return Estimate(
        parameters=len(model.vector),
        memory_bytes=training_memory(state),
        train_chars=len(to_train),
        val_chars=len(held_out),
        epochs=config.steps / per_epoch,
        chars_per_second=config.batch_size * config.seq_len / per_step,
        seconds=steps * per_step + validations * per_validation,
        fit=fit,
        suitable_hidden_size=suitable,
    )


def remaining(state: TrainState) -> tuple[int, int]:
    """Return the numbers of steps and of validations that remain, including the validation after the last step."""
    step, steps, every = state.step, state.config.steps, state.config.eval_every
    due = int(validation_due(state))
    if step >= steps or out_of_patience(state):
        return 0, due
    return steps - step, due + -(-steps // every) - step // every


def training_memory(state: TrainState) -> int:
    """Return the bytes that training keeps allocated, besides the program itself."""
    return memory_needed(state.model.config, state.config, state.origin.chars)


def memory_needed(network: ModelConfig, config: TrainConfig, chars: int) -> int:
    """Return the bytes that training on a text of `chars` characters keeps allocated, without allocating them.

    These are the parameters, a gradient for each part of the streams, the optimizer's slots, the carried state, the
    best weights, and the workspaces of a window and, with held-out text, of a validation. The temporary arrays of a
    step or a save are not included.
    """
    shapes, T, B = parameter_shapes(network), config.seq_len, config.batch_size
    model = CharRNN(network, np.broadcast_to(np.float32(0), size_of(shapes)))  # a vector that takes no memory
    vectors = 1 + stream_parts(network.ensemble, B) + bool(config.val_fraction)
    slots = size_of(OPTIMIZERS[config.optimizer].slots(shapes))
    carried = network.ensemble * network.num_layers * len(CELLS[network.recurrence].state) * network.hidden_size * B
    training = sum(part.cache_bytes(T, B, masks(config)) for part in model.networks)
    held_out = config.held_out or chars * config.val_fraction
    validation = workspace_bytes(model, int(held_out)) if held_out else 0
    return (vectors * model.vector.size + slots + carried) * model.vector.itemsize + training + validation


def require_memory(network: ModelConfig, config: TrainConfig, chars: int) -> None:
    """Raise CharRNNError, with figures, if training needs more memory than there is."""
    needed, available = memory_needed(network, config, chars), available_bytes()
    if available is not None and needed > available:
        figures = f"training needs {needed / 1e9:,.1f} GB of memory, and {available / 1e9:,.1f} GB are available"
        raise CharRNNError(f"{figures}: use a smaller --hidden-size, --num-layers, --batch-size or --seq-len")


def network_fit(config: ModelConfig, chars: int) -> tuple[Fit, int | None]:
    """Return how a network suits a text with `chars` characters to train on, and the nearest hidden size that does."""
    fewest, most = (rate * chars for rate in PARAMETERS_PER_CHAR)
    sizes = {H: size_of(parameter_shapes(replace(config, hidden_size=H))) for H in (config.hidden_size, *HIDDEN_SIZES)}
    parameters = sizes[config.hidden_size]
    suitable = [H for H, size in sizes.items() if fewest <= size <= most]
    if parameters < fewest:
        return "too small", min(suitable, default=None)
    if parameters > most:
        return "too large", max(suitable, default=None)
    return "suits", config.hidden_size
