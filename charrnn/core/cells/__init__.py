"""The table of recurrent cells. A new cell is one file and one line here; the tests run over the table."""

from charrnn.core.cells.cell import Cell
from charrnn.core.cells.gru import gru
from charrnn.core.cells.lstm import lstm
from charrnn.core.cells.rnn import rnns

CELLS: dict[str, Cell] = {**rnns, "lstm": lstm, "gru": gru}
