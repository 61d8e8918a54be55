"""The command line: `workbench ...`. Heavy imports wait until a command needs them, so `--help` answers at once."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench import __version__
from workbench.errors import ConfigError, WorkbenchError

LOOK, TRAIN, COMPARE, REPORT, LIVE = "1 Look", "2 Train", "3 Compare", "4 Report", "5 Live"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Fuse text, audio and vision, and see what the fusion does.\n\n"
    "In the order of a day: look at data, train, compare, report, show it live. Every result also as JSON with --json.",
)
data_app = typer.Typer(
    no_args_is_help=True, help="Look at a data set, check it for faults and leaks, fetch it.  Example: workbench data check mosi_utterance"
)
app.add_typer(data_app, name="data", rich_help_panel=LOOK)

Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Root = Annotated[Path | None, typer.Option("--root", help="data root; default: $WORKBENCH_DATA or ~/.cache/workbench")]
FilePath = Annotated[Path | None, typer.Option("--path", help="where the one file of the card lies, whatever it is called")]
ReaderSettings = Annotated[list[str] | None, typer.Option("--set", help="key=value of the card's reader, may be repeated")]
Runs = Annotated[Path, typer.Option("--runs", help="folder of runs")]


@app.command("list", rich_help_panel=LOOK)
def list_names(
    what: Annotated[str, typer.Argument(help="methods, presets, datasets, balancers, encoders, notebooks or reports")],
    on: Annotated[str, typer.Option(help="methods: count each one's parameters on this data set")] = "",
    as_json: Json = False,
) -> None:
    """What there is.  Example: workbench list methods --on opinions/balanced"""
    from workbench.listing import listing, method_lines, methods_table

    if what == "methods":
        table = methods_table(on)
        _print_json(json.loads(table.to_json(orient="records"))) if as_json else typer.echo(method_lines(table))
        return
    rows = listing(what)
    if on:
        raise ConfigError(f"list {what} --on {on}: only methods are counted on a data set", do=f"workbench list methods --on {on}")
    if as_json:
        _print_json(rows)
    else:
        width = max((len(name) for name in rows), default=0)
        for name, text in rows.items():
            typer.echo(f"{name:<{width}}  {text}")


@data_app.command("show")
def data_show(
    card: str,
    sample: Annotated[int, typer.Option(help="which sample of train to draw")] = 0,
    settings: ReaderSettings = None,
    root: Root = None,
    path: FilePath = None,
    as_json: Json = False,
) -> None:
    """What a data card says, and, where the data is here, a sample of it drawn.  Example: workbench data show opinions/starved --sample 3"""
    from workbench.data.inspection.show import facts, show
    from workbench.listing import card_facts

    where = {"root": root, "path": path, **_values(settings or [])}
    if as_json:
        _print_json(card_facts(card, root=root) | facts(card, **where))
    else:
        typer.echo(show(card, sample=sample, **where))


@data_app.command("check")
def data_check(card: str, settings: ReaderSettings = None, root: Root = None, path: FilePath = None, as_json: Json = False) -> None:
    """Verify the data against its card and probe it for leaks; exit code 1 where a leak is found."""
    from workbench.data.inspection.check import check

    result = check(card, root=root, path=path, **_values(settings or []))
    _print_json(result.as_dict()) if as_json else typer.echo(result.text())
    if result.leaks:
        raise typer.Exit(1)


@data_app.command("fetch")
def data_fetch(
    card: str,
    root: Root = None,
    mirror: Annotated[Path | None, typer.Option(help="take the files from a local copy; default: $WORKBENCH_MIRROR")] = None,
    as_json: Json = False,
) -> None:
    """Download a data set from its card's sources, each file checked by its sha256."""
    from workbench.data.fetch import fetch

    files = fetch(card, root=root, mirror=mirror, progress=not as_json)
    _print_json([{"path": str(file.path), "bytes": file.bytes, "action": file.action} for file in files]) if as_json else typer.echo(
        f"{card}: {len(files)} files are there.  Next: workbench data check {card}"
    )


