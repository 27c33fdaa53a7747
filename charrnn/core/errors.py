"""Every error that charrnn raises on purpose.

CharRNNError                 the message says what is wrong, where, and what to do next, in one line
├── UsageError               options or values that cannot work (exit status 2)
│   └── UnknownCharacterError    a prompt with characters outside the vocabulary
├── TextError                a text that cannot be read or trained on
├── CheckpointError          a model file that is missing, damaged, foreign or cannot be written
│   └── LockedError              another process is training this model
├── ResumeError              a run that does not fit the model it should continue
└── DivergedError            numbers that are not finite
"""


class CharRNNError(Exception):
    """The common base: `except CharRNNError` catches every expected failure."""


class UsageError(CharRNNError):
    """Options or values that cannot work, alone or together."""


class UnknownCharacterError(UsageError):
    """A prompt has characters outside the model's vocabulary."""


class TextError(CharRNNError):
    """A text cannot be read, or has too little in it to train on."""


class CheckpointError(CharRNNError):
    """A model file is missing, damaged, not a charrnn model, or cannot be written."""


class LockedError(CheckpointError):
    """Another process is training this model."""


class ResumeError(CharRNNError):
    """A run does not fit the model that it should continue."""


class DivergedError(CharRNNError):
    """A loss, a gradient or a logit is not finite."""
