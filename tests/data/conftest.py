import os
from pathlib import Path

import pytest


@pytest.fixture
def mirror() -> Path:
    """The local copy of the real data, or the test is skipped with the reason."""
    folder = Path(os.environ.get("WORKBENCH_MIRROR") or Path(__file__).parents[3] / "shared" / "data")
    if not (folder / "mosi_declare_lab").is_dir():
        pytest.skip(f"no local copy of MOSI at {folder} (set WORKBENCH_MIRROR)")
    return folder
