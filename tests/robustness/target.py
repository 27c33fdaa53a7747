"""The process of an attempt of guided.py, which imports charrnn only under the instrumentation of atheris."""

import importlib
import sys
from contextlib import suppress

WATCHED = ["charrnn.checkpoint", "charrnn.data", "charrnn.core.vocab", "zipfile", "json"]
ENCODINGS = ("utf-8", "utf-16", "utf-7", "shift_jis", "gb18030", "iso2022_jp", "hz", "idna", "punycode")


def main() -> None:
    """Run an attempt."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=WATCHED):
        import numpy as np

        from charrnn.core.errors import TextError
        from charrnn.data.reading import characters
        from tests.helpers.files import members, npy
        from tests.robustness.damage import loaded, smallest
        from tests.robustness.fuzz import assembled
        from tests.robustness.sabotage import SABOTAGE
    if without := sys.argv.pop(1):
        SABOTAGE[without]()
    parts = members(smallest())
    names = [name for name in parts if name != "manifest.npy"]

    def model(kind: int, content: bytes) -> bytes:
        """Return a file of a kind: as it is, with another manifest, or with another member."""
        if kind % 3 == 0:
            return content
        if kind % 3 == 1:
            return assembled(parts | {"manifest.npy": npy(np.frombuffer(content, np.uint8))})
        return assembled(parts | {names[kind // 3 % len(names)]: content})

    def read(data: bytes) -> None:
        """Read an input as its first byte determines."""
        kind, content = data[0] if data else 0, data[1:]
        if kind % 4 == 3:
            blocks = [content[: kind // 4], content[kind // 4 :]]
            with suppress(TextError):
                "".join(
                    characters(blocks, "x", ENCODINGS[kind // 4 % len(ENCODINGS)], ("none", "nfc")[kind & 4 > 0], [])
                )
            return
        found = loaded(model(kind // 4, content))
        assert found is None or loaded(found) == found

    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
