"""The table of recurrent cells. A new cell is one file and one line here; the tests run over the table."""

from charrnn.cells.cell import Cell
from charrnn.cells.gru import gru
from charrnn.cells.lstm import lstm
from charrnn.cells.rnn import rnn_relu, rnn_tanh

CELLS: dict[str, Cell] = {
    "rnn_tanh": rnn_tanh,
    "rnn_relu": rnn_relu,
    "lstm": lstm,
    "gru": gru,
}
