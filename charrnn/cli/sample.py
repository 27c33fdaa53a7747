"""charrnn sample: more text of the kind a model has learnt."""

import os
import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from charrnn.cli.options import (
    ColorOption,
    DebugOption,
    JsonOption,
    ModelOption,
    QuietOption,
    ThreadsOption,
    existing_model,
    option,
    use_threads,
)
from charrnn.cli.streams import Output
from charrnn.errors import UsageError
from charrnn.terminal import say
from charrnn.threads import cores

if TYPE_CHECKING:
    from charrnn.ops import Ids
    from charrnn.sampling import Piece, Rule
    from charrnn.vocab import Vocab


def sample(
    context: typer.Context,
    model: ModelOption = None,
    length: Annotated[
        int, option("--length", "-n", metavar="N", min=-1, text="Characters to write; -1 is endless.", default=1000)
    ] = 1000,
    prompt: Annotated[str | None, option("--prompt", "-p", metavar="TEXT", text="Text to go on from.")] = None,
    prompt_file: Annotated[
        str | None, option("--prompt-file", metavar="FILE", text="A file with the text to go on from, - for stdin.")
    ] = None,
    no_echo: Annotated[bool, option("--no-echo", text="Leave the prompt out of what is written.")] = False,
    temperature: Annotated[
        float,
        option(
            "--temperature",
            "-t",
            metavar="X",
            text="Below 1 safer, above 1 wilder; 0 always takes the likeliest character.",
            default=0.8,
        ),
    ] = 0.8,
    top_k: Annotated[
        int | None, option("--top-k", metavar="K", text="Draw from the K likeliest characters alone.")
    ] = None,
    top_p: Annotated[
        float | None,
        option("--top-p", metavar="P", text="Draw from the fewest of the likeliest that make up P together."),
    ] = None,
    min_p: Annotated[
        float | None,
        option("--min-p", metavar="P", text="Draw from what is at least P times as likely as the likeliest."),
    ] = None,
    only: Annotated[str | None, option("--only", metavar="CHARS", text="Write these characters alone.")] = None,
    ban: Annotated[str | None, option("--ban", metavar="CHARS", text="Never write these characters.")] = None,
    regex: Annotated[
        str | None,
        option(
            "--regex", metavar="PATTERN", text="Every sample matches this pattern as a whole (extra charrnn[regex])."
        ),
    ] = None,
    no_copy: Annotated[
        int | None,
        option("--no-copy", metavar="N", min=1, text="Never more than N characters in a row from the training text."),
    ] = None,
    stop: Annotated[
        list[str] | None,
        option("--stop", metavar="TEXT", text="End a sample before this text; may be given several times."),
    ] = None,
    count: Annotated[
        int, option("--count", metavar="N", min=1, text="Samples to write, each ended by a newline.", default=1)
    ] = 1,
    seed: Annotated[
        int | None,
        option("--seed", metavar="N", min=0, text="The same seed writes the same text; random by default."),
    ] = None,
    unknown: Annotated[
        Literal["error", "skip"],
        option("--unknown", text="Prompt characters that the model has never seen.", default="error"),
    ] = "error",
    threads: ThreadsOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Write text of the kind a model has learnt.

    For example:

    \b
    charrnn sample -m novel -n 500 -p "It was " -t 0.7
    charrnn sample -m novel --prompt-file begun.txt --no-echo --unknown skip
    charrnn sample -m novel -n -1 | head -n 5
    charrnn sample -m novel --top-k 40 --top-p 0.95 --min-p 0.01
    charrnn sample -m novel --only 'aehnorst ' --threads 1
    charrnn sample -m novel --ban 0123456789 --no-copy 30
    charrnn sample -m names --count 50 --stop $'\\n' --seed 1
    charrnn sample -m log --count 1000 --regex '\\d{4}-\\d\\d-\\d\\d'
    """
    stops = stop_texts(context, stop or [])
    if length > sys.maxsize:
        raise UsageError(f"--length {length}: too long; -1 is endless")
    if regex is not None and stops:
        raise UsageError("--regex and --stop: give one of them, since a pattern tells itself where it ends")
    if length == -1 and (count > 1 or json) and not stops and regex is None:
        raise UsageError("--length -1 never ends: give a length, a --stop or a --regex with --count or --json")
    given = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    filters: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    use_threads(threads)
    from charrnn.checkpoint import CheckpointStore
    from charrnn.sampling import Wish, alphabet, samples

    Wish(filters=filters, stops=stops)  # what cannot be is refused before a model is looked for
    path = existing_model(model, quiet)
    trained = CheckpointStore(path).load_trained()
    vocab = trained.vocab
    allowed = alphabet(vocab, only, ban or "")
    filters |= {} if allowed is None else {"allowed": allowed}
    text = known(vocab, prompt_text(prompt, prompt_file, quiet), unknown, quiet)
    stops = [normalized_stop(vocab, stop_text, quiet) for stop_text in stops]
    room = None if length == -1 else length
    rules: Callable[[], Sequence[Rule]] = tuple
    if regex is not None or no_copy is not None:
        from charrnn.cli.sample_rules import rules_for

        rules = rules_for(trained, allowed, vocab.encode(text), room, regex, no_copy)
    wish = Wish(room, filters, stops, rules, scored=json)
    if seed is None:
        seed = secrets.randbits(32)
        if not quiet:
            say(f"seed: {seed}")
    pieces = samples(trained.model, vocab, prompt_ids(vocab, text), seed, count, wish, cores())
    echo = "" if no_echo else text
    if json:
        write_records(pieces, echo, {"seed": seed}, {"model": str(path)})
    else:
        write_text(pieces, echo)


def stop_texts(context: typer.Context, stops: list[str]) -> list[str]:
    """Return the texts that end a sample; a variable holds a single one, blanks and all, which typer would part."""
    source = context.get_parameter_source("stop")
    return [os.environ["CHARRNN_STOP"]] if source is not None and source.name == "ENVIRONMENT" else stops


def prompt_text(prompt: str | None, prompt_file: str | None, quiet: bool) -> str:
    """Return the text to go on from."""
    if prompt is not None and prompt_file is not None:
        raise UsageError("--prompt and --prompt-file: give one of them")
    if prompt_file is None:
        return prompt or ""
    from charrnn.corpus import read_text

    remarks: list[str] = []
    text = "".join(read_text(prompt_file, "none", remarks))
    for remark in remarks if not quiet else ():
        say(remark)
    return text


def known(vocab: "Vocab", text: str, unknown: str, quiet: bool) -> str:
    """Return the prompt in the model's normal form, without what it does not know, or raise UnknownCharacterError."""
    from charrnn.vocab import UNKNOWN, named, normalized

    text = normalized(text, vocab.normalize)
    if unknown == "error":
        vocab.encode_known(text)
        return text
    strange = [c for c, i in zip(text, vocab.encode(text), strict=True) if i == UNKNOWN]
    if strange and not quiet:
        say(f"left out of the prompt: {named(sorted(set(strange)))}")
    return "".join(c for c in text if c not in strange)


def normalized_stop(vocab: "Vocab", stop: str, quiet: bool) -> str:
    """Return a text that ends samples in the model's normal form; say so if it can never come."""
    from charrnn.vocab import named, normalized

    stop = normalized(stop, vocab.normalize)
    strange = sorted(set(stop) - set(vocab.characters[: len(vocab.symbols)]))
    if strange and not quiet:
        say(f"--stop {stop}: it never comes, since the model does not know {named(strange)}")
    return stop


def prompt_ids(vocab: "Vocab", text: str) -> "Ids":
    """Return the ids of a prompt after that of what stands before a text."""
    import numpy as np

    return np.concatenate([[vocab.start_id], vocab.encode(text)])


def write_text(pieces: "Iterable[Piece]", echo: str) -> None:
    """Write samples as they come, each after the prompt and ended by a newline."""
    output, begins = Output(), True
    for piece in pieces:
        output.write(echo + piece.text if begins else piece.text)
        begins = piece.finish is not None
        if begins:
            output.write("\n")


def write_records(pieces: "Iterable[Piece]", echo: str, first: dict[str, Any], last: dict[str, Any]) -> None:
    """Write an object a sample."""
    output, parts = Output(), [echo]
    for piece in pieces:
        parts.append(piece.text)
        if piece.finish is not None:
            record = {"text": "".join(parts), "nats_per_char": piece.nats_per_char, "finish": piece.finish}
            output.record({"index": piece.sample, **first, **record, **last})
            parts = [echo]
