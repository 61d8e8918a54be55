"""The small grammar behind the sentences of `opinions`: words, templates, and the fixed vocabulary.

A sentence has two evidence slots. In the first stands a word for the shared cue ("the acting was wonderful"), in the second one for the
text's own cue ("i was annoyed at the ending"); where nothing is shown, a filler that says nothing ("the acting was recorded").
Names of films and people are neutral; how many there are is the dial `names`.
"""

from functools import cache

import numpy as np

from workbench.data.batch import PADDING, UNKNOWN
from workbench.data.simulator.dials import MOST_NAMES


def _words(line: str) -> tuple[str, ...]:
    return tuple(line.split())


EVIDENCE: dict[str, dict[int, tuple[str, ...]]] = {
    "shared": {
        -2: _words("terrible awful dreadful horrible appalling atrocious abysmal ghastly hideous wretched disastrous unbearable"),
        -1: _words("weak dull flat bland clumsy tired thin shallow slow stale uneven patchy"),
        1: _words("good decent pleasant nice solid likeable agreeable fine neat capable engaging tidy"),
        2: _words("wonderful superb brilliant magnificent outstanding stunning masterful dazzling glorious marvellous exquisite breathtaking"),
        0: _words("recorded indoors modern digital recent scripted"),
    },
    "unique": {
        -2: _words("furious disgusted miserable outraged devastated horrified enraged sickened livid revolted heartbroken incensed"),
        -1: _words("bored annoyed restless puzzled irritated unmoved weary deflated sleepy doubtful uneasy disappointed"),
        1: _words("pleased amused content interested cheered comforted charmed relaxed soothed hopeful touched satisfied"),
        2: _words("thrilled delighted overjoyed enchanted ecstatic elated enraptured exhilarated captivated mesmerised spellbound euphoric"),
        0: _words("present seated awake upstairs standing alone"),
    },
}
"""Words by slot and level, 12 synonyms a level; level 0 are the fillers."""

CHOICES = {
    "OPENER": ("well", "so", "okay", "you know", "i mean", "anyway", "alright", "as i said"),
    "ASPECT": ("acting", "music", "story", "script", "editing", "cast", "dialogue", "soundtrack", "lighting", "camera"),
    "PART": ("ending", "opening", "finale", "premiere", "start", "middle"),
    "COLOUR": ("crimson", "silver", "amber", "scarlet", "northern", "distant", "second", "winter", "autumn", "violet", "paper", "copper"),
    "CLOSER": ("i guess", "you know", "that is it", "i think", "as it were"),
}
"""What stands in the neutral slots."""

TEMPLATES = tuple(
    line.split()
    for line in (
        "OPENER the ASPECT was SHARED and i was UNIQUE at the PART of COLOUR NAME with NAME CLOSER",
        "OPENER i was UNIQUE at the PART of COLOUR NAME by NAME and the ASPECT was SHARED CLOSER",
        "OPENER in COLOUR NAME by NAME the ASPECT was SHARED and i was UNIQUE at the PART CLOSER",
        "OPENER NAME showed me COLOUR NAME and the ASPECT was SHARED so i was UNIQUE at the PART CLOSER",
    )
)

_FIRST = _words(
    "ash black bram brack carl cold cran dar den east elm fair fern glen green had hal ham hart hazel hol hor kel king kirk lang lin lock mal mar "
    "mat mel mer mor nor oak pen pres quin rad raven rock rush sel shel stan stock thorn tren wes"
)
_LAST = _words(
    "bourne brook burn bury by cliff combe cote croft dale den field ford gate ham hill holm hurst ing ington land leigh ley low man mere mont more "
    "ness port ridge sey stead stone ton vale ville wick wood worth"
)


@cache
def names(count: int) -> tuple[str, ...]:
    """The first `count` of the 2,000 names of films and people, varied from the first on: ashbourne, blackbrook, ..."""
    # 50 beginnings and 40 endings; as 11 has no factor in common with 40, index -> (beginning, ending) meets every pair once
    return tuple(_FIRST[i % 50] + _LAST[(i + i // 50) % 40] for i in range(min(count, MOST_NAMES)))


def synonyms(hardness: float) -> int:
    """Over how many words each level of the text is spread: 2 at hardness 0, all 12 at hardness 1."""
    return 2 + round(10 * hardness)


@cache
def vocabulary(count: int) -> tuple[str, ...]:
    """Every word of the grammar with `count` names, by token id; it depends on nothing else, so all data sets of one `names` share it."""
    fixed = {word for template in TEMPLATES for word in template if word.islower()}
    fixed |= {word for phrases in CHOICES.values() for phrase in phrases for word in phrase.split()}
    fixed |= {word for family in EVIDENCE.values() for level in family.values() for word in level}
    special = [""] * 2
    special[PADDING], special[UNKNOWN] = "<padding>", "<unknown>"
    return (*special, *sorted(fixed), *names(count))


def sentence(template: int, draws: np.ndarray, evidence: dict[str, str], people: tuple[str, ...]) -> tuple[list[str], dict[str, int]]:
    """Fills one template.

    Args:
        template: which of `TEMPLATES`.
        draws: one number in [0, 1) for each word of the template; the neutral slots use theirs.
        evidence: the word of each evidence slot, `shared` and `unique`.
        people: the names to choose from.

    Returns:
        The words, and the position of each evidence slot.
    """
    words, positions = [], {}
    for slot, draw in zip(TEMPLATES[template], draws, strict=False):
        if slot in CHOICES:
            words += CHOICES[slot][int(draw * len(CHOICES[slot]))].split()
        elif slot == "NAME":
            words.append(people[int(draw * len(people))])
        elif slot in ("SHARED", "UNIQUE"):
            positions[slot.lower()] = len(words)
            words.append(evidence[slot.lower()])
        else:
            words.append(slot)
    return words, positions