@data_app.command("convert")
def data_convert(
    card: str,
    settings: ReaderSettings = None,
    root: Root = None,
    path: FilePath = None,
    as_json: Json = False,
) -> None:
    """Read, verify and standardise a data set once; afterwards it opens at once, by memory map.  Example: workbench data convert mosei_mmsa"""
    from workbench.data import convert

    done = convert(card, root=root, path=path, **_values(settings or []))
    _print_json({"path": str(done.path), "bytes": done.bytes, "seconds": done.seconds}) if as_json else typer.echo(
        f"{card}: {done.bytes / 1e6:.1f} MB in {done.path} ({done.seconds:.1f} s to write).  Every load of it opens these files now."
    )


@app.command(rich_help_panel=TRAIN)
def train(
    method: Annotated[str, typer.Argument(help="a name of: workbench list methods")],
    dataset: Annotated[str, typer.Argument(help="a name of: workbench list datasets, or a card's path")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the method; plan.key=value; balance.key=value; data.key=value")
    ] = None,
    balance: Annotated[str, typer.Option(help="a rule of: workbench list balancers; none; default: the method's own")] = "default",
    seed: Annotated[int, typer.Option(help="seed of weights, order and dropout")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1")] = "auto",
    modalities: Annotated[str, typer.Option(help="only these, e.g. text,audio")] = "",
    runs: Runs = Path("runs"),
    root: Root = None,
    path: FilePath = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on where an interrupted run of exactly these settings stopped")] = False,
    preset: Annotated[
        str, typer.Option(help="published settings: default (for this data set), none, or a name of: workbench list presets")
    ] = "default",
    stages: Annotated[str, typer.Option(help="of a method trained in stages, only these, e.g. correlation,fusion; the others from --start")] = "",
    start: Annotated[Path | None, typer.Option(help="a finished run whose weights the other stages bring")] = None,
    nproc: Annotated[
        int, typer.Option(min=1, help="processes that share the training, one a GPU (or some cores each); the numbers are those of one")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Train one model and keep the run.  Example: workbench train lf_dnn opinions/starved --balance b_fusion"""
    if nproc > 1:
        raise typer.Exit(_train_together(nproc, {**locals(), "nproc": 1}))
    from tqdm.auto import tqdm

    from workbench.data import load
    from workbench.fitting import fit
    from workbench.ranks import place

    groups = _grouped(settings or [])
    data = load(dataset, root=root, path=path, **groups["data"])
    if modalities:
        data = data.select(*_names(modalities))
    plan = {"seed": seed, "device": device, **groups["plan"]}
    bar = tqdm(unit="epoch", disable=as_json or place() > 0 or None, desc=method)

    shown = ""

    def show(epoch: Any) -> None:
        nonlocal shown
        if epoch.stage != shown:
            shown = epoch.stage
            bar.reset()
            bar.set_description(f"{method} {shown}", refresh=False)
        bar.total = bar.total or (None if epoch.stage else plan.get("epochs"))
        bar.update(epoch.number - bar.n)
        bar.set_postfix_str(f"loss train {epoch.loss['train']:.3f}, valid {epoch.loss['valid']:.3f}")

    with bar:
        run = fit(method, data, config=groups["config"], balance=balance, balance_config=groups["balance"], plan=plan, preset=preset,
                  stages=_names(stages), start=start, runs=runs, resume=resume, on_epoch=show)  # fmt: skip
    if place() > 0:
        return
    if as_json:
        _print_json({"id": run.id, "path": str(run.path), "metrics": run.metrics})
        return
    headline = run.config["headline"]
    scores = "  ".join(f"{split} {headline} {_number(run.metrics[split][headline])}" for split in ("valid", "test") if split in run.metrics)
    typer.echo(f"{run.id}: {scores}  (best of {run.metrics['epochs']} epochs: {run.metrics['best_epoch']}, by valid loss)")
    for name, facts in run.metrics.get("stages", {}).items():
        own = "  ".join(f"{split} {headline} {_number(facts[split][headline])}" for split in ("valid", "test") if split in facts)
        typer.echo(
            f"  {name}: {own}  ({facts['epochs']} epochs, best {facts['best_epoch']})" if facts["epochs"] else f"  {name}: {own}  (from {start})"
        )
    typer.echo(f"Settings: {run.config['preset'] or 'the defaults'}, and those given.")
    typer.echo(f"Next: {run.path}/  ·  workbench compare --runs {runs}")


def _train_together(nproc: int, given: dict[str, Any]) -> int:
    """Starts the ranks of one training; the exit code of all."""
    from workbench.launching import check_count, launch

    warning = check_count(nproc, _grouped(given["settings"] or [])["plan"].get("device", given["device"]))
    if warning:
        typer.echo(f"note: {warning}", err=True)
    return launch(nproc, _train_as_rank, given)


def _train_as_rank(given: dict[str, Any]) -> int:
    """One rank's training; its exit code."""
    return _told(lambda: train(**given), as_json=given["as_json"])


@app.command(rich_help_panel=TRAIN)
def sweep(
    method: Annotated[str, typer.Argument(help="a name of: workbench list methods")],
    dataset: Annotated[str, typer.Argument(help="a name of: workbench list datasets, or a card's path")],
    over: Annotated[
        list[str] | None,
        typer.Option("--over", help="key=v1,v2,... or key=low..high[:log] or key (its limits); may be repeated; default: the paper's ranges"),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="what is not swept: key=value of the method; plan.key=, balance.key=, data.key=")
    ] = None,
    sampler: Annotated[str, typer.Option(help="grid, each (one setting at a time), random, tpe; default: grid for values, tpe for spans")] = "",
    trials: Annotated[int | None, typer.Option(help="how many settings (random, tpe)")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="trainings of each setting, averaged")] = 3,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: one a core, or one a GPU")] = None,
    scheduler: Annotated[str, typer.Option(help="train on the workers of this dask scheduler, e.g. tcp://host:8786")] = "",
    study: Annotated[str, typer.Option(help="SQL URL that several machines share, e.g. postgresql://user@host/sweeps")] = "",
    prune: Annotated[bool | None, typer.Option("--prune/--no-prune", help="end trials early that fall behind; default: random and tpe only")] = None,
    balance: Annotated[str, typer.Option(help="a rule of: workbench list balancers; none; default: the method's own")] = "default",
    preset: Annotated[str, typer.Option(help="published settings to start from: default, none, or a name of: workbench list presets")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1")] = "auto",
    modalities: Annotated[str, typer.Option(help="only these, e.g. text,audio")] = "",
    name: Annotated[str, typer.Option(help="of the sweep; default: from method, data and what is swept")] = "",
    folder: Annotated[Path, typer.Option(help="folder of sweeps")] = Path("sweeps"),
    root: Root = None,
    path: FilePath = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="try settings again whose training failed")] = False,
    on_test: Annotated[bool, typer.Option("--test", help="at the end, score the chosen setting once on the untouched test split")] = False,
    as_json: Json = False,
) -> None:
    """Train a method with many settings, and choose by valid.  Example: workbench sweep lf_dnn opinions --over hidden=64,128 --over dropout=0,0.2"""
    from workbench.sweeps import sweep as run_sweep

    groups = _grouped(settings or [])
    plan = {**({} if device == "auto" else {"device": device}), **groups["plan"]}
    result = run_sweep(
        method, dataset, _ranges(over) if over else None, seeds=seeds, sampler=sampler or None, trials=trials, study=study or None, workers=workers,
        scheduler=scheduler or None, folder=folder, name=name or None, prune=prune, config=groups["config"], plan=plan, balance=balance,
        balance_config=groups["balance"], modalities=_names(modalities), preset=preset,
        data_options={"root": root, "path": path, **groups["data"]}, retry_failed=retry_failed, has_progress=not as_json,
    )  # fmt: skip
    table = result.trials()
    test = result.on_test() if on_test else None
    if as_json:
        facts = {"path": str(result.path), "metric": result.metric, "best": json.loads(result.best().to_json(date_format="iso"))}
        facts |= {"test": None if test is None else json.loads(test.to_json(orient="records"))}
        _print_json({**facts, "trials": json.loads(table.to_json(orient="records", date_format="iso"))})
        return
    _sweep_lines(result, table, test)


