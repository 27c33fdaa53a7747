import pytest

from charrnn.data.corpus import Corpus
from tests.helpers.files import corpus_of, random_text


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """Random text, of which tests.helpers.runs.HELD_OUT leaves 101 characters to train on."""
    return corpus_of(random_text(700))
