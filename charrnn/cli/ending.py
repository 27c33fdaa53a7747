"""How a run ended: what it came to, and what to do next."""

import json
import sys
from typing import TYPE_CHECKING

from charrnn.cli.options import in_units
from charrnn.config import VALIDATION_CHARS
from charrnn.curve import curve
from charrnn.terminal import NOTES, card, columns, moves, say

if TYPE_CHECKING:
    from charrnn.checkpoint import Checkpoint

NOTICED = 0.02  # bits a character: less between two validations is taken for noise
LABELS = 10  # columns before the values of the card
LEGEND = ". training  o held out  * best; bits a character"


def tell_end(name: str, checkpoint: "Checkpoint", seconds: float, chars: int) -> None:
    """Tell on stderr what a run came to: as a card where a bar could move, elsewhere as keys and values."""
    following = f"charrnn sample -m {name}"
    advised = advice(checkpoint)
    if moves(sys.stderr):
        rows = came_to(checkpoint, seconds, chars, columns(sys.stderr) - LABELS)
        rows |= {"advice": advised} if advised else {}
        NOTES.write(card(f"{name} is done", rows | {"next": f"write more of it: {following}"}, sys.stderr))
        return
    say(" ".join(f"{key}={value}" for key, value in figures(name, checkpoint, seconds, chars).items()))
    for key, value in {"advice": advised, "next": following}.items():
        if value:
            say(f"{key}={json.dumps(value, ensure_ascii=False)}")


def came_to(checkpoint: "Checkpoint", seconds: float, chars: int, room: int) -> dict[str, str]:
    """Return what a run came to, as the rows of a card; the plot has so many columns."""
    from charrnn.evaluate import bits

    best, step, steps = checkpoint.best, checkpoint.step, checkpoint.train.steps
    rows = {"steps": f"{step:,} of {steps:,}{stopped(checkpoint)}"}
    if best:
        scored = f"{bits(best.nats):.3f} bits a character at step {best.step:,}, the best"
        rows["held out"] = scored + of_the_first(checkpoint)
    if chars:
        rows["time"] = f"{in_units(seconds)}, {chars / seconds:,.0f} characters a second"
    plot = losses(checkpoint, room)
    return rows | ({"losses": plot} if plot else {})


def of_the_first(checkpoint: "Checkpoint") -> str:
    """Say of which part of the held-out text a loss in training is, where that is not all of it."""
    held_out = checkpoint.origin.chars * checkpoint.train.val_fraction
    return f"; of the first {VALIDATION_CHARS:,} characters held out" if held_out > VALIDATION_CHARS else ""


def figures(name: str, checkpoint: "Checkpoint", seconds: float, chars: int) -> dict[str, object]:
    """Return the same as keys and values without blanks, for a log."""
    from charrnn.evaluate import bits

    best = checkpoint.best
    told: dict[str, object] = {"done": name, "step": checkpoint.step, "steps": checkpoint.train.steps}
    told |= {"patience": checkpoint.train.patience} if stopped(checkpoint) else {}
    told |= {"best_step": best.step, "best_val_bits": f"{bits(best.nats):.4f}"} if best else {}
    return told | {"seconds": f"{seconds:.1f}", "chars_per_second": f"{chars / seconds:.0f}"}


def stopped(checkpoint: "Checkpoint") -> str:
    """Say why a run ended before its steps were done, if it did."""
    from charrnn.train import out_of_patience

    if checkpoint.step >= checkpoint.train.steps or not out_of_patience(checkpoint):
        return ""
    return f", since {checkpoint.train.patience} validations brought no new best (--patience)"


def losses(checkpoint: "Checkpoint", room: int) -> str:
    """Return the curves of the losses with their legend; nothing where there is no course to show."""
    from charrnn.evaluate import bits

    history, best = checkpoint.history, checkpoint.best
    if len(history) < 2:
        return ""
    in_bits = [(step, bits(train_loss), bits(loss)) for step, train_loss, loss in history]
    return f"{curve(in_bits, best.step if best else None, room)}\n{LEGEND}"


def advice(checkpoint: "Checkpoint") -> str:
    """Say what the course of the held-out loss asks for, if anything."""
    from charrnn.evaluate import bits

    best, history = checkpoint.best, checkpoint.history
    if best is None:
        return "nothing is held out, so nothing tells how well it would do elsewhere: --val-fraction 0.1"
    step, _, last = history[-1]
    if bits(last - best.nats) > NOTICED:
        dropout = "more --dropout" if checkpoint.train.dropout else "--dropout"
        risen = f"held-out loss has risen since step {best.step:,}, by {bits(last - best.nats):.2f} bits"
        return f"{risen}: more text, a smaller network or {dropout} would help"
    if step == best.step and len(history) > 1 and bits(history[-2][2] - last) > NOTICED:
        fallen = f"held-out loss fell by {bits(history[-2][2] - last):.2f} bits in the last {step - history[-2][0]:,}"
        return f"{fallen} steps: a longer run would help (--steps, --epochs or --time)"
    return ""
