"""The settings of a network and a run as options of train, and their defaults."""

from typing import Literal

from charrnn.cli.options import Setting
from charrnn.core import config
from charrnn.core.config import ModelConfig, TrainConfig

SETTINGS: dict[str, Setting] = {  # of the network and the run, by the names of their fields: type, metavar, help
    "cell": (Literal[config.CELL_NAMES], None, "Type of recurrent layer: plain or gated."),
    "activation": (Literal[config.ACTIVATION_NAMES], None, "Activation function of the plain RNN."),
    "hidden_size": (int, "N", "Units per layer."),
    "num_layers": (int, "N", "Number of layers, at most 12."),
    "embed_size": (int, "N", "Size of the symbol embedding."),
    "dropout": (float, "P", "Fraction of each layer's outputs to drop in training."),
    "variational_dropout": (float, "P", "Like --dropout, with one mask for all steps of a window."),
    "zoneout": (float, "P", "Fraction of units that keep their previous state."),
    "ensemble": (int, "N", "Number of networks to train side by side, one core each; the model is their mean."),
    "seq_len": (int, "N", "Characters per window."),
    "batch_size": (int, "N", "Number of text streams to read in parallel."),
    "optimizer": (Literal[config.OPTIMIZER_NAMES], None, "Optimization method."),
    "lr": (float, "X", "Peak learning rate."),
    "schedule": (Literal[config.SCHEDULE_NAMES], None, "Learning-rate schedule after warm-up."),
    "warmup": (int, "N", "Steps until the learning rate reaches its peak."),
    "weight_decay": (float, "X", "Decay rate of the weight matrices; decoupled from the gradient with adamw and soap."),
    "grad_clip": (float, "X", "Maximum norm of the gradient."),
    "val_fraction": (float, "X", "Fraction of the text to hold out; 0 holds out none."),
    "holdout": (Literal[config.HOLDOUT_NAMES], None, "Held-out part: the end of the text, of each text, or lines."),
    "eval_every": (int, "N", "Steps between validations."),
    "patience": (int, "N", "Stop after N validations without a new best; 0 never stops."),
    "lines": (bool, None, "Treat each line as an independent example."),
    "min_count": (int, "N", "Replace characters that occur fewer than N times by one unknown symbol."),
    "encoding": (str, "NAME", "Text encoding (a Python codec name)."),
    "encoding_errors": (
        Literal[config.ERROR_NAMES],
        None,
        "Bytes that are not of the encoding: stop with an error, or read them as U+FFFD.",
    ),
    "normalize": (Literal["none", "nfc", "nfd"], None, "Unicode normalization of the text."),
    "seed": (int, "N", "Random seed: the same seed, text and options give the same file."),
}
FIELDS = {**ModelConfig.__dataclass_fields__, **TrainConfig.__dataclass_fields__}
ADAPTIVE = {  # settings whose default depends on the text or the run
    "dropout": "0 to 0.3, by the size of the text",
    "batch_size": "1 to 32, by the size of the text",
    "optimizer": "soap for 500,000 characters to train on, else adamw",
    "lr": "0.007 with soap, else 0.004; down to 0.0025 and 0.001 from a model that knows such texts",
    "weight_decay": "0.4 with soap, else 0.2",
    "holdout": "lines with --lines, each for several texts, else tail",
    "eval_every": "a tenth of the run, or more where validations are slow",
}
OF_NETWORK = {*ModelConfig.__dataclass_fields__, "lines", "normalize"} - {"ensemble"}  # what a start fixes
DEFAULTS = {name: FIELDS[name].default for name in SETTINGS if name in FIELDS} | ADAPTIVE
