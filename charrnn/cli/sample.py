"""charrnn sample: more text of the kind a model has learnt."""

import secrets
import sys
from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Literal

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

if TYPE_CHECKING:
    from numpy.random import Generator

    from charrnn.checkpoint import Checkpoint
    from charrnn.vocab import Vocab


def sample(
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

    For example: charrnn sample -n 500 -p "ROMEO:" -t 0.7
    """
    if length > sys.maxsize:
        raise UsageError(f"--length {length}: too long; -1 is endless")
    if length == -1 and (count > 1 or json):
        raise UsageError("--length -1 never ends: give a length with --count or --json")
    use_threads(threads)
    from charrnn.checkpoint import CheckpointStore
    from charrnn.sampling import check_temperature, sample_rng

    check_temperature(temperature)
    path = existing_model(model, quiet)
    checkpoint = CheckpointStore(path).load()
    text = known(checkpoint.vocab, prompt_text(prompt, prompt_file, quiet), unknown, quiet)
    if seed is None:
        seed = secrets.randbits(32)
        if not quiet:
            say(f"seed: {seed}")
    output = Output()
    for index in range(count):
        ids = write(checkpoint, text, sample_rng(seed, index), length, temperature)
        characters = (checkpoint.vocab.characters[drawn] for drawn in ids)
        echo = "" if no_echo else text
        if json:
            written = "".join(characters)
            output.record(
                {
                    "index": index,
                    "seed": seed,
                    "text": echo + written,
                    "nats_per_char": nats_per_char(checkpoint, text, written),
                    "finish": "length",
                    "model": str(path),
                }
            )
            continue
        for character in chain([echo], characters, ["\n"]):
            output.write(character)


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


def write(checkpoint: "Checkpoint", prompt: str, rng: "Generator", length: int, temperature: float) -> Iterator[int]:
    """Return the ids of one sample; a length of -1 never ends."""
    import numpy as np

    from charrnn.sampling import generate

    vocab = checkpoint.vocab
    ids = np.concatenate([[vocab.start_id], vocab.encode(prompt)])
    banned = np.array([len(vocab) - 1]) if vocab.unknown else None  # the unknown symbol stands for no character
    endless = generate(checkpoint.best_model, ids, rng, temperature, banned)
    return endless if length == -1 else islice(endless, length)


def nats_per_char(checkpoint: "Checkpoint", prompt: str, written: str) -> float | None:
    """Return what the characters written cost the model, on average, after the prompt."""
    from charrnn.evaluate import score_ids

    if not written:
        return None
    model, vocab = checkpoint.best_model, checkpoint.vocab
    both, before = (score_ids(model, [vocab.encode(text)], vocab.start_id) for text in (prompt + written, prompt))
    return (both.nats - before.nats) / len(written)
