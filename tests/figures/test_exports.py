"""Tables that leave the page: CSV and Markdown parse back, LaTeX compiles (where there is a pdflatex) and is whole in any case."""

import io
import re
import shutil
import subprocess

import mistune
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from workbench.errors import ConfigError
from workbench.figures import TextTable, save
from workbench.figures.forms import LATEX, latex_text, to_csv

NASTY = r"a_b & c% #1 $x$ {y} ~z^2 \end{tabular} <b>|"


@pytest.fixture
def table():
    """Two blocks: a tie, an italic published row with its source, and a name full of what LaTeX and Markdown read."""
    rows = (
        ({"text": NASTY}, {"text": ".812 ± .014", "is_bold": True, "is_tied": True, "interval": [0.1, 0.5, 0.9]}, {"text": "5"}),
        ({"text": "plain"}, {"text": "-.80 ± .02", "is_bold": True, "is_tied": True}, {"text": "5"}),
        ({"text": "printed", "is_italic": True, "source": "other features"}, {"text": ".830", "is_italic": True}, {"text": ""}),
    )
    numbers = pd.DataFrame({"variant": [NASTY, "plain", "printed"], "mean": [0.812, -0.8, 0.83], "n": [5, 5, 0]})
    return TextTable(("variant", "Acc-2 ↑", "n"), rows, numbers, "95 % of _all_: a tie is a tie.", (0, 2))


def test_csv_parses_back_to_the_numbers(table):
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(table.to_csv())), table.numbers)


def test_markdown_renders_to_the_same_cells(table):
    html = mistune.create_markdown(plugins=["table"])(table.to_markdown())
    read = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in BeautifulSoup(html, "html.parser").find_all("tr")]
    assert read == [
        ["variant", "Acc-2 ↑", "n"],
        [NASTY, ".812 ± .014 =", "5"],
        ["plain", "-.80 ± .02 =", "5"],
        ["printed (other features)", ".830", ""],
    ]
    assert re.findall("<(?:strong|em)>[^<]*", html) == ["<strong>.812 ± .014", "<strong>-.80 ± .02", "<em>printed", "<em>.830"]
    assert "<p>95 % of _all_: a tie is a tie.</p>" in html


def test_latex_is_whole(table):
    text = table.to_latex()
    assert text.count(r"\begin{") == text.count(r"\end{tabular}") == 1
    assert [line for line in text.splitlines() if line.startswith("\\") and "rule" in line] == [r"\toprule", r"\midrule", r"\midrule", r"\bottomrule"]
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in lines] == [2] * 4
    assert lines[2] == r"plain & \textbf{$-$.80 $\pm$ .02} $=$ & 5 \\"
    assert lines[3] == r"\textit{printed} (other features) & \textit{.830} &  \\"
    assert text.startswith(r"\begin{tabular}{lrr}")
    balance = re.sub(r"\\[{}]", "", text)
    assert balance.count("{") == balance.count("}")
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    assert not re.search(r"(?<!\\)[#%_]", text)
    assert text.isascii()


def test_every_letter_with_a_meaning_is_written_out():
    assert latex_text(r"a_b 5% \x") == r"a\_b 5\% \textbackslash{}x"
    assert latex_text("-.013 to +.5, lf-dnn, 2020-21, up -3") == "$-$.013 to +.5, lf-dnn, 2020-21, up $-$3"
    assert all(written_out.isascii() for written_out in LATEX.values())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex: apt-get install texlive-latex-recommended")
def test_latex_compiles(table, tmp_path):
    head = r"\documentclass{article}\usepackage{booktabs,amssymb}\begin{document}"
    (tmp_path / "t.tex").write_text(f"{head}\n{table.to_latex()}\n\\end{{document}}\n", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 1000


def test_the_ending_of_the_file_chooses(table, tmp_path):
    for name, expected in (("a.MD", table.to_markdown()), ("t.tex", table.to_latex()), ("t.csv", table.to_csv())):
        save(table, tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8") == expected
    with pytest.raises(ConfigError, match=r'unknown form "\.xlsx"'):
        save(table, tmp_path / "t.xlsx")
    with pytest.raises(ConfigError, match=r"could not write t\.csv: No such file or directory[\s\S]*a folder that can be written"):
        save(table, tmp_path / "gone" / "t.csv")


def test_as_text_a_tie_and_a_source_stay(table):
    assert table.frame.iloc[0, 1] == ".812 ± .014 ="
    assert "\nprinted (other features)" in repr(table)
    assert "95\u00a0% of _all_" in table._repr_html_()


def test_cells_alone_give_a_line_a_number_with_its_block():
    """What a page has of a table: no frame behind it."""
    score = {"text": ".812 ± .014", "mean": 0.8123, "sd": 0.014, "low": 0.8, "high": 0.82, "n": 5, "is_bold": True}
    printed = [{"text": "printed", "is_italic": True, "source": "other, text"}, {"text": ".830", "is_italic": True}]
    rows = [[{"text": "digits"}, {"text": ""}], [{"text": "mine"}, score], [{"text": "none"}, {"text": "-"}], printed]
    read = pd.read_csv(io.StringIO(to_csv({"columns": ["variant", "Acc"], "rows": rows, "blocks": [0]})))
    assert read.columns.tolist() == [
        "block",
        "variant",
        "column",
        "text",
        "mean",
        "sd",
        "low",
        "high",
        "n",
        "unbeaten",
        "tied",
        "published",
        "source",
    ]
    assert read[["block", "variant", "mean", "n", "unbeaten", "published"]].fillna(0).values.tolist() == [
        ["digits", "mine", 0.8123, 5, 1, 0],
        ["digits", "printed", 0, 0, 0, 1],
    ]
    assert read["source"].tolist()[1] == "other, text"
    assert to_csv({"columns": ["a", "b"], "rows": [[{"text": "x, y"}, {"text": "1", "is_tied": True}]]}) == 'a,b\n"x, y",1 =\n'
