"""Pickles from strangers: plain containers, text, numbers and numpy arrays come out, nothing else does, and nothing runs.

    content = load_pickle(path)                       # a dictionary, most likely
    train = mapping(mapping(content, where=str(path), keys=["train"])["train"], where=f"{path}, train", keys=["text", "regression_labels"])
    labels = numbers(train["regression_labels"], where=f"{path}, train, regression_labels", expected="one number a sample")

Arrays of 1 MiB or more are read-only views of the file, so a file may be larger than memory.
"""

import mmap
from pathlib import Path

from workbench.data.scratch import release_array as release
from workbench.data.untrusted.looks import looks_like
from workbench.data.untrusted.pickle_actions import run
from workbench.data.untrusted.pickle_source import RefusalError, Source
from workbench.data.untrusted.pickle_values import describe, mapping, numbers, strings
from workbench.errors import DataError

EXPECTED = "a pickle of plain containers, text, numbers and numpy arrays"
DO = "ask its author for npz, HDF5 or safetensors; or convert it on a machine that you do not mind losing"


def load_pickle(path: Path) -> object:
    """The content of a pickle of any protocol, written by Python 2 or 3 and numpy 1 or 2; byte strings of Python 2 become latin1 text.

    Raises:
        DataError: the file is missing, cut off, no pickle, or asks for more than plain data; the error says for what, and at which byte.
    """
    path = Path(path)
    try:
        kind = looks_like(path)
        if kind:
            raise DataError(
                f"{path.name} is no pickle: it is {kind}, {path.stat().st_size:,} bytes", where=str(path), expected=EXPECTED, do=_other(kind)
            )
        with path.open("rb") as file:
            source = Source(path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise DataError(f"{path.name} is missing", where=str(path), expected=EXPECTED) from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror}", where=str(path), expected=EXPECTED) from None
    try:
        return run(source)
    except RefusalError as refusal:
        is_unsafe = str(refusal).endswith("refused")
        do = DO if is_unsafe else "download it again, and compare its size"
        raise DataError(f"{path.name}: {refusal}", where=f"{path}, byte {source.position:,}", expected=EXPECTED, do=do) from None
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError) as error:
        raise DataError(
            f"{path.name}: the pickle is damaged: {str(error)[:200]}",
            where=f"{path}, byte {source.position:,} of {source.size:,}",
            expected=EXPECTED,
            do="download it again, and compare its size",
        ) from None


def _other(kind: str) -> str:
    if kind.startswith("compressed"):
        return "unpack it first"
    return "look at it with a text viewer, and get the data file itself" if "HTML" in kind or "git-lfs" in kind else "check which file was downloaded"


__all__ = ["describe", "load_pickle", "mapping", "numbers", "release", "strings"]
