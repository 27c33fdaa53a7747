"""charrnn sample: text written by a trained model."""

import secrets
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from charrnn.cli import options
from charrnn.cli.options import option
from charrnn.cli.streams import Output
from charrnn.core.errors import UsageError
from charrnn.parallel.cores import core_count
from charrnn.terminal.streams import Color, is_terminal, say_warning


def sample(
    name: str | None = options.argument("MODEL", "The model, like --model.", autocompletion=options.model_names),
    model: str | None = options.MODEL,
    length: int = option("--length -n N", "Characters to write; -1 for no end.", 1000, min=-1),
    prompt: str | None = option("--prompt -p TEXT", "Text to continue."),
    prompt_file: str | None = option("--prompt-file FILE", "File with the text to continue, - for stdin."),
    no_echo: bool = option("--no-echo", "Leave the prompt out of the output.", False),
    temperature: float = option(
        "--temperature -t X",
        "Randomness: below 1 safer, above 1 wilder; 0 always takes the most likely character.",
        0.8,
    ),
    top_k: int | None = option("--top-k K", "Draw only from the K most likely characters."),
    top_p: float | None = option("--top-p P", "Draw only from the most likely characters with total probability P."),
    min_p: float | None = option("--min-p P", "Draw only from characters at least P times as likely as the likeliest."),
    only: str | None = option("--only CHARS", "Write only these characters."),
    ban: str | None = option("--ban CHARS", "Never write these characters."),
    regex: str | None = option("--regex PATTERN", "Pattern that each whole sample matches (extra regex: more syntax)."),
    regex_file: str | None = option("--regex-file FILE", "File with such a pattern, for example one of many words."),
    grammar: str | None = option("--grammar FILE", "Lark grammar that each sample conforms to (extra grammar)."),
    json_schema: str | None = option("--json-schema FILE", "JSON Schema that each sample conforms to."),
    unique: bool = option("--unique", "Write no sample twice.", False),
    no_copy: int | None = option("--no-copy N", "Copy at most N consecutive characters of the training text.", min=1),
    stop: list[str] | None = option("--stop TEXT", "End a sample before this text; may be given several times."),
    count: int = option("--count N", "Samples to write, each ended by a newline.", 1, min=1),
    seed: int | None = option("--seed N", "Random seed: the same seed writes the same text; random by default.", min=0),
    unknown: Literal["error", "skip"] = option(
        "--unknown", "Unknown characters of the prompt: stop with an error, or skip them.", "error"
    ),
    interactive: bool = option(
        "--interactive -i", "Continue prompts that are typed on a terminal; /help there.", False
    ),
    threads: int | None = options.THREADS,
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    color: Color = options.COLOR,
    debug: bool = options.DEBUG,
) -> None:
    """Write text with a trained model.

    For example:

    \b
    charrnn sample novel
    charrnn sample novel --interactive --temperature 0.6
    charrnn sample -m novel -n 500 -p "It was " -t 0.7
    charrnn sample -m novel --prompt-file letter.txt --no-echo --unknown skip
    charrnn sample -m novel -n -1 | head -n 5
    charrnn sample -m novel --top-k 40 --top-p 0.95 --min-p 0.01
    charrnn sample -m novel --only 'aehnorst ' --threads 1
    charrnn sample -m novel --ban 0123456789 --no-copy 30
    charrnn sample -m names --count 50 --stop $'\\n' --seed 1
    charrnn sample -m log --count 1000 --regex '\\d{4}-\\d\\d-\\d\\d'
    charrnn sample -m log --regex-file words.txt
    charrnn sample -m records --count 1000 --json-schema record.json --unique
    charrnn sample -m sums --grammar sums.lark -p '2*('
    """
    stops = stop or []
    if length > sys.maxsize:
        raise UsageError(f"--length {length}: too large; use -1 for no end")
    if interactive:
        check_interactive({"--count": count > 1, "--unique": unique, "--json": json})
    has_end = bool(stops) or any(each is not None for each in (regex, regex_file, grammar, json_schema))
    if length == -1 and (count > 1 or json or unique) and not has_end:
        raise UsageError("--length -1 never ends: give a length, --stop, --regex or --grammar with --count or --json")
    options.use_threads(threads)
    from charrnn.api.model import load_file
    from charrnn.api.sampling import Sampling, pieces, sample_options
    from charrnn.cli.sample_text import known_text, pattern_text, prompt_text, write_pieces
    from charrnn.data.sources import STDIN
    from charrnn.terminal.progress import Wait

    wanted = Sampling(  # refuses wrong values before a model is looked for
        length=None if length == -1 else length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        only=only,
        ban=ban or "",
        regex=regex,
        grammar=grammar,
        json_schema=json_schema,
        no_copy=no_copy,
        stop=stops,
        echo=not no_echo,
    )
    files = {
        "--prompt-file": prompt_file,
        "--regex-file": regex_file,
        "--grammar": grammar,
        "--json-schema": json_schema,
    }
    from_stdin = [option for option, file in files.items() if file == STDIN]
    if len(from_stdin) > 1:
        raise UsageError(f"{' and '.join(from_stdin)}: only one of them can read stdin")
    output = Output(json, quiet)
    wanted = replace(wanted, regex=pattern_text(regex, regex_file, output))
    path = options.existing_model(model, quiet, name)
    trained = load_file(path, model or name or str(path))
    text = known_text(trained.vocab, prompt_text(prompt, prompt_file, output), unknown, output)
    chosen = secrets.randbits(32) if seed is None else seed
    if interactive:
        from charrnn.cli.sample_interactive import Session

        drawn, make = sample_options(trained, trained.vocab.encode(text), wanted, note=output.note, warn=say_warning)
        note_seed(output, seed, chosen)
        return Session(trained, drawn, make, chosen, unknown, wanted.echo, output).run(text)
    with Wait("reading the prompt", len(text), quiet) as wait:
        found = pieces(
            trained,
            text,
            chosen,
            wanted,
            count,
            unique=unique,
            scored=json,
            cores=core_count(),
            note=output.note,
            warn=say_warning,
            report=wait,
        )
    note_seed(output, seed, chosen)
    write_pieces(found, text if wanted.echo else "", output, chosen, str(path))


def note_seed(output: Output, given: int | None, chosen: int) -> None:
    """Note the seed if it was chosen at random."""
    if given is None:
        output.note(f"seed: {chosen}")


def check_interactive(others: Mapping[str, bool]) -> None:
    """Raise UsageError unless stdin and stdout are a terminal, and for options that a conversation has no use for."""
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise UsageError("--interactive: needs a terminal; elsewhere use --prompt TEXT or --prompt-file -")
    for name, given in others.items():
        if given:
            raise UsageError(f"--interactive and {name}: give one of them")
