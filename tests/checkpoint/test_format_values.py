"""Values that a manifest or an array of a model file cannot have."""

import io
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpoint.format import from_file, to_bytes
from charrnn.checkpoint.manifest import OPTIONAL, OPTIONAL_SETTINGS
from tests.checkpoint.mutations import (
    Mutation,
    array,
    assert_refused,
    entry,
    first,
    last,
    manifest,
    member,
    of_any_text,
    refusal,
    spelt,
    symbols,
)
from tests.helpers.before import as_version_1
from tests.helpers.files import MISSING, corpus_of, npy, tiny_run, with_array, with_entry

ENTRIES: dict[str, list[object]] = {  # by the path of the manifest's entry
    "format": ["other", 1, MISSING],
    "version": [1, 3, 0, -1, "1", True, 1.0, None, MISSING],
    "model": [[], None, {}, MISSING],
    "model/hidden_size": [10**9, 5, 0, -4, 4.0, "4", True, None, 2**63, 2**64, MISSING],
    "model/num_layers": [2, 13, 10**9],
    "model/embed_size": [16384, 2**63],
    "model/vocab_size": [7, 0, 10**30],
    "model/cell": ["other", 1, "\x1b[31m"],
    "model/activation": ["other", []],
    "model/line_end": [1, 7, 8, -1, 0.0, "0", True, False, MISSING],
    "model/more": [1],
    "train": ["16 steps", MISSING],
    "train/steps": [0, 2**53, 10**30, 16.0, True, "16"],
    "train/batch_size": [4, 65536, 2**31],
    "train/lr": ["0.1", 0.0, -1.0, True],
    "train/val_fraction": [1.0],
    "train/seed": [-1, 2**63, 0.5],
    "train/encoding": [8, MISSING],
    "train/holdout": ["head", "lines", 1, None],  # lines without their number
    "train/held_out": [9, 0, -1, 0.5, "9", True, {}],  # a tail with its number
    "train/more": [1],
    "vocab": [[], MISSING],
    "vocab/unknown": [False, 1, 2, "yes", None, MISSING],
    "vocab/normalize": ["nfkc", None, [], "\x1b[31m", MISSING],
    "vocab/symbols": [[]],
    "origin": [None, [], MISSING],
    "origin/sources": ["a.txt", None, [1], {}, MISSING],
    "origin/sha256": [1, MISSING],
    "origin/chars": ["301", 1.5, True, -1, 2**63, None, MISSING],
    "origin/more": [1],
    "step": [-1, 2**53, 10**30, 9.0, True, "9", None, MISSING],
    "loss_sum": ["1.0", True, None, MISSING],
    "best": [0, [], {}, "best", MISSING],
    "best/step": [-1, 10, 2**63, 4.0, "4", True, MISSING],
    "best/nats": ["2.0", True, None, MISSING],
    "best/more": [1],
    "environment": [None, [], MISSING],
    "environment/numpy": [2, None],
    "init_from": [0, [], {}, MISSING],
    "sha256": [None, [], {}, MISSING],
    "sha256/last": ["0" * 64, None, MISSING],
    "sha256/more": ["0" * 64],
    "seconds": [-1.0, 1, "1.0", True, []],
    "thresholds": [None, [], {"mean": 1.0}, {"mean": [1.0]}, {"mean": [[1.0]]}, {"mean": [[1.0, 2]]}]
    + [{"mean": pairs} for pairs in ([[0.5, 1.0]], [[0.5, 1.0], [0.5, 2.0]], [[0.5, 1.0], [0.0, 2.0]])],
    "unlike": [None, 0, "true"],
    "ignore": [None, "x", [1], {}],
    "weights": ["<f4", "<f2", "<f8", "", 4, []],  # the file has other members
    "more": [1],
}
REFUSED: dict[str, tuple[Mutation, str]] = {  # a file with one thing wrong, and words of the message
    "a newer version, named": (entry("version", 7), "format version 7, .* install a newer charrnn"),
    "a version with terminal escapes": (entry("version", "\x1b[2J" * 99), ""),
    "NaN in the manifest": (entry("loss_sum", float("nan")), "NaN in the manifest"),
    "infinity in the manifest": (entry("best/nats", float("inf")), "Infinity in the manifest"),
    "infinity as a large exponent": (spelt("loss_sum", "1e999"), ""),
    "infinity as the best loss": (spelt("nats", "1e999"), ""),
    "infinity as a setting": (spelt("lr", "1e999"), ""),
    "a number with many digits": (spelt("step", "9" * 5000), ""),
    "deeply nested lists": (manifest("[" * 100_000), ""),
    "a manifest that is a list": (manifest("[]"), "not a charrnn model"),
    "invalid JSON": (manifest("{"), ""),
    "a byte-order mark": (of_any_text(lambda text: text.encode("utf-8-sig")), "BOM"),
    "UTF-16": (of_any_text(lambda text: text.encode("utf-16-le")), ""),
    "UTF-32": (of_any_text(lambda text: text.encode("utf-32-be")), ""),
    "a key twice": (
        of_any_text(lambda text: text.replace('"step"', '"step": 9, "step"', 1).encode()),
        "key occurs twice",
    ),
    "a nested key twice": (
        of_any_text(lambda text: text.replace('"lr"', '"lr": 1.0, "lr"').encode()),
        "key occurs twice",
    ),
    "a surrogate that is no byte of a name": (entry("origin/sources", ["\ud800"]), ""),
    "NUL in a name": (entry("origin/sources", ["a.txt", "a\0"]), "a name in it contains a NUL"),
    "NUL in the name of a model": (entry("init_from", "\0"), "a name in it contains a NUL"),
    "escapes in the budget": (entry("train/budget", "\x1b[2J"), "a text in it is not printable"),
    "a line in the environment": (entry("environment/blas", "x\ncharrnn: done"), "a text in it is not printable"),
    "a line as a part of the environment": (entry("environment/a\nb", "x"), "a text in it is not printable"),
    "a direction in the digest": (entry("origin/sha256", "\u202e"), "a text in it is not printable"),
    "a loss without bits": (entry("best/nats", 1.7e308), "its losses are too large"),
    "a sum of losses without bits": (entry("loss_sum", -1.7e308), "its losses are too large"),
    "a loss in the history without bits": (array("history", last(1.7e308)), "its losses are too large"),
    "invalid UTF-8": (member("manifest", lambda _: npy(np.full(9, 0xFF, np.uint8))), ""),
    "a manifest of two megabytes": (entry("train/budget", "x" * (2 << 20)), "not a charrnn model"),
    "symbols out of order": (array("vocabulary", lambda a: a[::-1].copy()), "vocabulary is not in order"),
    "a duplicate symbol": (array("vocabulary", lambda a: a[[0, 0, *range(2, len(a))]]), "vocabulary is not in order"),
    "a surrogate": (array("vocabulary", symbols(10, 97, 98, 99, 100, 101, 0xD800)), "vocabulary is not text"),
    "a symbol beyond Unicode": (array("vocabulary", symbols(10, 97, 98, 99, 100, 101, 0x110000)), "is not text"),
    "a symbol beyond int32": (array("vocabulary", symbols(10, 97, 98, 99, 100, 101, 2**32 - 1)), "is not text"),
    "weights that are NaN": (array("embed.W", first(np.nan)), "not all of its numbers are finite"),
    "last weights that are infinite": (array("last", first(np.inf)), "not all of its numbers are finite"),
    "slots that are NaN": (array("slots.v", first(np.nan)), "not all of its numbers are finite"),
    "a state that is infinite": (array("state", first(-np.inf)), "not all of its numbers are finite"),
    "history that is NaN": (array("history", first(np.nan)), "not all of its numbers are finite"),
    "losses that are infinite": (array("losses", first(np.inf)), "not all of its numbers are finite"),
    "too few losses": (array("losses", lambda a: a[:-1].copy()), "its losses are not those of its steps"),
    "losses in two columns": (array("losses", lambda a: np.stack([a, a], 1)), "losses has the wrong shape"),
    "a text that is all held out": (
        lambda data: entry("train/held_out", 302)(entry("train/holdout", "each")(data)),
        "all of its text is held out",
    ),
    "history of half a step": (array("history", first(3.5)), ""),
    "history of a future step": (array("history", first(1e300)), ""),
    "an empty manifest": (member("manifest", lambda _: b""), "not a charrnn model"),
    **{
        f"{path} = {value!r:.20}" if value is not MISSING else f"no {path}": (entry(path, value), "")
        for path, values in ENTRIES.items()
        for value in values
    },
}


@pytest.mark.parametrize(("mutate", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_with_one_thing_wrong_is_refused(mutate: Mutation, message: str, good: bytes, path: Path) -> None:
    assert_refused(mutate, message, good, path)


@pytest.mark.parametrize("change", [1.0, -0.0])
def test_without_a_validation_the_weights_must_be_the_last_ones_to_the_bit(change: float, path: Path) -> None:
    run = tiny_run(corpus_of("ab\n" * 20))
    assert run.best is None
    last = run.model.vector.copy()
    assert last[-1] == 0  # a bias
    last[-1] = change
    path.write_bytes(with_array(to_bytes(run), "last", last))
    assert "its weights are neither the best nor the last" in refusal(path)


@pytest.mark.parametrize("key", [*OPTIONAL, *(f"train/{name}" for name in OPTIONAL_SETTINGS)])
def test_version_1_has_no_optional_keys(key: str, good: bytes, path: Path) -> None:
    default = {**OPTIONAL, **OPTIONAL_SETTINGS}[key.removeprefix("train/")]
    path.write_bytes(with_entry(as_version_1(good), key, default))
    assert "its manifest does not follow format version 1" in refusal(path)
    assert to_bytes(from_file(io.BytesIO(with_entry(good, key, default)))) == good
