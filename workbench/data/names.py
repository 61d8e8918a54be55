"""Names in lists: of samples, of columns, of keys."""

from collections.abc import Iterable


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that has been there before; None where each stands once."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
