"""The lines of a text that arrives in blocks."""

from collections.abc import Iterable, Iterator


def arrivals(blocks: Iterable[str]) -> Iterator[list[str]]:
    """Yield, for each block of a text in which a line ends, the lines that it completes; then the last one."""
    held = list[str]()
    for block in blocks:
        *whole, rest = block.split("\n")
        if whole:
            whole[0] = "".join([*held, whole[0]])
            held = []
            yield [f"{line}\n" for line in whole]
        if rest:
            held.append(rest)
    if held:
        yield ["".join(held)]


def grouped(lines: Iterable[str], least: int) -> Iterator[list[str]]:
    """Yield lines in lists of at least `least` characters, the last one perhaps shorter."""
    batch, chars = list[str](), 0
    for line in lines:
        batch.append(line)
        chars += len(line)
        if chars >= least:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch
