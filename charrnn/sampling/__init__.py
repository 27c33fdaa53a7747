"""Writing text in bulk: the incremental model, batches of samples, and the constraints that samples satisfy."""
