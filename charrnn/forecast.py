"""What a run would take, and whether its network suits its text: told before its first step, and nothing changes."""

from dataclasses import dataclass, replace
from typing import Literal

from charrnn.checkpoint import Checkpoint
from charrnn.config import HIDDEN_SIZES, PARAMETERS_PER_CHAR, ModelConfig
from charrnn.corpus import Streams
from charrnn.evaluate import WINDOW
from charrnn.evaluate.lanes import STEPS
from charrnn.evaluate.text import PARTS, SHORT
from charrnn.head import steps_at_once
from charrnn.model import CharRNN, parameter_shapes, size_of
from charrnn.network import Network
from charrnn.ops import Ids
from charrnn.plan import seconds_per_char, seconds_per_step
from charrnn.step import masks, shares
from charrnn.threads import jobs_at_once
from charrnn.train import out_of_patience, parts, scored, validation_due

Fit = Literal["suits", "too small", "too large"]
STEP_SECONDS, VALIDATION_SECONDS = 1.0, 0.5  # how long each is measured


@dataclass(frozen=True)
class Forecast:
    """What a run would take, and how its network fits its text."""

    parameters: int
    memory_bytes: int
    train_chars: int
    val_chars: int  # held out, of which a validation scores no more than VALIDATION_CHARS
    epochs: float  # of the whole budget, from step 0
    chars_per_second: float  # learnt from, validations not counted
    seconds: float  # for the steps and validations that are left
    fit: Fit
    suitable_hidden_size: int | None  # with all else as it is; None where none of HIDDEN_SIZES suits


def forecast(checkpoint: Checkpoint, ids: Ids) -> Forecast:
    """Measure a step and a validation on copies; return what the run would take from where it is.

    Raises what training would: TextError for a text too short, DivergedError for numbers no longer finite.
    """
    config, model = checkpoint.train, checkpoint.model
    to_learn, held_out = parts(checkpoint, ids)
    streams = Streams(to_learn, config.batch_size, config.seq_len, checkpoint.vocab.start_id)
    per_step = seconds_per_step(checkpoint, ids, STEP_SECONDS)
    to_score = scored(held_out)
    per_validation = seconds_per_char(checkpoint, to_score, VALIDATION_SECONDS) * len(to_score)
    steps, validations = still_to_do(checkpoint)
    fit, suitable = fit_to_text(model.config, len(to_learn))
    return Forecast(
        parameters=len(model.vector),
        memory_bytes=memory(checkpoint),
        train_chars=len(to_learn),
        val_chars=len(held_out),
        epochs=config.steps / streams.steps_per_epoch,
        chars_per_second=config.batch_size * config.seq_len / per_step,
        seconds=steps * per_step + validations * per_validation,
        fit=fit,
        suitable_hidden_size=suitable,
    )


def still_to_do(checkpoint: Checkpoint) -> tuple[int, int]:
    """Return how many steps and how many validations are left: one every so many steps, and one after the last."""
    step, steps, every = checkpoint.step, checkpoint.train.steps, checkpoint.train.eval_every
    due = int(validation_due(checkpoint))
    if step >= steps or out_of_patience(checkpoint):
        return 0, due
    return steps - step, due + -(-steps // every) - step // every


def memory(checkpoint: Checkpoint) -> int:
    """Return the bytes that training keeps allocated beside the program itself.

    That is the parameters, a gradient for each part of the streams, the optimizer's slots, the carried state, the best
    weights, and the workspaces of a window and, with held-out text, of a validation. Temporary arrays within a step or
    a save come and go on top of it.
    """
    config, model = checkpoint.train, checkpoint.model
    vectors = 1 + shares(model, config) + len(checkpoint.slots)
    state = sum(array.nbytes for layer in checkpoint.state for array in layer)
    training = state + sum(
        window_bytes(network, config.seq_len, config.batch_size, masks(config)) for network in model.networks
    )
    if not config.val_fraction:
        return vectors * model.vector.nbytes + training
    validation = window_bytes(model, WINDOW, 1, 0)
    if checkpoint.origin.chars * config.val_fraction >= SHORT:
        steps = steps_at_once(STEPS, model.config.vocab_size, -(-PARTS // jobs_at_once()))
        validation = model.vector.nbytes + window_bytes(model, steps, PARTS, 0)
    return (vectors + 1) * model.vector.nbytes + training + validation


def window_bytes(reader: CharRNN | Network, T: int, B: int, masks: int) -> int:
    """Return the bytes of its cache without allocating them: they are linear in T and in B, so two small ones tell.

    masks is 0, 1 or T, as in Network.cache.
    """
    one, two = (sum(part.nbytes for part in reader.cache(t, 1, min(t, masks)).values()) for t in (1, 2))
    return B * (one + (T - 1) * (two - one))


def fit_to_text(config: ModelConfig, chars: int) -> tuple[Fit, int | None]:
    """Compare parameters with characters to learn from; return the verdict, and the nearest hidden size that suits."""
    fewest, most = (rate * chars for rate in PARAMETERS_PER_CHAR)
    sizes = {H: size_of(parameter_shapes(replace(config, hidden_size=H))) for H in (config.hidden_size, *HIDDEN_SIZES)}
    parameters = sizes[config.hidden_size]
    suitable = [H for H, size in sizes.items() if fewest <= size <= most]
    if parameters < fewest:
        return "too small", min(suitable, default=None)
    if parameters > most:
        return "too large", max(suitable, default=None)
    return "suits", config.hidden_size
