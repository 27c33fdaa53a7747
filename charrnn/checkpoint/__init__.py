"""Checkpoints: what a run is between two steps, the bytes of a model file, and the file on disk."""

from charrnn.checkpoint.checkpoint import Best, Checkpoint, Origin, environment, moved
from charrnn.checkpoint.store import CheckpointStore

__all__ = ["Best", "Checkpoint", "CheckpointStore", "Origin", "environment", "moved"]
