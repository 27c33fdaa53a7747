"""Texts in files and on stdin."""

import io
import sys
from pathlib import Path

import pytest

from charrnn.data.corpus import Corpus


def file_in(folder: Path, data: bytes, name: str = "a.txt") -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def text_of(corpus: Corpus) -> str:
    return corpus.vocab.decode(corpus.ids)


def give_stdin(patch: pytest.MonkeyPatch, data: bytes) -> None:
    patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
