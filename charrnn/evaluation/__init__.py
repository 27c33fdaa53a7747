"""The loss of texts, lines and characters under a model, computed fast, and baselines to compare it with."""
