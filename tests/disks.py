"""Small disks and read-only folders for the tests, real ones: mounts, which need the right to mount."""

import shutil
import subprocess
from pathlib import Path

import pytest


def mounted(*options: object) -> None:
    """Mounts something, or skips the test where that is not allowed (no root, a container without the right)."""
    done = subprocess.run(["mount", *map(str, options)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a real fault needs the right to mount: {done.stderr.strip()}")


class Disk:
    """A small disk of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, *, but: int) -> None:
        """Leaves so many bytes."""
        with (self.path / "filler").open("wb") as file:
            file.write(b"\0" * (shutil.disk_usage(self.path).free - but))

    def make_room(self) -> None:
        (self.path / "filler").unlink()
