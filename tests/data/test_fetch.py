import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from workbench.data import available, data_root, load
from workbench.data.card import card
from workbench.data.fetch import fetch
from workbench.errors import ConfigError, DataError, MissingDataError

CONTENT = {"a/one.csv": b"1,2\n", "a/b/two.csv": b"3,4,5\n"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with mirror/ (the files) and cards/ (a card `mine`); WORKBENCH_DATA is data/ in it."""
    for path, content in CONTENT.items():
        (tmp_path / "mirror" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror" / path).write_bytes(content)
    (tmp_path / "cards").mkdir()
    monkeypatch.setenv("WORKBENCH_CARDS", str(tmp_path / "cards"))
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    write_card(tmp_path)
    return tmp_path


def write_card(place: Path, url: str = "http://127.0.0.1:9") -> None:
    sources = "".join(
        f"  - path: {path}\n"
        + (f"    url: {url}/{path}\n" if url else "")
        + f"    sha256: {sha256(content).hexdigest()}\n    bytes: {len(content)}\n"
        for path, content in CONTENT.items()
    )
    (place / "cards" / "mine.md").write_text(
        "---\nname: mine\ntitle: t\ntask: {kind: regression, range: [0, 1]}\nmodalities:\n  a: {kind: vector, size: 1, description: d}\n"
        f"splits: {{train: 1, valid: 1}}\nformat: npz\nsources:\n{sources}licence: none\ncitation: none\n---\nProse.\n"
    )


@pytest.fixture
def server(place: Path) -> Iterator[str]:
    """The mirror over HTTP, on this machine only."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place / "mirror"))) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_mirror_copies_once_and_then_finds_everything(place):
    assert not available("mine")
    first = fetch("mine", mirror=place / "mirror", progress=False)
    assert [(found.action, found.bytes) for found in first] == [("copied", 4), ("copied", 6)]
    assert files(place / "data") == set(CONTENT)
    assert (place / "data/a/b/two.csv").read_bytes() == b"3,4,5\n"
    assert available("mine")
    again = fetch("mine", mirror=place / "mirror", progress=False)
    assert [found.action for found in again] == ["there", "there"]


def test_mirror_from_the_environment_and_root_by_argument(place, monkeypatch):
    monkeypatch.setenv("WORKBENCH_MIRROR", str(place / "mirror"))
    found = fetch("mine", root=place / "elsewhere", progress=False)
    assert found[0].path == place / "elsewhere/a/one.csv"
    assert available("mine", root=place / "elsewhere")
    assert not available("mine")


def test_download_with_progress_bar(place, server, capsys):
    write_card(place, server)
    assert [found.action for found in fetch("mine")] == ["downloaded", "downloaded"]
    assert files(place / "data") == set(CONTENT)
    told = capsys.readouterr()
    assert "mine" in told.err
    assert told.out == ""


def test_wrong_file_is_refused_and_nothing_kept(place, server):
    write_card(place, server)
    (place / "mirror/a/b/two.csv").write_bytes(b"3,4,6\n")
    with pytest.raises(
        DataError, match=r"a/b/two.csv is another file than the card's; nothing was kept(.|\n)*two.csv(.|\n)*sha256 (.|\n)*mine.md line 16"
    ):
        fetch("mine", progress=False)
    assert files(place / "data") == {"a/one.csv"}  # What was right stays; the same command goes on.
    (place / "mirror/a/b/two.csv").write_bytes(b"3,4")
    with pytest.raises(DataError, match=r"wrong size; nothing was kept(.|\n)*6 bytes, got 3 \(cut off\?\)"):
        fetch("mine", mirror=place / "mirror", progress=False)
    assert files(place / "data") == {"a/one.csv"}


def test_damaged_file_is_replaced(place):
    fetch("mine", mirror=place / "mirror", progress=False)
    (place / "data/a/one.csv").write_bytes(b"1,3\n")
    assert [found.action for found in fetch("mine", mirror=place / "mirror", progress=False)] == ["copied", "there"]
    assert (place / "data/a/one.csv").read_bytes() == b"1,2\n"


def test_interrupted_download_leaves_nothing(place, monkeypatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workbench.data.fetch.shutil.copyfile", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch("mine", mirror=place / "mirror", progress=False)
    assert files(place / "data") == set()


def test_no_network_no_mirror_no_url_no_name(place, server):
    with pytest.raises(MissingDataError, match=r"a/one.csv could not be downloaded(.|\n)*--mirror DIR"):
        fetch("mine", progress=False)
    write_card(place, server + "/none")
    with pytest.raises(MissingDataError, match=r"could not be downloaded: 404"):
        fetch("mine", progress=False)
    with pytest.raises(MissingDataError, match="there is no mirror"):
        fetch("mine", mirror=place / "none", progress=False)
    (place / "mirror/a/one.csv").unlink()
    with pytest.raises(MissingDataError, match=r"the mirror has no a/one.csv"):
        fetch("mine", mirror=place / "mirror", progress=False)
    write_card(place, "")
    with pytest.raises(MissingDataError, match=r"a/one.csv cannot be downloaded, its card has no url"):
        fetch("mine", progress=False)
    with pytest.raises(ConfigError, match="unknown data set"):
        fetch("min_e_s", progress=False)
    assert files(place / "data") == set()


def test_root_that_cannot_be_written(place):
    (place / "data").write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"one.csv cannot be written(.|\n)*WORKBENCH_DATA"):
        fetch("mine", mirror=place / "mirror", progress=False)


def test_missing_files_name_the_command(place):
    with pytest.raises(MissingDataError, match=r"2 of 2 files are not on this machine(.|\n)*a/one.csv, a/b/two.csv(.|\n)*workbench data fetch mine"):
        load("mine")


def test_nothing_to_fetch():
    assert fetch("digits") == []
    assert available("opinions/starved")


def test_default_root(monkeypatch, tmp_path):
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root() == tmp_path / ".cache/workbench"
    assert data_root("x/y/mine.md") == Path("x/y")


def test_mosi_arrives_from_the_mirror(mirror, place):
    found = fetch("mosi", mirror=mirror, progress=False)
    assert {file.action for file in found} == {"copied"}
    assert len(found) == len(card("mosi").sources) == 6
    assert available("mosi")
    assert not available("mosi_utterance")
    assert len(load("mosi")["train"]) == 1284
