"""The vocabulary of MM-IMDb: `metadata.npy`, a pickled dictionary in an npy file."""

import shutil
import tempfile
import tokenize
from pathlib import Path

import numpy as np

from workbench.data.untrusted.pickles import load_pickle, mapping
from workbench.errors import DataError

EXPECTED = "a dictionary with ix_to_word: word numbers 0, 1, 2, ... to words"


def read_vocabulary(path: Path) -> list[str]:
    """The words by number; number 0 stands for every other word. The word vectors beside them (`lookup`) are not in this order and are not read.

    Raises:
        DataError: no npy file of one pickled dictionary, or one without an unbroken list of words.
    """
    content = _content(path)
    if isinstance(content, np.ndarray) and content.shape == ():
        content = content.item()
    words = mapping(mapping(content, where=str(path), keys=["ix_to_word"])["ix_to_word"], where=f"{path}, ix_to_word", keys=[])
    where = f"{path}, ix_to_word"
    for number in range(len(words)):
        if not isinstance(words.get(number), str):
            raise DataError(f"{path.name}: there is no word {number} among {len(words)}", where=where, expected=EXPECTED)
    if not words:
        raise DataError(f"{path.name} has no words", where=where, expected=EXPECTED)
    return [words[number] for number in range(len(words))]


def _content(path: Path) -> object:
    """What is pickled behind the header of an npy file."""
    with tempfile.TemporaryDirectory() as folder:
        pickled = Path(folder) / path.name
        try:
            with path.open("rb") as file, pickled.open("wb") as copy:
                version = np.lib.format.read_magic(file)
                header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = header(file)
                if shape != () or dtype.kind != "O":
                    raise DataError(f"{path.name} holds {list(shape)} of {dtype}", where=str(path), expected=EXPECTED)
                shutil.copyfileobj(file, copy)
        except (OSError, ValueError, TypeError, OverflowError, SyntaxError, tokenize.TokenError, MemoryError, RecursionError) as error:
            # The header is an expression of Python, which numpy parses: it fails in as many ways as Python's own parser.
            raise DataError(
                f"{path.name} cannot be read: {str(error)[:200] or 'its header is too deep'}", where=str(path), expected=f"an npy file of {EXPECTED}"
            ) from None
        try:
            return load_pickle(pickled)
        except DataError as error:
            raise DataError(error.what, where=f"{path}, behind the npy header", expected=error.expected, do=error.do) from None
