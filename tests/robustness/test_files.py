"""Arbitrary values in model files, and files that must always load."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from charrnn.checkpoint.format import to_bytes
from charrnn.checkpoint.store import CheckpointStore
from tests.helpers.before import as_version_1
from tests.helpers.command import ok
from tests.helpers.files import manifest_of, members, npy, with_array, with_entry, with_member
from tests.robustness.damage import loaded, smallest

KEPT = Path(__file__).parents[1] / "fixtures"
GOOD = smallest()
Value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(width=64, allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def paths(node: dict[str, Any], above: str = "") -> list[str]:
    """Return the paths of all keys of a manifest."""
    inner = [paths(value, f"{above}{key}/") for key, value in node.items() if isinstance(value, dict)]
    return [f"{above}{key}" for key in node if "." not in key] + [path for some in inner for path in some]


def assert_refused_or_consistent(data: bytes) -> None:
    found = loaded(data)
    assert found is None or loaded(found) == found


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.sampled_from(paths(manifest_of(GOOD))), Value)
def test_any_value_of_any_field_is_refused_or_consistent(path: str, value: object) -> None:
    assert_refused_or_consistent(with_entry(GOOD, path, value))


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    st.sampled_from([name.removesuffix(".npy") for name in members(GOOD) if name != "manifest.npy"]),
    arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(min_dims=0, max_dims=3, max_side=4)),
)
def test_any_array_as_any_member_is_refused_or_consistent(name: str, array: Any) -> None:
    assert_refused_or_consistent(with_array(GOOD, name, array))


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.sampled_from([name.removesuffix(".npy") for name in members(GOOD)]), st.binary(max_size=200))
def test_any_bytes_as_any_member_are_refused(name: str, content: bytes) -> None:
    assert loaded(with_member(GOOD, name, content)) is None


def test_a_member_of_objects_is_refused() -> None:
    assert loaded(with_member(GOOD, "last", npy(np.array([object]), None))) is None


# ---- a file written by each version ----

SAMPLE = "4 hens\n4 hen\n"  # with temperature 0
FILES = ("version-1.npz", "version-2.npz", "version-2-weights.npz")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_each_version_still_loads(name: str) -> None:
    state, kept = CheckpointStore(KEPT / name).load(), (KEPT / name).read_bytes()
    assert (as_version_1 if name == FILES[0] else bytes)(to_bytes(state)) == kept
    assert len(state.history) > 2
    assert len(state.losses) == state.step == 69
    assert state.best
    assert state.best.step < state.step
    assert state.weights == ("<f2" if name == FILES[2] else None)
    assert ok("sample", "-m", KEPT / name, "-t", 0, "-n", 12, "-q").text == SAMPLE
