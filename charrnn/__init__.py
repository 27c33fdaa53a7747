"""charrnn: a character-level text generator, a NumPy RNN with hand-written backpropagation through time."""

__version__ = "0.1.0"
