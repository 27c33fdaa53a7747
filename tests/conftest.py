"""Fixtures of several folders, most of them of the command-line tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from charrnn.core import ops
from tests.helpers.command import NETWORK, TEXT, Result, ok
from tests.helpers.signals import ignore_in_python

ignore_in_python()


class Run(NamedTuple):
    model: Path
    result: Result  # of train --json


def trained_run(folder: Path, steps: int) -> Run:
    (folder / "a.txt").write_text(TEXT)
    result = ok("train", "a.txt", *NETWORK, "--steps", steps, "--json", cwd=folder)
    return Run(folder / "checkpoints" / "a.npz", result)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run, trained once; tests work on copies of its model."""
    return trained_run(tmp_path_factory.mktemp("trained"), 40)


@pytest.fixture(scope="session")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run long enough to be stopped by a reader of its events; tests compare interrupted runs with it."""
    return trained_run(tmp_path_factory.mktemp("long_run"), 120)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, which contains a text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture
def model(work: Path, trained: Run) -> Path:
    """A trained model in the working folder."""
    path = work / "checkpoints" / "a.npz"
    path.parent.mkdir()
    shutil.copy(trained.model, path)
    return path


@pytest.fixture
def small_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the matrix library had kernels for small products; results must be the same with any library."""
    monkeypatch.setattr(ops, "ROW_BLOCKS", True)
    ops.block_size.cache_clear()
    yield
    ops.block_size.cache_clear()