def _sweep_lines(result: Any, table: Any, test: Any) -> None:
    """Result, where, next."""
    from workbench.statistics import mean_and_spread

    counts = ", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items())
    typer.echo(f"Best of {len(table)} settings ({counts}): {result.best_text()}")
    for _, row in table[table["state"] == "failed"].head(3).iterrows():
        typer.echo(f"  failed  {', '.join(f'{key}={row[key]}' for key in result.keys)}: {row['error'].partition(chr(10))[0]}")
    if test is not None:
        values = test[test["metric"] == result.metric]["value"].to_numpy()
        typer.echo(f"On test, looked at once: {result.metric} {mean_and_spread(values)} (n = {len(values)})")
    typer.echo(f"Where: {result.path}/  (study.db, sweep.json, runs)" if not result.record.study else f"Where: {result.path}/, {result.record.study}")
    score = "" if test is not None else "the same command with --test scores it on test, once  ·  "
    typer.echo(f"Next: {score}pictures: notebooks/08_sweep with path={result.path}")


def _ranges(items: list[str]) -> dict[str, Any]:
    """`--over` items: `key=1,2,3` a list, `key=1..9` and `key=1..9:log` a span, `key` the field's own limits."""
    import yaml

    ranges: dict[str, Any] = {}
    for item in items:
        key, is_given, text = (part.strip() for part in item.partition("="))
        if key in ranges:
            raise ConfigError(f"--over {key} is given twice", do=f"all values at once: --over {key}=1,2,3")
        low, is_span, high = text.removesuffix(":log").partition("..")
        if is_span and _is_number(low) and _is_number(high):
            ranges[key] = (low, high, "log") if text.endswith(":log") else (low, high)
            continue
        try:
            ranges[key] = yaml.safe_load(f"[{text}]") if is_given else None
        except yaml.YAMLError as error:
            raise ConfigError(f"--over {item}: the values cannot be read", expected="key=64,128 or key=1e-4..1e-2:log or key") from error
    return ranges


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@app.command(rich_help_panel=COMPARE)
def compare(
    runs: Runs = Path("runs"),
    split: Annotated[str, typer.Option(help="valid or test")] = "test",
    metric: Annotated[str, typer.Option(help="a metric's name; default: each data set's headline metric")] = "",
    pairs: Annotated[bool, typer.Option("--pairs", help="every two variants on the same samples: paired tests instead of the table")] = False,
    to: Annotated[list[Path] | None, typer.Option("--to", help="also write it to a .csv, .md or .tex file, may be repeated")] = None,
    as_json: Json = False,
) -> None:
    """All finished runs, one row a data set and variant: mean, spread, interval, ties.  Example: workbench compare --pairs --to pairs.tex"""
    from workbench import comparison, figures, pairing

    found = comparison.gather(comparison.finished(runs), split=split, metric=metric or None)
    if pairs:
        compared = pairing.pairs(found, split=split)
        table = figures.pairs_table(compared)
        said = f"{pairing.say_pairs(compared)}\n{pairing.say_groups(compared)}"
    else:
        table = figures.comparison_table(found, comparison.published(found) if split == "test" else None)
        said = f"{comparison.READING}\n{comparison.say_table(found)}"
    for path in to or []:
        figures.save(table, path)
    _print_json(json.loads(table.numbers.to_json(orient="records"))) if as_json else typer.echo(f"{table}\n\n{said}")


