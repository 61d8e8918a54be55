"""A clock that jumps by hours, for a whole process and all that it starts: `JUMPING` is compiled and put before the C library.

`python clocks.py FOLDER WORKERS` does some work under it and prints the numbers; the clock's offset lies in the file that `CLOCK_OFFSET` names.
"""

import json
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Any

HOURS = (5, -7, 0.01, 48, -300)

JUMPING = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset(void) {
    static volatile long *shared;
    if (!shared) {
        int file = open(getenv("CLOCK_OFFSET"), O_RDONLY);
        shared = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
        close(file);
    }
    return *shared;
}
int clock_gettime(clockid_t which, struct timespec *now) {
    int code = syscall(SYS_clock_gettime, which, now);
    if (!code && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
    return code;
}
int gettimeofday(struct timeval *now, void *zone) {
    int code = syscall(SYS_gettimeofday, now, zone);
    if (!code) now->tv_sec += offset();
    return code;
}
time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}
"""


def jump(hours: float) -> None:
    """Sets the clock so many hours off."""
    with Path(os.environ["CLOCK_OFFSET"]).open("r+b") as file:
        file.write(struct.pack("q", int(hours * 3600)))


def jumping() -> None:
    """Jumps four times a second, for ever."""
    for hours in cycle(HOURS):
        jump(hours)
        time.sleep(0.25)


class PowerCutError(Exception):
    """Ends a sweep after its first trial."""


def work(folder: Path, workers: int, on_trial: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """A training, a comparison and a sweep that ends in the middle and goes on; their numbers, and all seconds that they say.

    Args:
        folder: where they are kept.
        workers: of the sweep.
        on_trial: called when a trial has ended.
    """
    from conftest import make_toy

    from workbench.experiments import compare
    from workbench.fitting import fit
    from workbench.sweeps import sweep

    data, plan = make_toy(train=64, other=24), {"epochs": 3, "probe_every": 0, "device": "cpu"}
    run = fit("lf_dnn", data, runs=folder / "runs", plan={**plan, "epochs": 6}, checkpoint_seconds=0)
    variants = {"joint": {"method": "lf_dnn"}, "text": {"method": "lf_dnn", "modalities": ["text"]}}
    found = compare(data, variants, seeds=2, plan=plan, runs=folder / "runs", workers=1, has_progress=False)
    options = {"over": {"hidden_size": [4, 5, 6]}, "seeds": 1, "plan": plan, "folder": folder, "name": "one", "has_progress": False}

    def end(number: int, outcome: Any) -> None:
        on_trial()
        raise PowerCutError

    with suppress(PowerCutError):
        sweep("lf_dnn", data, on_trial=end, workers=workers, **options)
    table = sweep("lf_dnn", data, workers=workers, on_trial=lambda number, outcome: on_trial(), **options).trials()
    runs = [run, *found.runs]
    epochs = [second for one in runs for second in one.trace["history"]["seconds"].values.tolist()]
    return {
        "metrics": [{key: value for key, value in one.metrics.items() if key != "seconds"} for one in runs],
        "trials": sorted(table[["hidden_size", "state", "value"]].to_numpy().tolist()),
        "seconds": [*epochs, *(one.metrics["seconds"] for one in runs), *table["seconds"]],
    }


if __name__ == "__main__":
    before, day = time.time(), datetime.now()
    jump(30)
    assert time.time() - before > 29 * 3600
    assert (datetime.now() - day).total_seconds() > 29 * 3600
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    if workers == 1:
        threading.Thread(target=jumping, daemon=True).start()
        done = work(folder, workers)
    else:
        # dask too measures how long it waits by the time of day: it stands one jump now and then, not four a second.
        moments = cycle(HOURS)
        done = work(folder, workers, on_trial=lambda: jump(next(moments)))
    sys.stdout.write(json.dumps(done))
