"""Writing text: filters, the model step by step, lanes of texts side by side, samples with their ends."""

from charrnn.sampling.filters import FILTERS, alphabet, check_filters
from charrnn.sampling.lanes import generate, sample_rng
from charrnn.sampling.rule import Rule
from charrnn.sampling.writing import Piece, Wish, samples

__all__ = ["FILTERS", "Piece", "Rule", "Wish", "alphabet", "check_filters", "generate", "sample_rng", "samples"]
