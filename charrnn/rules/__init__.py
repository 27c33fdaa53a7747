"""What a sample must keep to, besides what the model expects: one rule a sample, asked before each character."""
