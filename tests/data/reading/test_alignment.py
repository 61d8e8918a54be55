import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data.reading.alignment import SHORTEST, TOUCH, align, inside, touching

# Five steps of 0.4 s, of which the word from 0.6 to 1.3 meets the second (0.2 s), the third (0.4 s) and the fourth (0.1 s).
STEPS = np.array([[0.0, 0.4], [0.4, 0.8], [0.8, 1.2], [1.2, 1.6], [1.6, 2.0]])
WORDS = np.array([[0.6, 1.3], [2.0, 2.5], [1.2, 1.6]])
VALUES = np.array([[1.0, -1.0], [2.0, -8.0], [3.0, -3.0], [10.0, -10.0], [5.0, -5.0]], np.float32)


def test_the_midpoint_says_which_segment_a_step_belongs_to():
    assert inside(STEPS, 0.0, 0.6).tolist() == [0]  # The midpoint of the second step is 0.6: the next segment's.
    assert inside(STEPS, 0.6, 1.5).tolist() == [1, 2, 3]
    assert inside(STEPS, 2.0, 9.0).tolist() == []
    assert inside(STEPS[::-1], 0.6, 1.5).tolist() == [3, 2, 1]  # In the order of time, whatever the order of the rows.


def test_a_moment_without_length_belongs_to_the_segment_it_lies_in():
    assert inside(np.array([[1.0, 1.0]]), 1.0, 2.0).tolist() == [0]
    assert inside(np.array([[2.0, 2.0]]), 1.0, 2.0).tolist() == []


def test_the_steps_of_each_word():
    assert [rows.tolist() for rows in touching(STEPS, WORDS)] == [[1, 2, 3], [], [3]]
    order = np.array([4, 2, 0, 3, 1])
    assert [order[rows].tolist() for rows in touching(STEPS[order], WORDS)] == [[1, 2, 3], [], [3]]


@pytest.mark.parametrize(
    ("collapse", "expected"),
    [
        ("mean", [5.0, -7.0]),  # (2 + 3 + 10) / 3, (8 + 3 + 10) / 3
        ("weighted", [(0.2 * 2 + 0.4 * 3 + 0.1 * 10) / 0.7, -(0.2 * 8 + 0.4 * 3 + 0.1 * 10) / 0.7]),
        ("last", [10.0, -10.0]),
        ("max", [10.0, -3.0]),
    ],
)
def test_each_collapse_by_hand(collapse, expected):
    values, present = align(VALUES, STEPS, WORDS, collapse=collapse)
    assert values[0].tolist() == pytest.approx(expected)
    assert values[1].tolist() == [0, 0]
    assert values[2].tolist() == [10, -10]
    assert present.tolist() == [True, False, True]
    assert values.dtype == np.float32


def test_overlapping_steps_and_one_long_step_before_many_short_ones():
    steps = np.array([[0.0, 10.0], [1.0, 1.1], [2.0, 2.1], [9.0, 9.1]])
    assert [rows.tolist() for rows in touching(steps, np.array([[5.0, 6.0], [2.05, 3.0], [10.0, 11.0]]))] == [[0], [0, 2], []]


def test_no_steps_and_no_words():
    none = np.zeros((0, 2))
    assert [rows.tolist() for rows in touching(none, WORDS)] == [[], [], []]
    assert touching(STEPS, none) == []
    values, present = align(np.zeros((0, 3), np.float32), none, WORDS)
    assert values.shape == (3, 3)
    assert not present.any()


def test_steps_that_touch_by_rounding_only_do_not_meet():
    assert [rows.tolist() for rows in touching(STEPS, np.array([[0.4 - 1e-9, 0.8 + 1e-9]]))] == [[1]]


def test_moments_meet_what_they_lie_in():
    moments = np.array([[0.5, 0.5], [1.0, 1.0], [0.0, 0.0]])
    assert [rows.tolist() for rows in touching(moments, np.array([[0.0, 1.0], [0.5, 0.5]]))] == [[2, 0], [0]]
    values, _ = align(np.array([[4.0], [8.0], [2.0]]), moments, np.array([[0.0, 1.0]]), collapse="weighted")
    assert values.tolist() == [[3.0]]


def naive(steps: list[tuple[float, float]], word: tuple[float, float]) -> list[int]:
    """Every step asked, one after the other; with their starts, to be put in order."""
    found = []
    for row, (start, end) in enumerate(steps):
        end = max(end, start + SHORTEST)
        together = min(end, max(word[1], word[0] + SHORTEST)) - max(start, word[0])
        if together > TOUCH:
            found.append((start, row))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


times = st.integers(-40, 400).map(lambda tick: tick / 20)  # On a grid, so that borders meet.
intervals = st.lists(st.tuples(times, st.integers(0, 60).map(lambda tick: tick / 20)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=12)


@settings(max_examples=150, deadline=None)
@given(steps=intervals, words=intervals, seed=st.integers(0, 9))
def test_alignment_is_that_of_two_plain_loops(steps, words, seed):
    values = np.random.default_rng(seed).standard_normal((len(steps), 3)).astype(np.float32)
    step_array, word_array = np.array(steps).reshape(-1, 2), np.array(words).reshape(-1, 2)
    expected = [naive(steps, word) for word in words]
    assert [rows.tolist() for rows in touching(step_array, word_array)] == expected
    mean, present = align(values, step_array, word_array)
    weighted, _ = align(values, step_array, word_array, collapse="weighted")
    assert present.tolist() == [bool(rows) for rows in expected]
    for i, rows in enumerate(expected):
        if not rows:
            assert not mean[i].any() and not weighted[i].any()
            continue
        assert mean[i] == pytest.approx(sum(values[row].astype(float) for row in rows) / len(rows), abs=1e-5)
        seconds = []
        for row in rows:
            end, until = max(steps[row][1], steps[row][0] + SHORTEST), max(words[i][1], words[i][0] + SHORTEST)
            seconds.append(min(end, until) - max(steps[row][0], words[i][0]))
        total = sum(second * values[row].astype(float) for second, row in zip(seconds, rows, strict=True))
        assert weighted[i] == pytest.approx(total / sum(seconds), abs=1e-4)
