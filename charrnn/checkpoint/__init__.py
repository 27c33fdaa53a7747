"""Model files: what they contain, how they are written and read, where they are, and the export to PyTorch."""
