"""charrnn eval: how well a model predicts a text, in bits per character."""

import math
from collections.abc import Mapping
from typing import Literal

from charrnn.checkpoint.paths import named_model
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
        "--against MODEL",
        "Score with this model too, and name the best; may be repeated.",
        autocompletion=options.model_names,
    ),
    score: str | None = option(
        "--score mean|sum|max|peak[:N]",
        "With --lines: bits of a line, its mean, sum or maximum per character, or the most of N in a row (8).",
        shown="mean; peak with --threshold auto",
    ),
    ignore: list[str] | None = option(
        "--ignore REGEX", "With --lines: do not score what matches; may be repeated. By default as in training."
    ),
    threshold: str | None = option(
        "--threshold X|auto[:RATE]",
        "With --lines: pass on only lines above X bits, or above what 1/1000 of ordinary lines (or RATE) exceed.",
    ),
    below: bool = option("--below", "With --threshold: pass on only lines below it.", False),
    context: int = option("--context N", "With --threshold: write N lines before and after each, too.", 0, min=0),
    exit_code: bool = option("--exit-code", "With --threshold: exit with 3 if a line was passed on.", False),
    summary: str | None = option("--summary N|TIME", "With --lines: write quantiles of every N lines, or every 1h."),
    against_baselines: bool = option(
        "--against-baselines", "Score with an order-7 model, gzip, bz2 and xz too.", False
    ),
    novelty: bool = option("--novelty", "Measure how much of each text is copied from the training text.", False),
    dynamic: bool = option(
        "--dynamic", "Learn from each character after scoring it; the model file stays unchanged.", False
    ),
    heatmap: bool = option("--heatmap", "Colour the text by how unexpected each character was.", False),
    top: int = option("--top N", "With --heatmap: write the N likeliest characters, too.", 0, shown=False, min=1),
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
) -> int:
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
    charrnn eval -m log --lines --threshold auto:1/400 --context 2 server.log
    charrnn eval -m log --lines --threshold auto --exit-code server.log
    charrnn eval -m log --lines --score peak --ignore '^[0-9:]+ ' server.log
    charrnn eval -m log --lines --score sum --summary 1000 server.log
    charrnn eval -m log --lines --encoding-errors replace server.log
    charrnn eval -m en --against de --against fr --lines letters.txt
    charrnn eval -m novel --per-char letter.txt
    printf 'It was th' | charrnn eval -m novel --next 5 -
    charrnn eval -m novel --heatmap letter.txt
    charrnn eval -m novel --heatmap --top 3 letter.txt
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
    check_needs(heatmap, "--heatmap", {"--top": top})
    check_threshold(threshold, below, mode, bool(against))
    check_needs(lines, "--lines", {"--ignore": ignore})
    rows_of_lines = "--lines" if mode in (None, "--lines") else f"--lines without {mode}"
    check_needs(mode == "--lines", rows_of_lines, {"--score": score, "--summary": summary})
    check_needs(not against, "one model: leave out --against", {"--summary": summary})
    of_filter = {"--below": below, "--context": context, "--exit-code": exit_code}
    check_needs(threshold is not None, "--threshold", of_filter)
    check_needs(not (json or summary), "lines: leave out --json and --summary", {"--context": context})
    pictures = given_pictures({"--html": html, "--svg": svg}, mode)
    options.use_threads(threads, shared=dynamic or mode in SINGLE_STREAM)
    against = against or []
    paths = [options.existing_model(model, quiet), *(named_model(other, "--against") for other in against)]
    from charrnn.api.model import load_file

    given = zip(paths, [model or str(paths[0]), *against], strict=True)
    models = [load_file(path, name) for path, name in given]
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
        from charrnn.cli.eval_characters import CharacterReader
        from charrnn.cli.eval_lines import patterns
        from charrnn.cli.eval_pictures import Canvas, draw_texts

        reader = CharacterReader(models[0], top, lines, *patterns(models[:1], names, ignore))
        draw_texts(names, Canvas(models[0], output, files), reader, neurons, neuron)
    elif novelty:
        from charrnn.cli.eval_novelty import write_novelty

        write_novelty(names, models[0], output)
    elif mode == "--lines":
        from charrnn.cli.eval_lines import FOUND, line_filter, score_lines

        wanted = line_filter(score, threshold, models[0], below, context)
        found = score_lines(names, models, output, wanted, ignore, summary)
        return FOUND * (exit_code and found)
    elif per_char or next_count is not None:
        from charrnn.cli.eval_characters import CharacterReader, score_characters, write_next
        from charrnn.cli.eval_lines import patterns

        if next_count is None:
            reader = CharacterReader(models[0], 0, lines, *patterns(models[:1], names, ignore))
            score_characters(names, reader, output)
        else:
            write_next(names, models[0], output, next_count)
    else:
        from charrnn.cli.eval_texts import score_against_baselines, score_texts

        if against_baselines:
            score_against_baselines(names, models[0], output, dynamic)
        else:
            score_texts(names, models, output, dynamic)
    return 0


def only_mode(modes: list[str], dynamic: bool, against_baselines: bool, against: bool) -> str | None:
    """Return the given mode, None to score whole texts; raises UsageError for options that exclude each other.

    Of --lines and a mode that can read line by line it is the latter.
    """
    if modes[:1] == ["--lines"] and modes[1:] in (["--per-char"], ["--heatmap"]):
        modes = modes[1:]
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


def check_needs(given: bool, needed: str, options: Mapping[str, object]) -> None:
    """Raise UsageError for the first of some options that was used without another one that it needs."""
    used = [name for name, value in options.items() if value]
    if used and not given:
        raise UsageError(f"{used[0]}: needs {needed}")


def check_threshold(threshold: str | None, below: bool, mode: str | None, against: bool) -> None:
    """Raise UsageError for a threshold that lines cannot be compared with."""
    if threshold is None:
        return
    if mode != "--lines":
        raise UsageError(f"--threshold {threshold}: needs --lines{f' without {mode}' if mode else ''}")
    if against:
        raise UsageError(f"--threshold {threshold}: takes one model: leave out --against")
    if threshold.partition(":")[0] == "auto":
        if below:
            raise UsageError(f"--threshold {threshold}: is for lines above it: leave out --below")
    elif not is_finite_number(threshold):
        raise UsageError(f"--threshold {threshold}: must be a number of bits, auto or auto:RATE")


def is_finite_number(text: str) -> bool:
    """Return whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def given_pictures(files: dict[str, str | None], mode: str | None) -> dict[str, str]:
    """Return the picture files that were given, by option; raises UsageError for a file without a picture."""
    given = {name: file for name, file in files.items() if file is not None}
    for name, file in given.items():
        if mode not in PICTURES:
            raise UsageError(f"{name} {file}: needs {' or '.join(PICTURES)}")
    return given
