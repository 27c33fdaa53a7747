"""--html FILE and --svg FILE: where pictures go that are not drawn on the terminal."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from charrnn.checkpoint import save_text
from charrnn.errors import UsageError
from charrnn.terminal import say


@dataclass(frozen=True)
class PictureFiles:
    """The files that are asked for; none at all is false."""

    html: Path | None
    svg: Path | None
    quiet: bool = False

    @classmethod
    def named(cls, html: str | None, svg: str | None, others: Iterable[str | Path], quiet: bool) -> "PictureFiles":
        """Return the files; raises UsageError for one that cannot be, or is one of the others, which are in use."""
        known = [*map(Path, others)]
        for option, name in (("--html", html), ("--svg", svg)):
            if name is None:
                continue
            path = Path(name)
            if name in ("", "-") or path.is_dir() or not path.parent.is_dir():
                raise UsageError(f"{option} {name}: must be a file, in a folder that is there")
            if any(is_part_of(path, other) for other in known):
                raise UsageError(f"{option} {name}: is in use here already: name another file")
            known.append(path)
        return cls(Path(html) if html else None, Path(svg) if svg else None, quiet)

    def __bool__(self) -> bool:
        return bool(self.html or self.svg)

    def save(self, html: Callable[[], str], svg: Callable[[], str]) -> None:
        """Make the files that are asked for, each whole or not at all, and say so."""
        for path, make in ((self.html, html), (self.svg, svg)):
            if path:
                save_text(path, make())
                if not self.quiet:
                    say(f"picture: {path}")


def is_part_of(path: Path, other: Path) -> bool:
    """Tell whether a file is another one, or a text in the folder that the other one is."""
    place = os.path.realpath(path)
    return place == os.path.realpath(other) or (
        path.suffix == ".txt" and other.is_dir() and os.path.dirname(place) == os.path.realpath(other)
    )
