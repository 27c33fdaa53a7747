"""The manifest of a model file: its JSON text, the schema that it follows, and checks of its values.

docs/checkpoint-format.md specifies it. What else the file holds is in format.py.
"""

import copy
import json
import math
from dataclasses import fields
from itertools import chain, pairwise
from types import UnionType
from typing import Any, get_args

from charrnn.checkpoint.archive import check
from charrnn.core.config import ModelConfig, TrainConfig

FORMAT, VERSION = "charrnn", 2  # version 1, which has no losses and no optional keys, is read too
MAX_MANIFEST = 1 << 20  # bytes
MAX_WORD = 1000  # characters of a description in the manifest
MAX_LOSS = 1e300  # beyond this a loss has no finite number of bits

MANIFEST = {
    "format": str,
    "version": int,
    "model": {field.name: field.type for field in fields(ModelConfig)},
    "train": {field.name: field.type for field in fields(TrainConfig)},
    "vocab": {"unknown": bool, "normalize": str},
    "origin": {"sources": [str], "sha256": str, "chars": int},
    "step": int,
    "loss_sum": float,
    "best": (type(None), {"step": int, "nats": float}),
    "environment": {str: str},
    "init_from": (type(None), str),
    "sha256": {str: str},
    "seconds": (type(None), float),
    "thresholds": {str: [[float]]},
    "unlike": bool,
    "ignore": [str],
    "weights": (type(None), str),
}
# Keys that are left out if they have these values, and those of `train`:
OPTIONAL: dict[str, Any] = {"seconds": None, "thresholds": {}, "unlike": False, "ignore": [], "weights": None}
OPTIONAL_SETTINGS: dict[str, Any] = {"holdout": "tail", "held_out": None, "encoding_errors": "strict"}
WEIGHTS = (None, "<f2", "<f4")


def manifest_text(values: dict[str, Any]) -> bytes:
    """Return the text of a manifest of today's version; the same values give the same bytes."""
    train = without_defaults(values["train"], OPTIONAL_SETTINGS)
    manifest = {"format": FORMAT, "version": VERSION, **without_defaults({**values, "train": train}, OPTIONAL)}
    return json.dumps(manifest, allow_nan=False, indent=1).encode()


def checked_manifest(text: bytes) -> dict[str, Any]:
    """Return the manifest with all optional keys; raises one of format.READ_ERRORS if it does not follow the schema."""
    manifest = parse_manifest(text)
    check(isinstance(manifest, dict) and manifest.get("format") == FORMAT, "not a charrnn model")
    version = manifest.get("version")
    advice = "install a newer charrnn" if type(version) is int and version > VERSION else "there is no such version"
    check(
        type(version) is int and 1 <= version <= VERSION,
        f"format version {version}, this program reads 1 to {VERSION}: {advice}",
    )
    check(isinstance(manifest.get("train"), dict), "it has no settings")
    manifest = with_defaults(manifest, version)
    check(matches(manifest, MANIFEST), f"its manifest does not follow format version {version}")
    check_values(manifest)
    check_strings(manifest)
    return manifest


def without_defaults(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return values by name except those that equal their default."""
    return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}


def with_defaults(manifest: dict[str, Any], version: int) -> dict[str, Any]:
    """Return a manifest with all optional keys; raises ValueError for one that the version did not have."""
    train: dict[str, Any] = manifest["train"]
    known = version > 1 or not (manifest.keys() & OPTIONAL.keys() or train.keys() & OPTIONAL_SETTINGS.keys())
    check(known, f"its manifest does not follow format version {version}")
    return {**copy.deepcopy(OPTIONAL), **manifest, "train": {**OPTIONAL_SETTINGS, **train}}


def check_values(manifest: dict[str, Any]) -> None:
    """Raise ValueError for values of optional keys that their types allow and their meanings do not."""
    check(manifest["weights"] in WEIGHTS, "its weights have an unknown type")
    check(manifest["seconds"] is None or manifest["seconds"] >= 0, "its time is negative")
    for pairs in manifest["thresholds"].values():
        check(all(len(pair) == 2 for pair in pairs), "a threshold is no pair")
        rates = [rate for rate, _ in pairs]
        falling = len(rates) > 1 and rates[-1] > 0 and all(a > b for a, b in pairwise(rates))
        check(falling or not pairs, "the rates of its thresholds do not fall")


def check_strings(manifest: dict[str, Any]) -> None:
    """Raise ValueError for names that no file can have, and for other texts that could not be shown as they are."""
    names = [*manifest["origin"]["sources"], manifest["init_from"] or ""]
    check(not any("\0" in name for name in names), "a name in it contains a NUL")
    for name in names:
        name.encode("utf-8", "surrogateescape")  # as Python decodes file names; raises for other surrogates
    train = manifest["train"]
    words = [train["budget"], train["encoding"], manifest["origin"]["sha256"], *chain(*manifest["environment"].items())]
    check(all(word.isprintable() and len(word) <= MAX_WORD for word in words), "a text in it is not printable")


def parse_manifest(text: bytes) -> Any:
    """Return the value of a JSON text in UTF-8 without a byte-order mark, NaN or infinity, or a key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        check(len(found) == len(pairs), "a key occurs twice in the manifest")
        return found

    def refuse(name: str) -> None:
        check(False, f"{name} in the manifest")

    return json.loads(text.decode("utf-8"), parse_constant=refuse, object_pairs_hook=unique)


def matches(value: object, schema: Any) -> bool:
    """Return whether a JSON value matches a schema: a type, a union or tuple of schemas, a list, or an object.

    Numbers must be finite, and integers neither negative nor beyond int64. An object {str: X} may have any keys.
    """
    if isinstance(schema, UnionType):
        schema = get_args(schema)
    if isinstance(schema, tuple):
        return any(matches(value, choice) for choice in schema)
    if isinstance(schema, list):
        return type(value) is list and all(matches(item, schema[0]) for item in value)
    if isinstance(schema, dict):
        if type(value) is not dict or (str not in schema and value.keys() != schema.keys()):
            return False
        return all(matches(item, schema.get(name, schema.get(str))) for name, item in value.items())
    in_range = 0 <= value < 2**63 if type(value) is int else math.isfinite(value) if type(value) is float else True
    return type(value) is schema and in_range
