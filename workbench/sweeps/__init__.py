"""Hyper-parameter sweeps of any method, on optuna and dask: killed and started again they go on, and select on valid.

    from workbench.sweeps import Sweep, sweep

    result = sweep("lf_dnn", "opinions/starved", {"hidden": [32, 64, 128], "learning_rate": [5e-4, 1e-3]})
    result.trials()       # one row a setting: value (mean over the seeds on valid), sd, n, ...
    result.best()         # the chosen setting, by valid
    result.on_test()      # its score on the untouched test split: once, at the end

On disk: `sweeps/<name>/` with `study.db` (or any SQL server by `study=`), `sweep.json` (what it is of), `runs/` (every training), `chosen.json`.
"""

from workbench.sweeps.launch import sweep
from workbench.sweeps.results import Sweep

__all__ = ["Sweep", "sweep"]
