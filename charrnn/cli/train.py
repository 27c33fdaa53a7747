"""charrnn train: learn from a text."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from charrnn.cli.begin import fresh, resumed, started_from
from charrnn.cli.foretell import foretell
from charrnn.cli.options import (
    ColorOption,
    DebugOption,
    JsonOption,
    ModelOption,
    QuietOption,
    ThreadsOption,
    duration,
    model_names,
    option,
    use_threads,
    was_typed,
)
from charrnn.cli.run import run
from charrnn.cli.streams import Interrupt, Output, die_by
from charrnn.cli.watch import Clock, Watch
from charrnn.config import Budget, ModelConfig, TrainConfig, require
from charrnn.errors import CheckpointError, TextError, UsageError
from charrnn.places import folder, model_path

if TYPE_CHECKING:
    from charrnn.checkpoint import CheckpointStore

TRAINING = set(TrainConfig.__dataclass_fields__)
CLASSICS = ("tinyshakespeare", "mobydick", "kjv", "sqlite")  # what corpora/download.py fetches
SETTINGS = {*ModelConfig.__dataclass_fields__, *TrainConfig.__dataclass_fields__, "normalize", "lines"} - {"steps"}


def train(
    context: typer.Context,
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CORPUS",
            show_default=False,
            help="Text files, folders (their *.txt), - for stdin; none: the bundled plays.",
        ),
    ] = None,
    model: ModelOption = None,
    cell: Annotated[
        Literal["rnn", "lstm", "gru"] | None,
        option("--cell", metavar="rnn|lstm|gru", text="The recurrence: plain or gated.", default=ModelConfig.cell),
    ] = None,
    activation: Annotated[
        Literal["tanh", "relu"] | None,
        option("--activation", metavar="tanh|relu", text="Of the plain RNN alone.", default=ModelConfig.activation),
    ] = None,
    hidden_size: Annotated[
        int | None, option("--hidden-size", metavar="N", text="Units a layer.", default=ModelConfig.hidden_size)
    ] = None,
    num_layers: Annotated[
        int | None, option("--num-layers", metavar="N", text="Layers, at most 12.", default=ModelConfig.num_layers)
    ] = None,
    embed_size: Annotated[
        int | None,
        option("--embed-size", metavar="N", text="Numbers that stand for a symbol.", default=ModelConfig.embed_size),
    ] = None,
    dropout: Annotated[
        float | None,
        option(
            "--dropout",
            metavar="P",
            text="Share of each layer's outputs to drop in training; more on small texts.",
            default=TrainConfig.dropout,
        ),
    ] = None,
    variational_dropout: Annotated[
        float | None,
        option(
            "--variational-dropout",
            metavar="P",
            text="The same, drawn once a window.",
            default=TrainConfig.variational_dropout,
        ),
    ] = None,
    zoneout: Annotated[
        float | None,
        option("--zoneout", metavar="P", text="Share of units that keep their state.", default=ModelConfig.zoneout),
    ] = None,
    ensemble: Annotated[
        int | None,
        option(
            "--ensemble",
            metavar="N",
            text="Networks that learn side by side, a core each; their mean is the model.",
            default=ModelConfig.ensemble,
        ),
    ] = None,
    seq_len: Annotated[
        int | None,
        option("--seq-len", metavar="N", text="Characters a window.", default=TrainConfig.seq_len),
    ] = None,
    batch_size: Annotated[
        int | None,
        option(
            "--batch-size",
            metavar="N",
            text="Streams of text side by side; fewer on small texts.",
            default=TrainConfig.batch_size,
        ),
    ] = None,
    optimizer: Annotated[
        Literal["sgd", "adagrad", "rmsprop", "adam", "adamw"] | None,
        option(
            "--optimizer", metavar="sgd|adagrad|rmsprop|adam|adamw", text="The update.", default=TrainConfig.optimizer
        ),
    ] = None,
    lr: Annotated[
        float | None, option("--lr", metavar="X", text="Learning rate at its highest.", default=TrainConfig.lr)
    ] = None,
    schedule: Annotated[
        Literal["constant", "linear", "cosine"] | None,
        option(
            "--schedule",
            metavar="constant|linear|cosine",
            text="The way of the learning rate after the warm-up.",
            default=TrainConfig.schedule,
        ),
    ] = None,
    warmup: Annotated[
        int | None,
        option(
            "--warmup", metavar="N", text="Steps until the learning rate is at its highest.", default=TrainConfig.warmup
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        option(
            "--weight-decay",
            metavar="X",
            text="How fast weight matrices shrink; apart from the gradient with adamw.",
            default=TrainConfig.weight_decay,
        ),
    ] = None,
    grad_clip: Annotated[
        float | None,
        option(
            "--grad-clip", metavar="X", text="Norm that gradients are scaled down to.", default=TrainConfig.grad_clip
        ),
    ] = None,
    epochs: Annotated[int | None, option("--epochs", metavar="N", text="Budget: so many times the text.")] = None,
    steps: Annotated[int | None, option("--steps", metavar="N", text="Budget: so many updates.")] = None,
    time_: Annotated[
        str | None, option("--time", metavar="TIME", text="Budget: so long, everything included: 90, 30s, 3m, 1h30m.")
    ] = None,
    val_fraction: Annotated[
        float | None,
        option(
            "--val-fraction",
            metavar="X",
            text="Share of the text held out, from its end; 0: none.",
            default=TrainConfig.val_fraction,
        ),
    ] = None,
    eval_every: Annotated[
        int | None,
        option("--eval-every", metavar="N", text="Steps between validations; ten a run, fewer where one is long."),
    ] = None,
    patience: Annotated[
        int | None,
        option(
            "--patience",
            metavar="N",
            text="Stop after N validations without a new best; 0: never.",
            default=TrainConfig.patience,
        ),
    ] = None,
    save_every: Annotated[
        str, option("--save-every", metavar="N|TIME", text="Steps (200) or time (30s) between saves.", default="30s")
    ] = "30s",
    sample_every: Annotated[
        str | None,
        option("--sample-every", metavar="N|TIME", text="Steps or time between previews of what it writes by then."),
    ] = None,
    resume: Annotated[bool, option("--resume", text="Go on with the model; start it if it is not there.")] = False,
    init_from: Annotated[
        str | None,
        option(
            "--init-from",
            metavar="MODEL",
            text="Start from the best weights of another model.",
            autocompletion=model_names,
        ),
    ] = None,
    force: Annotated[bool, option("--force", text="Replace a model that exists.")] = False,
    lines: Annotated[bool | None, option("--lines", text="Learn each line as an example of its own.")] = None,
    min_count: Annotated[
        int | None,
        option(
            "--min-count",
            metavar="N",
            text="Characters that occur less often become one unknown symbol.",
            default=TrainConfig.min_count,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        option("--encoding", metavar="NAME", text="Of the text, by Python's names.", default=TrainConfig.encoding),
    ] = None,
    normalize: Annotated[
        Literal["none", "nfc", "nfd"] | None,
        option("--normalize", metavar="none|nfc|nfd", text="Unicode form to read texts in.", default="none"),
    ] = None,
    seed: Annotated[
        int | None,
        option(
            "--seed", metavar="N", text="The same seed, text and options give the same file.", default=TrainConfig.seed
        ),
    ] = None,
    dry_run: Annotated[
        bool, option("--dry-run", text="Tell what would be done and how long it would take; write no file.")
    ] = False,
    threads: ThreadsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Learn from texts.

    The model is kept in one file, whose path is printed. For example: charrnn train novel.txt --time 3m
    """
    begun = time.perf_counter()
    given = {name: value for name, value in locals().items() if name in SETTINGS and value is not None}
    TrainConfig(1, "", **{name: value for name, value in given.items() if name in TRAINING})  # refuse wrong values now
    budget, saves = chosen_budget(context, steps=steps, epochs=epochs, time_=time_), Clock(save_every, "--save-every")
    use_threads(threads)
    from charrnn.checkpoint import CheckpointStore
    from charrnn.plan import Deadline, fit_to_time

    sources = tuple(corpus or ())
    store = CheckpointStore(model_path(model) if model is not None else folder() / f"{stem(sources)}.npz")
    refuse_a_text_to_fetch(sources)
    refuse_the_corpus(store, sources)
    refuse_a_missing_folder(store)
    output = Output()
    with nullcontext() if dry_run else sole_writer(store):
        going_on = resume and store.exists()
        if store.exists() and not (going_on or force):
            raise CheckpointError(f"{store.name}: exists: go on with it by --resume, or replace it by --force")
        if going_on:
            checkpoint, text = resumed(store, sources, given, budget)
        elif init_from is not None:
            checkpoint, text = started_from(init_from, sources, given, budget)
        else:
            checkpoint, text = fresh(sources, given, budget)
        deadline = None
        if budget.kind == "seconds" and checkpoint.train.budget != str(budget):
            fitted, per_validation = fit_to_time(checkpoint, text.ids, budget, time.perf_counter() - begun)
            checkpoint.train = replace(fitted, eval_every=eval_every or fitted.eval_every)
            deadline = Deadline(checkpoint, begun + budget.amount, per_validation)
        previews = Clock(sample_every, "--sample-every") if sample_every is not None else None
        watch = Watch(store.name, checkpoint, output if json else None, talks=not quiet, previews=previews)
        if dry_run:
            watch.remarks(text)
            return foretell(store.name, checkpoint, text, output, json)
        watch.started(text)
        with Interrupt() as interrupt:
            run(checkpoint, text, store, saves, watch, interrupt, deadline)
    if interrupt.number:
        die_by(interrupt.number)
    watch.done()
    if not json:
        output.write(f"{store.name}\n")


def chosen_budget(context: typer.Context, **given: int | str | None) -> Budget:
    """Return the one budget that was given, or the default one; the command line goes before variables."""
    budgets = {name: value for name, value in given.items() if value is not None}
    typed = {name: value for name, value in budgets.items() if was_typed(context, name)} or budgets
    if len(typed) > 1:
        raise UsageError("--steps, --epochs and --time: give one of them")
    for name, value in typed.items():
        if name == "time_":
            return Budget("seconds", duration(str(value), "--time"))
        require(int(value) >= 1, f"--{name}", value, "at least 1")
        return Budget("epochs" if name == "epochs" else "steps", int(value))
    return Budget()


def stem(sources: tuple[str, ...]) -> str:
    """Return the name of a model whose user gave none: the first corpus's."""
    first = sources[0] if sources else "plays"
    return "stdin" if first == "-" else Path(first).resolve().stem or "model"


def refuse_the_corpus(store: "CheckpointStore", sources: tuple[str, ...]) -> None:
    """Raise UsageError rather than write a model over a text that it would be trained on."""
    from charrnn.corpus import expand

    if any(os.path.realpath(source) == str(store.path) for source in expand(sources)):
        raise UsageError(f"--model {store.name}: is the corpus itself; name another file for the model")


def refuse_a_text_to_fetch(sources: tuple[str, ...]) -> None:
    """Raise TextError for a classic text that is not there: say how it is fetched."""
    for source in sources:
        stem = Path(source).stem.lower()
        name = "tinyshakespeare" if "shakespeare" in stem else stem
        if name in CLASSICS and not os.path.exists(source):
            raise TextError(f"{source}: no such file: `python corpora/download.py {name}` fetches {name}.txt")


def refuse_a_missing_folder(store: "CheckpointStore") -> None:
    """Raise CheckpointError unless the model's folder is there, or is the folder of models, which is made."""
    place = store.path.parent
    if not place.is_dir() and place != Path(os.path.realpath(folder())):
        raise CheckpointError(f"{store.name}: no such folder: make it first, or give a bare name")


@contextmanager
def sole_writer(store: "CheckpointStore") -> Iterator[None]:
    """Lock the model from before it is read until it is done; the folder of models is made, and goes if left empty."""
    place = store.path.parent
    new = not place.is_dir()
    try:
        place.mkdir(exist_ok=True)
        with store.lock():
            yield
    finally:
        if new:
            with suppress(OSError):
                place.rmdir()
