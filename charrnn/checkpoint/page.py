"""A model as one HTML page that writes in the browser: no network, nothing outside of the page.

The template is page.html, its style page.css and its program page.js, beside this file. The policy of the page allows
these two by their hashes, and nothing else.
"""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

from charrnn.core.model import CharRNN, prefixes
from charrnn.core.vocab import Vocab


def model_page(model: CharRNN, vocab: Vocab, title: str, dtype: str) -> str:
    """Return the page of a model, with its weights in a type of 16 or 32 bits, `<f2` or `<f4`."""
    style, script = part("page.css"), part("page.js")
    weights = b"".join(array.astype(dtype).tobytes() for array in model.params.values())
    config = model.config
    about = (
        f"A {config} with {len(model.vector):,} parameters and {len(vocab):,} symbols, trained by charrnn. "
        "It writes in your browser, one character after the other. Nothing leaves this page."
    )
    values = {
        "policy": f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(script)}'; "
        "base-uri 'none'; form-action 'none'",
        "title": html.escape(title),
        "about": html.escape(about),
        "style": style,
        "script": script,
        "model": script_text(json.dumps(facts(model, vocab, dtype), ensure_ascii=False)),
        "weights": base64.b64encode(weights).decode(),
    }
    return re.sub("%([a-z]+)%", lambda found: values[found[1]], part("page.html"))


def facts(model: CharRNN, vocab: Vocab, dtype: str) -> dict[str, Any]:
    """Return what the program needs to know of a model besides its weights."""
    config = model.config
    return {
        "V": config.vocab_size,
        "H": config.hidden_size,
        "D": config.embed_size,
        "L": config.num_layers,
        "cell": config.cell,
        "activation": config.activation,
        "zoneout": config.zoneout,
        "networks": prefixes(config),
        "lineEnd": config.line_end,
        "startId": vocab.start_id,
        "unknown": vocab.unknown,
        "normalize": vocab.normalize,
        "characters": vocab.characters,
        "dtype": dtype,
        "parameters": [[name, array.size] for name, array in model.params.items()],
    }


def part(name: str) -> str:
    """Return a part of the page."""
    return Path(__file__).with_name(name).read_text("utf-8")


def digest(source: str) -> str:
    """Return the hash of a style sheet or a program, as a policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def script_text(data: str) -> str:
    """Return JSON that can stand in a script element, which no text in it can end."""
    return data.replace("<", "\\u003c")
