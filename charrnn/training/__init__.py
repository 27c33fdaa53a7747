"""Preparing a training run: its configuration, time budgets, an estimate, and the start from another model."""
