"""charrnn eval: how well a model expects a text, in bits a character."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.cli.options import (
    ColorOption,
    DebugOption,
    JsonOption,
    ModelOption,
    QuietOption,
    ThreadsOption,
    existing_model,
    named_model,
    option,
    use_threads,
)
from charrnn.cli.streams import Output
from charrnn.errors import UsageError

if TYPE_CHECKING:
    from charrnn.cli.texts import Scorer


def evaluate(
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", show_default=False, help="Files, - for stdin; none: the held-out part."),
    ] = None,
    model: ModelOption = None,
    lines: Annotated[bool, option("--lines", text="A row a line, each scored on its own.")] = False,
    per_char: Annotated[
        bool, option("--per-char", text="A row a character: its surprisal, probability and rank.")
    ] = False,
    next_count: Annotated[
        int | None, option("--next", metavar="N", min=1, text="The N likeliest next characters after the text.")
    ] = None,
    against: Annotated[
        list[str] | None,
        option("--against", metavar="MODEL", text="Score by this model too, and name the best; may be repeated."),
    ] = None,
    threshold: Annotated[
        float | None,
        option("--threshold", metavar="X", text="With --lines: pass on only lines above X bits a character."),
    ] = None,
    below: Annotated[bool, option("--below", text="With --threshold: pass on only lines below it.")] = False,
    against_baselines: Annotated[
        bool, option("--against-baselines", text="Also score by an order-7 model, gzip, bz2 and xz.")
    ] = False,
    novelty: Annotated[
        bool, option("--novelty", text="How much of each text is copied from the training text.")
    ] = False,
    dynamic: Annotated[
        bool, option("--dynamic", text="Learn while reading, each character scored first; the file stays.")
    ] = False,
    heatmap: Annotated[
        bool, option("--heatmap", text="The text in colours: how unexpected each character was.")
    ] = False,
    neurons: Annotated[
        bool, option("--neurons", text="The units that follow something in the text, and what.")
    ] = False,
    neuron: Annotated[
        str | None, option("--neuron", metavar="LAYER:UNIT", text="The text in colours: what this unit holds.")
    ] = None,
    memory: Annotated[
        bool, option("--memory", text="How far back the model remembers: gradients and losses by lag.")
    ] = False,
    html: Annotated[str | None, option("--html", metavar="FILE", text="Put the picture into a page.")] = None,
    svg: Annotated[str | None, option("--svg", metavar="FILE", text="Put the picture into an SVG.")] = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Score texts in bits a character.

    A row a text: bits a character, characters, name. For example:

    \b
    charrnn eval -m novel chapter1.txt chapter2.txt
    charrnn eval -m novel --against-baselines
    charrnn eval -m novel --dynamic --threads 1 chapter1.txt
    charrnn eval -m novel --novelty chapter1.txt
    charrnn eval -m novel --lines chapter1.txt | sort -n | tail
    charrnn eval -m log --lines --threshold 4 server.log
    charrnn eval -m log --lines --threshold 1 --below server.log
    charrnn eval -m en --against de --against fr --lines letters.txt
    charrnn eval -m novel --per-char letter.txt
    printf 'It was th' | charrnn eval -m novel --next 5 -
    charrnn eval -m novel --heatmap letter.txt
    charrnn eval -m novel --neurons letter.txt
    charrnn eval -m novel --neuron 0:3 --html unit.html letter.txt
    charrnn eval -m novel --memory --svg memory.svg
    """
    pictures = {"--heatmap": heatmap, "--neurons": neurons, "--neuron": neuron is not None, "--memory": memory}
    check_together(
        {
            "--lines": lines,
            "--per-char": per_char,
            "--next": next_count,
            "--novelty": novelty,
            **pictures,
            "--memory": memory,
        },
        {"--dynamic": dynamic, "--against-baselines": against_baselines},
        against,
    )
    check_threshold(threshold, below, lines, against)
    check_files({"--html": html, "--svg": svg}, pictures)
    picture = next((name for name, given in pictures.items() if given), None)
    use_threads(threads, shared=dynamic or per_char or bool(next_count) or picture not in (None, "--memory"))
    paths = [existing_model(model, quiet), *(named_model(name, "--against") for name in against or ())]
    names = [model or str(paths[0]), *(against or ())]
    from charrnn.cli.texts import Scorer

    scorers = [Scorer.load(name, path) for name, path in zip(names, paths, strict=True)]
    texts, output = text or [], Output()
    if picture:
        draw(picture, neuron, texts, scorers, output, html, svg, json, quiet)
    elif lines:
        from charrnn.cli.eval_lines import Bar, score_lines

        score_lines(texts, scorers, output, json, None if threshold is None else Bar(threshold, below), quiet)
    elif per_char:
        from charrnn.cli.eval_characters import score_characters

        score_characters(texts, scorers[0], output, json, quiet)
    elif next_count:
        from charrnn.cli.eval_characters import tell_next

        tell_next(texts, scorers[0], output, json, next_count, quiet)
    elif novelty:
        from charrnn.cli.eval_novelty import tell_novelty

        tell_novelty(texts, scorers[0], output, json, quiet)
    elif against_baselines:
        from charrnn.cli.eval_texts import score_against_baselines

        score_against_baselines(texts, scorers[0], output, json, dynamic, quiet)
    else:
        from charrnn.cli.eval_texts import score_texts

        score_texts(texts, scorers, output, json, dynamic, quiet)


