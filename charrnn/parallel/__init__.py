"""Computing on several cores: threads, worker processes, and the executor of training."""
