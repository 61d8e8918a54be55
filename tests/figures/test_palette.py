"""Hue means modality: the same name has the same hue in every picture."""

from workbench.figures.palette import INK, QUIET, STYLES, styles


def test_known_modalities_have_the_colours_of_the_house() -> None:
    looks = styles(["vision", "text", "audio"])
    assert {name: (look.color, look.mark, look.hatch) for name, look in looks.items()} == {
        "vision": ("#009E73", "▲", "."),
        "text": ("#0072B2", "●", ""),
        "audio": ("#D55E00", "■", "/"),
    }
    assert (INK, QUIET) == ("#1A1A1A", "#767676")


def test_image_and_video_are_drawn_as_vision() -> None:
    assert styles(["image"])["image"].color == styles(["video"])["video"].color == "#009E73"


def test_a_new_name_beside_a_known_one_takes_the_fourth_hue() -> None:
    assert styles(["text", "pose"])["pose"].color == "#CC79A7"


def test_unknown_views_take_the_hues_in_order() -> None:
    assert [look.color for look in styles(["pixels", "fourier", "zernike"]).values()] == [style.color for style in STYLES[:3]]


def test_from_the_fifth_on_marks_are_hollow() -> None:
    looks = list(styles(["a", "b", "c", "d", "e", "f"]).values())
    assert [look.is_hollow for look in looks] == [False] * 4 + [True] * 2
    assert (looks[4].symbol, looks[4].mark, looks[5].mark) == ("circle-open", "○", "□")


def test_two_names_for_one_modality_do_not_share_a_style() -> None:
    looks = styles(["vision", "image"])
    assert looks["vision"] != looks["image"]


def test_the_band_is_the_line_mostly_transparent() -> None:
    assert styles(["text"])["text"].band == "rgba(0,114,178,0.16)"