@app.command(rich_help_panel=COMPARE)
def predict(
    run: Annotated[Path, typer.Argument(help="folder of a finished run, or of an exported one")],
    card: Annotated[str, typer.Argument(help="a name of: workbench list datasets, a card's path, or a .json file: modality name to samples")],
    split: Annotated[str, typer.Option(help="of a card; default: test where there is one, else valid")] = "",
    sample: Annotated[list[str] | None, typer.Option("--sample", help="only the sample of this id, may be repeated")] = None,
    settings: ReaderSettings = None,
    out: Annotated[Path | None, typer.Option(help="write the table as csv")] = None,
    root: Root = None,
    path: FilePath = None,
    as_json: Json = False,
) -> None:
    """What a run says of samples, those of a card or your own.  Example: workbench predict runs/lf_dnn-... my_samples.json"""
    from workbench.exporting import load_exported
    from workbench.predicting import card_samples, predict_samples, read_samples_file
    from workbench.storage import cannot_write

    found, is_file = load_exported(run), card.endswith(".json")
    data = read_samples_file(Path(card)) if is_file else card_samples(found, card, root=root, path=path, **_values(settings or []))
    table = predict_samples(found, data, split=split or None, ids=sample)
    if out is not None:
        try:
            table.to_csv(out, index=False)
        except OSError as error:
            raise cannot_write(out, error, saving="the predictions", elsewhere="name another file with --out FILE") from error
    for note in table.attrs["notes"]:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        _print_json(json.loads(table.to_json(orient="records")))
    elif out is None:
        typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    else:
        typer.echo(f"{len(table)} predictions of {found.id} in {out}")


