import inspect

import pytest

from workbench.data.reading.advice import DO, Allowance, advised, label
from workbench.errors import DataError, MissingDataError


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("audio", "audio"),
        ("gesprochen, \u6211", "gesprochen, \u6211"),
        ("\x1b[31m\n", "?[31m?"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 60 + "..."),
        (b"\xe9" * 10**6, "\xe9" * 60 + "..."),
        (7, "7"),
        (2.5, "2.5"),
        (10**5000, "a whole number of more than 64 bits"),
        ((1, 2), "a tuple"),
        (None, "a NoneType"),
    ],
    ids=range(11),
)
def test_labels_are_short_and_clean(name, shown):
    assert label(name) == shown


def test_an_allowance_is_sixteen_times_the_file_and_something():
    allowance = Allowance(1000)
    allowance.take(16_000 + 64 * 1024**2, where="a")
    with pytest.raises(DataError, match=r"the file names the same values so often(.|\n)*in +b\n"):
        allowance.take(1, where="b")


@pytest.mark.parametrize("do", ["", "unpack it"])
def test_errors_about_data_get_a_next_step_where_they_have_none(do):
    @advised
    def read(card: str, *, variant: str = "") -> int:
        """Reads."""
        raise MissingDataError("no file", where=card, expected=variant, do=do)

    with pytest.raises(MissingDataError) as caught:
        read("a", variant="b")
    assert caught.value.as_dict() == {"error": "no file", "where": "a", "expected": "b", "do": do or DO}
    assert list(inspect.signature(read).parameters) == ["card", "variant"]
    assert read.__doc__ == "Reads."


def test_what_is_read_comes_back():
    assert advised(lambda value: value + 1)(1) == 2
