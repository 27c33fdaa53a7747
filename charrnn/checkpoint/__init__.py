"""Checkpoints: what a run is between two steps, what a model file holds, its bytes, and files on disk."""

from charrnn.checkpoint.checkpoint import Best, Checkpoint, Origin, Trained, environment, moved
from charrnn.checkpoint.store import CheckpointStore, save_text

__all__ = ["Best", "Checkpoint", "CheckpointStore", "Origin", "Trained", "environment", "moved", "save_text"]