@app.command(rich_help_panel=COMPARE)
def export(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    out: Annotated[Path | None, typer.Option(help="folder to make; default: exports/RUN")] = None,
    card: Annotated[str, typer.Option(help="the data card, where it is found neither by its name nor in $WORKBENCH_CARDS")] = "",
    program: Annotated[bool, typer.Option("--program/--no-program", help="also as a program of torch.export, which runs alone")] = True,
    as_json: Json = False,
) -> None:
    """A run to give away: settings, weights, data card, model card, and a program that runs alone.  Example: workbench export runs/lf_dnn-..."""
    from workbench.exporting import export as write
    from workbench.runs import Run

    made = write(Run.load(run), out or Path("exports") / run.name, card=card or None, has_program=program)
    if as_json:
        _print_json(made.as_dict())
        return
    typer.echo(f"{made.path}/  ({', '.join(made.files)}; {made.bytes / 1e6:.1f} MB)")
    typer.echo(f"{made.program}.")


@app.command(rich_help_panel=COMPARE)
def bench(
    methods: Annotated[str, typer.Option(help="methods to time, e.g. lf_dnn,lf_lstm")] = "lf_dnn,lf_lstm",
    rounds: Annotated[int, typer.Option(min=3, help="rounds of A/B/A/B")] = 15,
    as_json: Json = False,
) -> None:
    """Seconds per epoch beside a bare PyTorch loop of the same model, side by side in one process.  Example: workbench bench"""
    from workbench.bench import bench as measure

    table = measure(methods.split(","), rounds=rounds)
    _print_json(json.loads(table.to_json(orient="records"))) if as_json else typer.echo(table.to_string(index=False))


@app.command(rich_help_panel=REPORT)
def report(
    name: Annotated[str, typer.Argument(help="a report of: workbench list reports; a report file; or a notebook")],
    parameters: Annotated[list[str] | None, typer.Option("-p", "--parameter", help="key=value for the notebooks, may be repeated")] = None,
    out: Annotated[Path, typer.Option(help="folder of reports")] = Path("reports"),
    workers: Annotated[int | None, typer.Option(min=1, help="notebooks at once; default: two, or half the cores, or one a GPU")] = None,
    scheduler: Annotated[str, typer.Option(help="execute on the workers of this dask scheduler, e.g. tcp://host:8786")] = "",
    gpus: Annotated[str, typer.Option(help="this machine's GPUs, one a worker, e.g. 0,1")] = "",
    cores: Annotated[int | None, typer.Option(min=1, help="cores of each notebook; default: an equal share")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="run every notebook again, also those whose page is up to date")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="open the index in a browser")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress")] = False,
    as_json: Json = False,
) -> None:
    """Execute a report's notebooks and write its pages.  Example: workbench report quick --workers 2 -p seeds=5"""
    from workbench.listing import data_lines
    from workbench.report import run_report

    result = run_report(
        name, parameters=_pairs(parameters or []), data=data_lines(), out=out, workers=workers, scheduler=scheduler or None,
        gpus=_names(gpus) or [], cores=cores, fresh=fresh, open_page=open_page, quiet=quiet or as_json,
    )  # fmt: skip
    if as_json:
        _print_json(result.as_dict())
    raise typer.Exit(result.exit_code)


