"""At what size, and on which data, a paper's claims are tried."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.data import is_simulated
from workbench.errors import ConfigError, WorkbenchError
from workbench.experiments import Results
from workbench.studies import draws
from workbench.taxonomy import Data

FEWEST_VALID = 40
"""Samples of a small valid split, as in the papers' own notebooks."""


@dataclass(frozen=True)
class Setup:
    """The size of a trial.

    Args:
        dataset: what claims are tried on; a card that is not simulated stands for `starved` and `emotions` too.
        starved: data in which modalities learn at unlike speed, for adaptive weight fusion.
        emotions: data with emotions, for delta attention.
        seeds: how many.
        samples: training and test samples of simulated data, half as many in valid.
        epochs: of each training.
        balance_epochs: of the trainings of adaptive weight fusion.
        stage_epochs: of each stage of delta attention.
        hidden_size: width of the models.
        align_to: modality whose steps simulated data is averaged over; empty: as recorded.
        hidden_range: widths of MLDFA's sweep.
        layer_range: numbers of MMILN's layers.
        idiosyncrasy: values of the dial.
        has_pretrained_text: try the text through a pretrained encoder too.
        runs: folder of runs.
    """

    dataset: str = "opinions/balanced"
    starved: str = "opinions/starved"
    emotions: str = "opinions/emotions"
    seeds: int = 4
    samples: int = 144
    epochs: int = 8
    balance_epochs: int = 15
    stage_epochs: int = 12
    hidden_size: int = 32
    align_to: str = "text"
    hidden_range: Sequence[int] = ()
    layer_range: Sequence[int] = (1, 3, 6)
    idiosyncrasy: Sequence[float] = (0.0, 2.0)
    has_pretrained_text: bool = False
    runs: str = "runs"

    @property
    def is_planted(self) -> bool:
        """Whether the data is simulated, so that its dials can be turned."""
        return is_simulated(self.dataset)

    @property
    def sizes(self) -> dict[str, int]:
        """Samples of simulated splits."""
        return {"train": self.samples, "valid": max(FEWEST_VALID, self.samples // 2), "test": self.samples}

    def named(self, preset: str) -> str:
        """The data set that stands for a preset of the simulator."""
        return preset if self.is_planted else self.dataset

    def options(self) -> dict[str, Any]:
        """Sizes and view of simulated data; other data is taken as it is."""
        return {**self.sizes, **({"align_to": self.align_to} if self.align_to else {})} if self.is_planted else {}

    def draw(self, preset: str) -> Data:
        """The data, drawn anew for each seed where it is simulated."""
        return draws(self.named(preset), self.seeds, **self.options())

    @property
    def budget(self) -> dict[str, Any]:
        """Seeds, plan and folder, as `workbench.taxonomy.trained` takes them."""
        return self.with_epochs(self.epochs)

    def with_epochs(self, epochs: int) -> dict[str, Any]:
        """The same with another number of epochs; none stops early."""
        return {"seeds": self.seeds, "plan": {"epochs": epochs, "patience": epochs}, "runs": self.runs}


class Trainings:
    """Comparisons of a paper, gathered one after the other; one that fails is left out with its reason, and the others go on.

    trainings = Trainings()
    trainings.add("hosts", data, lambda variants: compare(data, variants, seeds=3), variants)
    """

    def __init__(self) -> None:
        self.results: dict[str, Results] = {}
        self.data: dict[str, Data] = {}
        self.missing: dict[str, str] = {}

    def add(self, name: str, data: Data, make: Callable[[Mapping[str, Any]], Results], variants: Mapping[str, Any]) -> None:
        """Trains variants together; where one of them cannot be made of this data, one by one, so that only it is missing."""
        try:
            self._keep(name, data, make(variants))
        except ConfigError:
            for variant, settings in variants.items():
                self.attempt(name, data, lambda variant=variant, settings=settings: make({variant: settings}), missing=variant)
            self._note_empty(name)
        except WorkbenchError as error:
            self.missing[name] = said(error)

    def attempt(self, name: str, data: Data, make: Callable[[], Results], *, missing: str = "") -> None:
        """One comparison as a whole; its reason, under `missing` or its own name, where it fails."""
        try:
            self._keep(name, data, make())
        except WorkbenchError as error:
            self.missing[missing or name] = said(error)

    def _keep(self, name: str, data: Data, found: Results) -> None:
        self.results[name] = self.results[name] + found if name in self.results else found
        self.data[name] = data

    def _note_empty(self, name: str) -> None:
        if name not in self.results and self.missing:
            self.missing[name] = next(reversed(self.missing.values()))


def said(error: WorkbenchError) -> str:
    """What was wrong, as a reason in one line."""
    return f"could not be trained here: {error.what.splitlines()[0]}"
