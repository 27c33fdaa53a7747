"""charrnn eval: how well a model predicts a text, in bits per character."""

import math
from typing import Literal

from charrnn.cli import options
from charrnn.cli.options import option
from charrnn.cli.streams import Output
from charrnn.core.errors import UsageError
from charrnn.terminal.streams import Color

HEATMAPS = ("--heatmap", "--neurons", "--neuron")
PICTURES = (*HEATMAPS, "--memory")
SINGLE_STREAM = ("--per-char", "--next", *HEATMAPS)  # modes that read a text as one stream, without parallel passes


def evaluate(
    text: list[str] | None = options.argument("TEXT", "Files, - for stdin; none: the held-out part."),
    model: str | None = options.MODEL,
    lines: bool = option("--lines", "Score each line on its own: one row per line.", False),
    per_char: bool = option("--per-char", "Write one row per character: surprisal, probability and rank.", False),
    next_count: int | None = option("--next N", "Write the N most likely next characters after the text.", min=1),
    against: list[str] | None = option(
        "--against MODEL", "Score with this model too, and name the best; may be repeated."
    ),
    threshold: float | None = option("--threshold X", "With --lines: pass on only lines above X bits per character."),
    below: bool = option("--below", "With --threshold: pass on only lines below it.", False),
    against_baselines: bool = option(
        "--against-baselines", "Score with an order-7 model, gzip, bz2 and xz too.", False
    ),
    novelty: bool = option("--novelty", "Measure how much of each text is copied from the training text.", False),
    dynamic: bool = option(
        "--dynamic", "Learn from each character after scoring it; the model file stays unchanged.", False
    ),
    heatmap: bool = option("--heatmap", "Colour the text by how unexpected each character was.", False),
    neurons: bool = option("--neurons", "Find the units that follow a property of the text.", False),
    neuron: str | None = option("--neuron LAYER:UNIT", "Colour the text by the activation of this unit."),
    memory: bool = option("--memory", "Measure how far back the model remembers: gradients and losses by lag.", False),
    html: str | None = option("--html FILE", "Write the picture to an HTML page."),
    svg: str | None = option("--svg FILE", "Write the picture to an SVG file."),
    encoding_errors: Literal["strict", "replace"] = option(
        "--encoding-errors", "Bytes that are not UTF-8: stop with an error, or read them as U+FFFD.", "strict"
    ),
    threads: int | None = options.THREADS,
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    color: Color = options.COLOR,
    debug: bool = options.DEBUG,
) -> None:
    """Score texts in bits per character.

    Each text has a row: bits per character, characters, name. For example:

    \b
    charrnn eval -m novel chapter1.txt chapter2.txt
    charrnn eval -m novel --against-baselines
    charrnn eval -m novel --dynamic --threads 1 chapter1.txt
    charrnn eval -m novel --novelty chapter1.txt
    charrnn eval -m novel --lines chapter1.txt | sort -n | tail
    charrnn eval -m log --lines --threshold 4 server.log
    charrnn eval -m log --lines --threshold 1 --below server.log
    charrnn eval -m log --lines --encoding-errors replace server.log
    charrnn eval -m en --against de --against fr --lines letters.txt
    charrnn eval -m novel --per-char letter.txt
    printf 'It was th' | charrnn eval -m novel --next 5 -
    charrnn eval -m novel --heatmap letter.txt
    charrnn eval -m novel --neurons letter.txt
    charrnn eval -m novel --neuron 0:3 --html unit.html letter.txt
    charrnn eval -m novel --memory --svg memory.svg
    """
    modes = {
        "--lines": lines,
        "--per-char": per_char,
        "--next": next_count is not None,
        "--novelty": novelty,
        "--heatmap": heatmap,
        "--neurons": neurons,
        "--neuron": neuron is not None,
        "--memory": memory,
    }
    mode = only_mode([name for name, given in modes.items() if given], dynamic, against_baselines, bool(against))
    check_threshold(threshold, below, mode, bool(against))
    pictures = given_pictures({"--html": html, "--svg": svg}, mode)
    options.use_threads(threads, shared=dynamic or mode in SINGLE_STREAM)
    against = against or []
    paths = [options.existing_model(model, quiet), *(options.named_model(other, "--against") for other in against)]
    from charrnn.api import Model
    from charrnn.checkpoint.store import CheckpointStore

    given = zip(paths, [model or str(paths[0]), *against], strict=True)
    models = [Model(*CheckpointStore(path).load_model(), path, name) for path, name in given]
    names, output = text or [], Output(json, quiet)
    from charrnn.cli.eval_inputs import prepare

    prepare(names, encoding_errors, output)
    if mode in PICTURES:
        from charrnn.cli.picture_files import picture_files

        files = picture_files(pictures, names, models)
    if memory:
        from charrnn.cli.eval_memory import write_memory

        write_memory(names, models, output, files)
    elif mode in HEATMAPS:
        from charrnn.cli.eval_pictures import Canvas, draw_heatmap, draw_neuron, draw_neurons

        canvas = Canvas(models[0], output, files)
        if neuron is not None:
            draw_neuron(names, neuron, canvas)
        else:
            (draw_neurons if neurons else draw_heatmap)(names, canvas)
    elif novelty:
        from charrnn.cli.eval_novelty import write_novelty

        write_novelty(names, models[0], output)
    elif per_char or next_count is not None:
        from charrnn.cli.eval_characters import score_characters, write_next

        if next_count is None:
            score_characters(names, models[0], output)
        else:
            write_next(names, models[0], output, next_count)
    else:
        from charrnn.cli.eval_texts import score_against_baselines, score_lines, score_texts

        if lines:
            score_lines(names, models, output, threshold, below)
        elif against_baselines:
            score_against_baselines(names, models[0], output, dynamic)
        else:
            score_texts(names, models, output, dynamic)


def only_mode(modes: list[str], dynamic: bool, against_baselines: bool, against: bool) -> str | None:
    """Return the given mode, None to score whole texts; raises UsageError for options that exclude each other."""
    if len(modes) > 1:
        raise UsageError(f"{' and '.join(modes)}: give one of them")
    if modes and (dynamic or against_baselines):
        other = "--dynamic" if dynamic else "--against-baselines"
        raise UsageError(f"{other} scores whole texts: leave it out, or leave out {modes[0]}")
    if against and modes and modes[0] not in ("--lines", "--memory"):
        raise UsageError(f"{modes[0]} takes one model: leave it out, or leave out --against")
    if against and against_baselines:
        raise UsageError("--against and --against-baselines: give one of them")
    return modes[0] if modes else None


def check_threshold(threshold: float | None, below: bool, mode: str | None, against: bool) -> None:
    """Raise UsageError for a threshold that lines cannot be compared with."""
    if below and threshold is None:
        raise UsageError("--below: needs --threshold")
    if threshold is None:
        return
    if mode != "--lines":
        raise UsageError(f"--threshold {threshold}: needs --lines")
    if against:
        raise UsageError(f"--threshold {threshold}: takes one model: leave out --against")
    if not math.isfinite(threshold):
        raise UsageError(f"--threshold {threshold}: must be a number of bits per character")


def given_pictures(files: dict[str, str | None], mode: str | None) -> dict[str, str]:
    """Return the picture files that were given, by option; raises UsageError for a file without a picture."""
    given = {name: file for name, file in files.items() if file is not None}
    for name, file in given.items():
        if mode not in PICTURES:
            raise UsageError(f"{name} {file}: needs {' or '.join(PICTURES)}")
    return given
