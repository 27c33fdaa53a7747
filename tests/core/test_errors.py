import re

from charrnn.core import errors


def tree(kind: type[errors.CharRNNError], depth: int = 0) -> list[tuple[int, str]]:
    """Return the depth and name of an error class and its subclasses."""
    return [(depth, kind.__name__), *(node for child in kind.__subclasses__() for node in tree(child, depth + 1))]


def test_the_docstring_has_the_tree_of_errors() -> None:
    drawn = re.findall(r"^([│├└─ ]*)(\w+Error)  ", errors.__doc__ or "", re.M)
    assert [(len(indent) // 4, name) for indent, name in drawn] == tree(errors.CharRNNError)


def test_every_error_is_a_charrnn_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert {name for _, name in tree(errors.CharRNNError)} == {kind.__name__ for kind in kinds}
    assert not issubclass(errors.CharRNNError, ValueError | OSError)
