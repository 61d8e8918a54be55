"""reports/many_machines.md: every command on the page is one, and every script and YAML parses."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from workbench.cli import app

PAGE = (Path(__file__).parents[1] / "reports" / "many_machines.md").read_text()

BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every command line of the shell scripts and of the pods on the page, as words without settings and redirections."""
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    words = [shlex.split(line.removesuffix("&"), comments=True) for line in lines if "$(" not in line]
    words += [container["command"] for pod in pods() for container in pod["containers"]]
    found = []
    for line in words:
        while line and (line[0] == "srun" or re.fullmatch(r"[A-Z_]+=.*", line[0])):
            line = line[1:]
        found.append([str(word) for word in line])
    return [line for line in found if line]


def pods() -> list[dict]:
    """The pods of the page's YAML."""
    found = [yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml"]
    return [one["spec"]["template"]["spec"] for one in found if one["kind"] == "Job"]


def of(name: str) -> list[list[str]]:
    """The arguments of each command of this name."""
    return [line[1:] for line in commands() if line[0] == name]


def parse(command: Any, arguments: list[str]) -> None:
    """Parses as the command line does, and runs nothing; raises what that raises for an unknown command, option or value."""
    with command.make_context(command.name or "it", list(arguments)) as context:
        if hasattr(command, "resolve_command"):
            _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            parse(found, rest)


def test_the_page_has_all_kinds_of_commands():
    assert {line[0] for line in of("workbench")} == {"sweep", "report", "train"}
    assert {line[0] for line in of("dask")} == {"scheduler", "worker"}
    assert len(of("torchrun")) == 1
    assert {kind for kind, _ in BLOCKS} == {"sh", "python", "yaml", "dockerfile"}
    assert len(pods()) == 1


@pytest.mark.parametrize("arguments", of("workbench"), ids=" ".join)
def test_a_command_of_the_workbench(arguments):
    parse(typer.main.get_command(app), arguments)


@pytest.mark.parametrize("arguments", of("dask"), ids=" ".join)
def test_a_command_of_dask(arguments):
    from distributed.cli import dask_scheduler, dask_worker

    parse({"scheduler": dask_scheduler.main, "worker": dask_worker.main}[arguments[0]], arguments[1:])


def test_a_command_of_torchrun_starts_a_command_of_the_workbench():
    from torch.distributed.run import get_args_parser

    (arguments,) = of("torchrun")
    found = get_args_parser().parse_args(arguments)
    assert (found.module, found.training_script, found.nproc_per_node) == (True, "workbench", "2")
    parse(typer.main.get_command(app), found.training_script_args)


def test_a_command_that_is_none_is_found():
    for wrong in (["sweeep", "mult", "mosi"], ["sweep", "mult", "mosi", "--schedular", "tcp://x"], ["sweep", "mult", "mosi", "--seeds", "few"]):
        with pytest.raises(Exception, match="No such|valid integer"):
            parse(typer.main.get_command(app), wrong)


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "python"])
def test_a_script_parses_and_its_workers_are_dask_s(text):
    from distributed.cli.dask_worker import main

    tree = ast.parse(text)
    (given,) = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in ("worker_extra_args", "worker_command")]
    value = ast.literal_eval(given.value)
    arguments = value.split()[2:] if isinstance(value, str) else value
    parse(main, ["tcp://host:8786", *arguments])


def test_what_a_worker_may_live_is_a_time_that_dask_can_read():
    from dask.utils import parse_timedelta

    (life,) = re.findall(r'"--lifetime", "(\w+)"', PAGE)
    (hours,) = re.findall(r'walltime="(\d+):00:00"', PAGE)
    assert 0 < parse_timedelta(life) < 3600 * int(hours)


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "yaml"])
def test_a_manifest_parses(text):
    found = yaml.safe_load(text)
    assert {"apiVersion", "kind", "metadata", "spec"} <= set(found)


def test_the_image_is_built_of_files_that_are_here():
    (text,) = [text for kind, text in BLOCKS if kind == "dockerfile"]
    extras = re.search(r"-e \.\[([a-z,]+)\]", text)[1].split(",")
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", project, flags=re.MULTILINE) for extra in extras)
    assert (Path(__file__).parents[1] / "constraints.txt").is_file()


@pytest.mark.parametrize("name", re.findall(r"`(tests/[\w/.]+)`", PAGE))
def test_what_is_said_to_be_rehearsed_is(name):
    assert (Path(__file__).parents[1] / name).is_file()
