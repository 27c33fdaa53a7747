"""Completion in bash, which breaks a word at `=`: `--model=v1` arrives as the three words `--model`, `=` and `v1`."""

import os


def join_options() -> None:
    """Let the words that bash passes on have an option and its value as two words, however they were typed."""
    words, at = os.environ.get("COMP_WORDS", "").split(), os.environ.get("COMP_CWORD", "")
    if os.environ.get("_CHARRNN_COMPLETE") != "complete_bash" or not at.isdecimal():
        return
    before, rest = words[: int(at)], words[int(at) :]
    joined = [word for i, word in enumerate(before) if not (word == "=" and before[i - 1].startswith("--"))]
    if rest == ["="]:
        rest = []  # nothing is typed after it yet
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = " ".join([*joined, *rest]), str(len(joined))
