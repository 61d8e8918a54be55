"""The simulated data set: nothing on disk, `workbench.data.simulator.synthetic` makes it on the spot."""

from pathlib import Path

from workbench.data.batch import Dataset
from workbench.data.card import DataCard


def read(card: DataCard, root: Path, **dials: object) -> Dataset:
    """`opinions` with a preset and dials (see `workbench.data.simulator.synthetic.opinions`); the card and the root are not needed."""
    from workbench.data.simulator.synthetic import opinions

    return opinions(**dials)
