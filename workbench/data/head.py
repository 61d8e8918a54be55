"""The head of a card as it stands in the file: YAML between two `---` lines, with the line of every field, so that errors can name it."""

import re
from hashlib import sha256
from pathlib import Path

from workbench.errors import DataError
from workbench.yaml_lines import Lines, read_mapping


def read_head(path: Path) -> tuple[dict, Lines, str, str]:
    """A card's head, the line of each of its fields, its prose, and the sha256 of the whole file.

    Raises:
        DataError: no file, no UTF-8, no head, a head that is no YAML mapping, an alias, a key that stands twice, no prose.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except FileNotFoundError:
        raise DataError(f"there is no card {path}", expected="a Markdown file with a YAML head", do="see data_cards/README.md") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the card cannot be read: {error}", where=str(path), expected="a Markdown file in UTF-8") from None
    parts = re.match(r"---[ \t]*\r?\n(.*?\n)---[ \t]*(?:\r?\n|$)(.*)", text, re.DOTALL)
    if parts is None:
        raise DataError("the card has no head", where=f"{path} line 1", expected="a line ---, the YAML head, a line ---, then the prose")
    if not parts[2].strip():
        raise DataError(
            "the card has a head but no words for people", where=str(path), expected="below the head: what the data is and how it was made"
        )
    head, lines = read_mapping(path, parts[1], "the card's head", DataError, first=2)
    return head, lines, parts[2].strip(), sha256(raw).hexdigest()
