"""Texts on their way to the network: bytes -> characters -> ids on disk -> windows of B streams."""

from charrnn.corpus.corpus import Corpus, load_corpus
from charrnn.corpus.reading import BUNDLED, bundled_corpus, expand, read_text
from charrnn.corpus.streams import Streams, split

__all__ = ["BUNDLED", "Corpus", "Streams", "bundled_corpus", "expand", "load_corpus", "read_text", "split"]