@app.command(rich_help_panel=LIVE)
def lab(port: Annotated[int, typer.Option(help="port of the server")] = 8888) -> None:
    """JupyterLab on the notebooks, opened at 00_start_here."""
    import subprocess

    from workbench.report import notebook_folder

    folder = notebook_folder()
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--port={port}",
        f"--ServerApp.root_dir={folder.parent}",
        "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb",
    ]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def _names(text: str) -> list[str] | None:
    """`a, b` as a list; None where nothing is given."""
    return [name.strip() for name in text.split(",")] if text else None


def _number(value: float | None) -> str:
    """A score, or a dash where the metric is not defined."""
    return "-" if value is None else f"{value:.3f}"


def _pairs(items: list[str]) -> dict[str, str]:
    """`key=value` items as a dict.

    Raises:
        ConfigError: an item without `=`.
    """
    wrong = [item for item in items if "=" not in item]
    if wrong:
        raise ConfigError(f'"{wrong[0]}" is not of the form key=value', expected="for example --set hidden_size=64 or -p seeds=5")
    return dict(item.split("=", 1) for item in items)


def _grouped(items: list[str]) -> dict[str, dict[str, Any]]:
    """`--set` items by what they belong to: the method's config, the plan, the balancing rule, the data."""
    groups: dict[str, dict[str, Any]] = {"config": {}, "plan": {}, "balance": {}, "data": {}}
    for key, value in _values(items).items():
        owner, _, field = key.rpartition(".")
        if owner and owner not in groups:
            raise ConfigError(f'--set {key}: unknown group "{owner}"', expected="plan.KEY, balance.KEY, data.KEY, or KEY of the method")
        groups[owner or "config"][field] = value
    return groups


def _values(items: list[str]) -> dict[str, Any]:
    """`key=value` items with their values read as YAML."""
    import yaml

    values = {}
    for key, text in _pairs(items).items():
        if key.removeprefix("data.") in ("name", "root", "path"):
            raise ConfigError(f"--set {key}: that is no setting", expected="--root DIR, --path FILE, or the data set's name as an argument")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {key}: the value {text} cannot be read", expected="a YAML value, e.g. 64, 1e-3, true, [a, b]") from error
    return values


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, default=str))


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        typer.echo(f"workbench {__version__}")
        raise typer.Exit


def main() -> None:
    """Runs the command line; errors that people can cause are printed without a traceback (with `WORKBENCH_DEBUG=1` with one)."""
    sys.exit(_told(app, as_json="--json" in sys.argv))


def _told(call: Any, *, as_json: bool) -> int:
    """Calls, and says what went wrong in words for people; the exit code. Of several processes of one training only one speaks."""
    import os

    try:
        call()
    except WorkbenchError as error:
        if os.environ.get("WORKBENCH_DEBUG"):
            raise
        if not _speaks(error):
            return 2
        _print_json(error.as_dict()) if as_json else typer.echo(f"error: {error}", err=True)
        return 2
    except (KeyboardInterrupt, SystemExit) as end:
        # typer turns Ctrl-C into exit code 130, without a word.
        stop = _interrupt(end)
        if stop is None:
            raise
        if _speaks(stop):
            typer.echo(str(stop) or "Stopped. Finished runs and pages are kept; the same command (train: with --resume) goes on.", err=True)
        return 130
    return 0


def _speaks(error: BaseException) -> bool:
    """True in the one process that is to say it."""
    import os

    if "RANK" not in os.environ:
        return True
    from workbench.ranks import speaks

    return speaks(error)


def _interrupt(end: BaseException) -> KeyboardInterrupt | None:
    """The Ctrl-C behind an exit, if that is what it was."""
    error: BaseException | None = end
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error
