"""The six emotions of `opinions`: which of them are present is a function of the same hidden cues as the score.

With s the shared cue, w = u'_text what the words mean (turned round by sarcasm), v = u_audio the voice's own cue, f = u_vision the face's own cue:

| emotion | present where | share of the samples | what it takes to see it |
|---|---|---|---|
| happy | s > 0 | 1/2 | the shared cue: any modality |
| sad | v = -2 | 1/4 | the voice, nothing else |
| anger | w + f <= -3 | 3/16 | words and face; the voice says whether the words are meant |
| surprise | f = 2 and v > 0 | 1/8 | face and voice |
| disgust | w = -2 and s < 0 | 1/8 | words, turned round by the voice's mark of sarcasm, and the shared cue |
| fear | s = -2 and f = 2 | 1/16 | the shared cue and the face: the face alone can do it |

All four cues are equally likely -2, -1, 1, 2 and independent, whatever the dials, so the shares are the same for all dials. Any number of emotions is
present, also none: some exclude each other (happy and fear), some go together (surprise and fear share the face's strongest cue).
"""

from itertools import product

import numpy as np

from workbench.data.simulator.cues import LEVELS

EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
"""The labels, in CMU-MOSEI's order."""

RULES = {
    "happy": "shared > 0",
    "sad": "voice = -2",
    "anger": "words + face <= -3",
    "surprise": "face = 2 and voice > 0",
    "disgust": "words = -2 and shared < 0",
    "fear": "shared = -2 and face = 2",
}
"""When each is present, for people; `words` are the text's own cue after sarcasm, `voice` and `face` those of audio and vision."""


def presence(shared: np.ndarray, words: np.ndarray, voice: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Which emotions are present, `... emotion` (bool), of cues of one shape."""
    present = (
        shared > 0,
        voice == -2,
        words + face <= -3,
        (face == 2) & (voice > 0),
        (words == -2) & (shared < 0),
        (shared == -2) & (face == 2),
    )
    return np.stack(present, axis=-1)


TABLE = presence(*np.array(list(product(LEVELS, repeat=4))).T).reshape(4, 4, 4, 4, len(EMOTIONS)).astype(float)
"""1 where an emotion is present, `shared words voice face emotion`, by the number of each cue's level."""
