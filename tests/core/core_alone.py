"""A program that uses charrnn.core and can import nothing else but NumPy and the standard library.

    python -I core_alone.py FOLDER         FOLDER has a package charrnn that contains only core

It builds a vocabulary and, for each cell, trains, validates, resumes, scores and samples; it prints results as JSON.
"""

import copy
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from itertools import islice
from types import ModuleType
from typing import Any

FOREIGN = ("typer", "tqdm", "rich", "pydantic", "click", "regex", "charrnn.data", "charrnn.evaluation", "charrnn.cli")
TEXT = (
    "".join(f"the {animal} {verb}\n" for animal in ("fox", "dog", "hen", "cat") for verb in ("ran", "sat", "hid")) * 12
)
STEPS = 50


class CoreOnly(MetaPathFinder):
    """Refuses every import but those of charrnn.core, of NumPy and of the standard library."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Raise ImportError for a module that is refused; leave others to the usual finders."""
        is_core = fullname == "charrnn" or f"{fullname}.".startswith("charrnn.core.")
        if not is_core and fullname.split(".")[0] not in {"numpy", *sys.stdlib_module_names}:
            raise ImportError(f"{fullname}: refused")


def is_refused(name: str) -> bool:
    """Return whether importing a module fails."""
    try:
        import_module(name)
    except ImportError:
        return True
    return False


def results(recurrence: str, **options: Any) -> dict[str, Any]:
    """Train a network of an entry of CELLS for 50 steps, resume it from its step 25, score and sample it."""
    import numpy as np

    from charrnn.core.config import ModelConfig, TrainConfig
    from charrnn.core.sample import generate, sample_rng
    from charrnn.core.score import score
    from charrnn.core.state import Origin, new_run
    from charrnn.core.train import EvalReport, StepReport, split_text, train
    from charrnn.core.vocab import CODE_POINTS, Vocab, codes_of

    vocab = Vocab.build(np.bincount(codes_of(TEXT), minlength=CODE_POINTS))
    ids = vocab.encode(TEXT)
    network = {name: options[name] for name in ("zoneout", "ensemble") if name in options}
    line_end = vocab.newline_id if options.get("lines") else None
    cell, _, activation = recurrence.partition("_")
    config = ModelConfig(len(vocab), cell, activation or "tanh", 16, 1, 8, line_end=line_end, **network)
    run = TrainConfig(
        STEPS, f"{STEPS} steps", 4, 16, options.get("dropout", 0.0), lr=0.03, warmup=5, eval_every=20, val_fraction=0.2
    )
    state = new_run(config, run, vocab, Origin(("text",), "", len(ids)))
    halfway, losses, validations = copy.deepcopy(state), list[float](), list[float]()
    for report in train(state, ids):
        if isinstance(report, StepReport):
            losses.append(report.loss)
            if report.step == STEPS // 2:
                halfway = copy.deepcopy(state)
        elif isinstance(report, EvalReport) and report.loss is not None:
            validations.append(report.loss)
    resumed = copy.deepcopy(halfway)
    steps_after_resume = sum(isinstance(report, StepReport) for report in train(resumed, ids))
    held_out = split_text(run, config, ids)[1]
    *_, scored = score(state.model, [held_out], vocab.start_id)
    text = islice(
        generate(state.model, vocab.encode("the "), sample_rng(1, 0), {"temperature": 0.8, "top_p": 0.9}), 200
    )
    return {
        "vocabulary": "".join(vocab.characters),
        "losses": losses,
        "validations": validations,
        "resumed at": halfway.step,
        "steps after resume": steps_after_resume,
        "resumed equals": resumed.model.vector.tobytes() == state.model.vector.tobytes()
        and all(resumed.slots[name].tobytes() == slot.tobytes() for name, slot in state.slots.items())
        and resumed.history == state.history,
        "halfway differs": bool((halfway.model.vector != state.model.vector).any()),
        "score": scored.nats_per_char,
        "sample": vocab.decode(text),
    }


def main(folder: str) -> None:
    """Print the results for every cell, and which modules were refused."""
    sys.meta_path.insert(0, CoreOnly())
    sys.path.insert(0, folder)
    from charrnn.core.cells import CELLS

    options = {"dropout": 0.1, "zoneout": 0.1, "lines": True, "ensemble": 2}
    answer = {
        "refused": [name for name in FOREIGN if is_refused(name)],
        "from": sys.modules["charrnn"].__file__,
        "cells": {name: results(name) for name in CELLS},
        "cells with all options": {name: results(name, **options) for name in ("rnn_tanh", "lstm", "gru")},
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
