"""The study of a sweep: a SQLite file, or an SQL server that several drivers share."""

import hashlib
import json
import logging
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import ConfigError
from workbench.storage import cannot_write, number_of

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

HEARTBEAT_SECONDS, GRACE_SECONDS = 20, 120
"""On a server that several drivers share: how often a driver says that its trials live, and how long without a word until another retries them."""

TABLES_KEY = 20_26_11_21
"""Lock of the moment in which a server's tables are made."""

STARTUP_TRIALS = 5
"""Finished trials before any is pruned."""


def plain_url(url: str) -> str:
    """The URL as SQLAlchemy takes it: PostgreSQL through psycopg 3."""
    for start in ("postgresql://", "postgres://"):
        if url.startswith(start):
            return f"postgresql+psycopg://{url.removeprefix(start)}"
    return url


def without_password(url: str) -> str:
    """The URL as it may stand in a file.

    Raises:
        ConfigError: it is none.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        found = make_url(plain_url(url)).difference_update_query(["password"])
    except ArgumentError as error:
        raise _cannot_open(error) from error
    return found._replace(password=None).render_as_string(hide_password=False)


def open_storage(url: str) -> "optuna.storages.RDBStorage":
    """The storage behind a URL.

    Raises:
        ConfigError: the URL is none, its driver is not installed, or its server does not answer.
        StorageError: it is a file that cannot be written.
    """
    import optuna
    from sqlalchemy import NullPool, create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    url = plain_url(url)
    is_file = url.startswith("sqlite")
    beat = {} if is_file else {"heartbeat_interval": HEARTBEAT_SECONDS, "grace_period": GRACE_SECONDS}
    engine = {"connect_args": {"timeout": 60}} if is_file else {"pool_pre_ping": True}
    try:
        # Two drivers must not make the tables at the same moment.
        with quiet(), _one_at_a_time(create_engine(url, poolclass=NullPool), TABLES_KEY):
            return optuna.storages.RDBStorage(url, engine_kwargs=engine, **beat)
    except (ArgumentError, ImportError, SQLAlchemyError, ValueError, RuntimeError) as error:
        if is_file and number_of(error) is not None and (path := Path(make_url(url).database)).parent.is_dir():
            raise cannot_write(path, error, saving=f"the study {path}", elsewhere="choose another folder with --folder FOLDER") from error
        raise _cannot_open(error) from error


def _cannot_open(error: Exception) -> ConfigError:
    what = f"the study cannot be opened: {str(error).strip().splitlines()[0]}"
    return ConfigError(what, where="--study", expected="an SQL URL, e.g. postgresql://user@host/sweeps", do="see that the server runs")


@contextmanager
def _one_at_a_time(engine: Any, key: int) -> Iterator[None]:
    """Holds a lock of the server that goes with the connection.

    A file has one driver (there is a lock on its folder). Of other servers than PostgreSQL we know none: there a trial may be enqueued twice.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    from sqlalchemy import text

    with engine.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": key})
        try:
            yield
        finally:
            connection.execute(text("select pg_advisory_unlock(:key)"), {"key": key})
            connection.commit()


@contextmanager
def quiet() -> Iterator[None]:
    """Without optuna's log lines, and without its notes that what we use is experimental."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="optuna")
            warnings.filterwarnings("ignore", message="Heartbeat of storage")
            warnings.filterwarnings("ignore", category=_experimental())
            yield
    finally:
        logger.setLevel(level)


def _experimental() -> type[Warning]:
    from optuna.exceptions import ExperimentalWarning

    return ExperimentalWarning


class Store:
    """One study, as one driver sees it.

    Args:
        url, name: the storage and the study in it; made where it is not there yet.
        is_lower_better: direction of the score.
        warm_up: steps before a trial may be pruned.
    """

    def __init__(self, url: str, name: str, *, is_lower_better: bool, warm_up: int = 0) -> None:
        import optuna

        self.storage, self.name = open_storage(url), name
        # A server's connections end with the store.
        weakref.finalize(self, self.storage.engine.dispose)
        self.is_shared = not plain_url(url).startswith("sqlite")
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=warm_up)
        of = {"storage": self.storage, "study_name": name, "pruner": pruner}
        with quiet(), self.alone():
            try:
                # First, because it writes nothing: a finished sweep can be read in a folder that is read-only.
                self.study = optuna.load_study(**of)
            except KeyError:
                self.study = optuna.create_study(direction="minimize" if is_lower_better else "maximize", **of)

    def use_tpe(self, *, seed: int) -> None:
        """Lets trials that are not enqueued be proposed by TPE."""
        import optuna

        with quiet():
            self.study.sampler = optuna.samplers.TPESampler(seed=seed)

    def trials(self) -> list["FrozenTrial"]:
        """All trials of the study as they are now."""
        with quiet():
            return self.study.get_trials(deepcopy=False)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Among all drivers of the study, one at a time: enqueueing and claiming. A driver that dies in here lets go by dying."""
        with _one_at_a_time(self.storage.engine, self._key):
            yield

    def record(self, facts: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """What the study says it is of; writes it where `facts` are given."""
        with quiet():
            if facts is not None:
                self.study.set_user_attr("sweep", json.dumps(facts))
            found = self.study.user_attrs.get("sweep")
        return json.loads(found) if found else None
