"""charrnn train: learn from texts."""

import time
from contextlib import nullcontext
from typing import Any, Literal

import typer

from charrnn.cli import options
from charrnn.cli.options import option
from charrnn.cli.settings_sources import typed, use_file, use_preset
from charrnn.cli.streams import Interrupt, Output, die_by_signal
from charrnn.cli.train_settings import DEFAULTS, OF_NETWORK, SETTINGS
from charrnn.cli.variables import from_variables, place
from charrnn.terminal.streams import Color, say_warning
from charrnn.training.presets import PRESETS
from charrnn.training.settings import checked_settings, given_budget

HELP_GROUPS = {  # the options in the order of the help, by the names of their parameters
    "Network": ["cell", "activation", "hidden_size", "num_layers", "embed_size", "ensemble", "init_from"],
    "Text": ["lines", "ignore", "min_count", "encoding", "encoding_errors", "normalize", "val_fraction", "holdout"],
    "Budget": ["epochs", "steps", "time_", "more", "patience", "threads", "dry_run"],
    "Optimization": [
        "preset",
        "config_file",
        "optimizer",
        "lr",
        "schedule",
        "warmup",
        "grad_clip",
        "keep_going",
        "batch_size",
        "seq_len",
        "seed",
    ],
    "Regularisation": ["dropout", "variational_dropout", "zoneout", "weight_decay"],
    "Output": [
        "model",
        "resume",
        "force",
        "save_every",
        "eval_every",
        "sample_every",
        "json",
        "quiet",
        "color",
        "debug",
        "help",
    ],
}


@options.with_settings(SETTINGS, {**DEFAULTS, "normalize": "none"})
def train(
    context: typer.Context,
    corpus: list[str] | None = options.argument(
        "CORPUS", "Text files, folders (all their *.txt) or - for stdin; the bundled plays by default."
    ),
    model: str | None = options.MODEL,
    epochs: int | None = option("--epochs N", "Train for N passes over the text in all."),
    steps: int | None = option("--steps N", "Train for N steps in all."),
    time_: str | None = option("--time TIME", "Train for this long in all, start-up included: 90, 30s, 3m or 1h30m."),
    more: str | None = option(
        "--more N|TIME", "With --resume, train for N more steps (2000), or this much longer (5m)."
    ),
    save_every: str = option("--save-every N|TIME", "Steps (200) or time (30s) between saves.", "30s"),
    sample_every: str | None = option(
        "--sample-every N|TIME",
        "Steps or time between samples shown during training; 0 for none.",
        shown="five previews on a terminal",
    ),
    resume: bool = option("--resume", "Continue training the model, or start it if it does not exist.", False),
    init_from: str | None = option(
        "--init-from MODEL",
        "Start from the best weights of another model; none for random ones.",
        shown="english for most texts in Latin letters",
        autocompletion=options.model_names,
    ),
    ignore: list[str] | None = option(
        "--ignore REGEX", "With --lines: neither learn nor score what matches; may be repeated."
    ),
    keep_going: bool = option("--keep-going", "Train on when the loss has exploded.", False),
    force: bool = option("--force", "Replace an existing model.", False),
    dry_run: bool = option("--dry-run", "Show what would be done and how long it would take; write no file.", False),
    preset: Literal[tuple(PRESETS)] | None = option(  # type: ignore[valid-type]
        "--preset", "Named settings, which other options override.", callback=use_preset, is_eager=True
    ),
    config_file: str | None = option(
        "--config FILE",
        "TOML file with values of these options, which the command line overrides.",
        callback=use_file,
        is_eager=True,
    ),
    threads: int | None = options.THREADS,
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    color: Color = options.COLOR,
    debug: bool = options.DEBUG,
    **settings: Any,
) -> None:
    """Learn from texts.

    Save the model in one file and print its path. For example: charrnn train novel.txt --time 3m
    """
    began = time.perf_counter()
    sources, settings = tuple(corpus or ()), checked_settings(settings)
    budgets = {"steps": steps, "epochs": epochs, "time": time_, "more": more}
    budget = given_budget({name: value for name, value in budgets.items() if value is not None}, resume)
    options.use_threads(threads)
    from charrnn.cli.reporter import Reporter
    from charrnn.cli.summary import print_estimate
    from charrnn.cli.train_loop import finished_notes, report_run
    from charrnn.training.model_file import open_store, sole_writer
    from charrnn.training.run import begin
    from charrnn.training.start import NONE, Request
    from charrnn.training.timer import Timer

    variables = frozenset(from_variables(context))
    if variables & {"preset", "config_file"}:  # what they set is not typed either
        variables |= {name for name in (*settings, "ignore") if place(context, name) == "DEFAULT_MAP"}
    typed_settings = {name for name in settings if place(context, name) == "COMMANDLINE"}
    if place(context, "init_from") == "DEFAULT_MAP" and typed_settings & OF_NETWORK:
        init_from = NONE  # what is typed asks for another network than the file starts from
    if "cell" in typed_settings and settings["cell"] != "rnn" and "activation" not in typed_settings:
        settings.pop("activation", None)
    request = Request(sources, settings, budget, resume, force, init_from, tuple(ignore or ()), variables)
    timer = Timer(save_every, "--save-every")
    store = open_store(model, sources)
    output = Output(json, quiet)
    if preset is not None:
        output.note(f"preset {preset}: {typed(PRESETS[preset])}")
    with nullcontext() if dry_run else sole_writer(store, say_warning):
        run = begin(store, request, timer, keep_going, began, say_warning)
        reporter = Reporter(store.name, run.state, output, sample_every)
        if dry_run:
            reporter.corpus_notes(run.text)
            return print_estimate(store.name, run.state, run.text, output)
        reporter.started(run.text)
        output.note(*finished_notes(run.state))
        with Interrupt() as interrupt:
            report_run(run, reporter, interrupt)
    if interrupt.number:
        die_by_signal(interrupt.number)
    reporter.done()
    if not json:
        output.write(f"{store.name}\n")
