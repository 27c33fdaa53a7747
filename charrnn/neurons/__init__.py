"""What single units of a network do: what they hold as it reads, and which follow something that a person can name."""

from charrnn.neurons.finding import Finding, find, followed, shown
from charrnn.neurons.units import Unit, unit_named

__all__ = ["Finding", "Unit", "find", "followed", "shown", "unit_named"]