def draw(
    picture: str,
    neuron: str | None,
    texts: Sequence[str],
    scorers: "Sequence[Scorer]",
    output: Output,
    html: str | None,
    svg: str | None,
    json: bool,
    quiet: bool,
) -> None:
    """Draw the picture that an option names."""
    from charrnn.cli.picture_files import PictureFiles

    in_use = [str(path) for scorer in scorers for path in (scorer.path, *scorer.trained.origin.sources)]
    files = PictureFiles.named(html, svg, [*texts, *in_use], quiet)
    if picture == "--memory":
        from charrnn.cli.eval_memory import tell_memory

        tell_memory(texts, scorers, output, files, json, quiet)
        return
    from charrnn.cli.eval_pictures import Easel, draw_heatmap, draw_neuron, draw_neurons

    easel = Easel(scorers[0], output, files, json, quiet)
    if picture == "--heatmap":
        draw_heatmap(texts, easel)
    elif picture == "--neurons":
        draw_neurons(texts, easel)
    elif neuron is not None:
        draw_neuron(texts, neuron, easel)


def check_together(modes: dict[str, object], whole: dict[str, object], against: list[str] | None) -> None:
    """Raise UsageError for options of which only one can be had."""
    given = [name for name, value in modes.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)}: give one of them")
    others = [name for name, value in whole.items() if value]
    if given and others:
        raise UsageError(f"{others[0]} scores whole texts: leave it out, or {given[0]}")
    if against and given and given[0] not in ("--lines", "--memory"):
        raise UsageError(f"{given[0]} is of one model: leave it out, or --against")
    if against and whole["--against-baselines"]:
        raise UsageError("--against and --against-baselines: give one of them")


def check_files(files: dict[str, str | None], pictures: dict[str, bool]) -> None:
    """Raise UsageError for a file of a picture without a picture."""
    given = [name for name, file in files.items() if file is not None]
    if given and not any(pictures.values()):
        raise UsageError(f"{given[0]} {files[given[0]]}: needs {' or '.join(pictures)}")


def check_threshold(threshold: float | None, below: bool, lines: bool, against: list[str] | None) -> None:
    """Raise UsageError unless a threshold is one that lines can be held against."""
    if below and threshold is None:
        raise UsageError("--below: needs a --threshold")
    if threshold is None:
        return
    if not lines:
        raise UsageError(f"--threshold {threshold}: needs --lines")
    if against:
        raise UsageError(f"--threshold {threshold}: is for one model: leave out --against")
    if not math.isfinite(threshold):
        raise UsageError(f"--threshold {threshold}: must be a number of bits a character")
