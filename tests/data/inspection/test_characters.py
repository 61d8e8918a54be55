"""Pictures in characters, by hand."""

import numpy as np
import pytest

from workbench.data.inspection.characters import ASCII, BLOCKS, bars, cut, image, ink_for, printable, shades, shrunk, sparkline, wrapped


@pytest.mark.parametrize(
    ("encoding", "ink"), [("utf-8", BLOCKS), ("ascii", ASCII), ("latin-1", ASCII), ("cp437", ASCII), ("no-such", ASCII), (None, ASCII)]
)
def test_block_characters_only_where_they_can_be_written(encoding, ink):
    assert ink_for(encoding) is ink


def test_text_that_cannot_be_written_becomes_question_marks_and_controls_go():
    assert printable("a\x1b[31mé\n▁", "ascii") == "a [31m?\n?"
    assert printable("é", "utf-8") == "é"
    assert printable("é", "no-such") == "?"


def test_a_line_over_time():
    assert sparkline(np.array([0, 1, 2, 3, 4, 5, 6, 7]), width=8, ink=BLOCKS) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.array([0, 7]), width=8, ink=ASCII) == "_@"
    assert sparkline(np.array([0.0, 0, 8, 8]), width=2, ink=BLOCKS) == "▁█"
    assert sparkline(np.full(3, 2.0), width=9, ink=BLOCKS) == "▅▅▅"  # flat: the middle
    assert sparkline(np.array([-9, 0, 9]), width=3, ink=BLOCKS, low=-3, high=3) == "▁▅█"


def test_bars_are_as_long_as_their_value_and_never_hide_one():
    lines = bars(["a", "bb", "c"], [10, 1000, 0], ["10", "1,000", "0"], width=24, ink=ASCII)
    assert lines == ["a      10  #", "bb  1,000  #############", "c       0"]
    assert max(map(len, lines)) <= 24


def test_long_names_are_cut():
    assert bars(["a very long name of a class"], [1], ["1"], width=30, ink=ASCII)[0].startswith("a very ...  1  #")
    assert cut("abcdef", 5, BLOCKS) == "abcd…"
    assert cut("abc", 3, BLOCKS) == "abc"


def test_a_map_is_darker_where_it_is_higher():
    assert shades(np.array([[0, 0.25, 0.5, 0.75, 1]]), ink=BLOCKS) == [" ░▒▓█"]


def test_small_images_are_wide_large_ones_are_made_small():
    assert image(np.array([[0, 1], [1, 0]]), width=40, ink=ASCII) == ["  @@", "@@  "]
    large = np.zeros((100, 200))
    large[:, 100:] = 1
    lines = image(large, width=40, ink=BLOCKS)
    assert (len(lines), {len(line) for line in lines}) == (10, {40})
    assert lines[0] == " " * 20 + "█" * 20


def test_means_of_stretches():
    assert shrunk(np.arange(6.0)[:, None], 3).tolist() == [[0.5], [2.5], [4.5]]
    assert shrunk(np.arange(2.0)[:, None], 5).tolist() == [[0], [1]]


def test_wrapping_leaves_an_empty_line_for_nothing():
    assert wrapped("", width=30) == [""]
    assert wrapped("word " * 10, width=24, indent="  ")[0] == "  word word word word"
