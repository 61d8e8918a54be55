"""A sweep in a process of its own, for the tests that kill it: `python killable.py FOLDER WORKERS|SCHEDULER [STUDY [BEAT GRACE]]`."""

import os
import sys
import time
from pathlib import Path

from workbench.sweeps import store, sweep
from workbench.sweeps.desk import Desk
from workbench.sweeps.ranges import Range, plain
from workbench.sweeps.settings import listed_settings
from workbench.sweeps.space import Space
from workbench.sweeps.store import Store
from workbench.sweeps.trials import Outcome

SETTINGS = {"hidden_size": [3, 4, 5], "plan.learning_rate": [1e-3, 1e-2]}

OPTIONS = {"train": 240, "valid": 100, "test": 40}


def settings(epochs: int = 15) -> dict:
    """All arguments but the folder and the workers."""
    plan = {"epochs": epochs, "patience": 999, "batch_size": 8, "probe_every": 0, "device": "cpu"}
    return {"over": SETTINGS, "seeds": 2, "plan": plan, "data_options": OPTIONS, "name": "killed", "preset": "none"}


GRID = {"a": Range("a", tuple(range(12)))}


def desk(server: str, name: str, *, learns: bool = False, trials: int = 0) -> Desk:
    """A driver's desk, started."""
    store = Store(server, name, is_lower_better=False)
    if learns:
        store.use_tpe(seed=len(store.trials()))
    made = Desk(store, Space(GRID, {}, learns), [] if learns else listed_settings("grid", GRID, {}, None), trials)
    made.start()
    return made


def work(url: str, name: str, learns: bool, lobby: str, drivers: int) -> list[str]:
    """The settings that one driver gets until there are none left; nothing is trained. It begins once all drivers are in the lobby (a folder)."""
    mine, settings = desk(url, name, learns=learns, trials=9 if learns else 0), []
    Path(lobby, str(os.getpid())).touch()
    while len(list(Path(lobby).iterdir())) < drivers:
        time.sleep(0.01)
    while (claim := mine.claim()) is not None:
        settings.append(plain(claim[1]))
        time.sleep(0.02)
        mine.tell(claim[0], Outcome("complete", {0: {"m": 0.1 * claim[1]["a"]}}), "m")
    mine.close()
    return settings


if __name__ == "__main__":
    folder, workers, *rest = sys.argv[1:]
    if rest[1:]:
        store.HEARTBEAT_SECONDS, store.GRACE_SECONDS = map(int, rest[1:])
    place = {"scheduler": workers} if workers.startswith("tcp") else {"workers": int(workers)}
    result = sweep("lf_dnn", "opinions/starved", folder=folder, study=rest[0] if rest else None, **place, **settings())
    sys.stdout.write(f"done {len(result.trials())}\n")
