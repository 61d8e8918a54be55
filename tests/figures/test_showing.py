"""A figure goes out as data with its caption below."""

import subprocess
import sys

import pandas as pd
import pytest

import workbench.figures
from workbench.figures.captions import alt_of, attach, caption_of
from workbench.figures.showing import PLOTLY, escape_markdown, show


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict, dict]]:
    """What `display` was given."""
    found: list[tuple[dict, dict]] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw, metadata: found.append((bundle, metadata)))
    return found


FRAME = pd.DataFrame({"variant": ["a", "a"], "seed": [0, 1], "value": [0.8, 0.9]})


def test_a_plotly_figure_is_data_only(shown: list) -> None:
    figure = workbench.figures.unimodal_and_joint(FRAME.assign(label="j", kind="joint"), metric="accuracy")
    show(figure)
    (bundle, _), (caption, metadata) = shown
    assert set(bundle) == {PLOTLY, "text/plain"}
    assert bundle[PLOTLY]["layout"]["meta"]["caption"] == caption_of(figure) == bundle["text/plain"]
    assert metadata == {"workbench": {"is_caption": True}}
    assert caption["text/plain"] == caption_of(figure)


def test_a_matplotlib_figure_is_an_svg_with_real_text(shown: list) -> None:
    figure = workbench.figures.scores_over_seeds(FRAME, "accuracy")
    show(figure)
    svg = shown[0][0]["image/svg+xml"]
    assert svg.startswith("<svg") and ">accuracy</text>" in svg
    assert shown[0][1]["workbench"]["alt"] == alt_of(figure) == "a: .85 ± .07 (n = 2)."


def test_a_figure_without_a_caption_is_shown_alone(shown: list) -> None:
    import plotly.graph_objects as go

    show(go.Figure())
    assert len(shown) == 1 and caption_of(go.Figure()) == ""


def test_markdown_in_names_is_escaped() -> None:
    assert escape_markdown("lf_dnn *<b>* $x$") == r"lf\_dnn \*\<b\>\* \$x\$"


def test_the_first_sentence_is_the_alternative_text() -> None:
    import plotly.graph_objects as go

    figure = attach(go.Figure(), "Text is .812 above.", "", "Lines: one seed.")
    assert (alt_of(figure), caption_of(figure)) == ("Text is .812 above.", "Text is .812 above. Lines: one seed.")


def test_all_public_names_are_there_and_the_file_of_show_does_not_hide_it() -> None:
    assert all(callable(getattr(workbench.figures, name)) for name in workbench.figures.__all__)
    with pytest.raises(AttributeError, match="no attribute 'pie'"):
        workbench.figures.pie  # noqa: B018


def test_figures_never_import_torch() -> None:
    code = "import sys, workbench.figures as f; [getattr(f, name) for name in f.__all__]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
