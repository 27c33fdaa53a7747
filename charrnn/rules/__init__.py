"""What a sample must keep to besides what the model expects: an object a sample, asked before each character."""

from charrnn.rules.copies import Copies, CopyRule
from charrnn.rules.pattern import Pattern, PatternRule

__all__ = ["Copies", "CopyRule", "Pattern", "PatternRule"]
