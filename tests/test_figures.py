"""The figures and tables made of what is measured."""

import base64
import io
import re

import numpy as np
import pytest
from conftest import ROOT
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import spearmanr

from srgan import bicubic_upscale
from superres import figures
from superres.clips.writer import save_gif
from superres.figures import blind, page, sheets
from superres.images import measures


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (24, 32, 3), np.uint8)


def pixels(output):
    """What a notebook's output shows, RGB uint8."""
    return np.array(Image.open(io.BytesIO(output.data)).convert("RGB"))


def holds(sheet, image, factor):
    """Whether an image enlarged by a whole factor is somewhere in a sheet, pixel for pixel."""
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = large.shape[:2]
    starts = np.argwhere((sheet[: 1 - height or None, : 1 - width or None] == large[0, 0]).all(-1))
    return any(np.array_equal(sheet[y : y + height, x : x + width], large) for y, x in starts)


def test_close_ups_show_the_window_at_100_percent_and_the_boxes_enlarged(image):
    images = {"A": image, "B": 255 - image}
    sheet = pixels(figures.show(figures.close_up(images, (0, 0, 30, 20), [(5, 3, 20, 16)]), "alt"))
    width = sheets.column_width(2, sheets.LINE + sheets.GAP) - 2 * sheets.BORDER
    for picture in images.values():
        assert holds(sheet, picture[3:19, 5:25], width // 20 // 2 * 2)
        assert holds(sheet, picture[:2, 27:30], page.DENSITY)  # of the window, beside the box


def test_close_ups_name_the_magnification_and_the_scores(image):
    original = 255 - image
    figure = figures.close_up({"A": image, "Original": original}, (0, 0, 30, 20), [(5, 3, 20, 16)], original)
    texts = [text.get_text() for text in figure.texts]
    assert {"A", "32x24", "100 %"} <= set(texts) and any("dB" in text for text in texts)
    assert any(re.fullmatch(r"\d+00 %", text) for text in texts if text != "100 %")


def test_grids_have_one_heading_for_every_row_and_column(image):
    rows = {"one": {"A": image, "B": image[::-1]}, "two": {"A": 255 - image, "B": image}}
    figure = figures.grid(rows)
    assert sorted(text.get_text() for text in figure.texts) == ["A", "B", "one", "two"]
    factor = sheets.column_width(2, sheets.LINE + sheets.GAP) // 32 // 2 * 2
    assert holds(pixels(figures.show(figure, "alt")), 255 - image, factor)


def test_mosaic_enlarges_small_and_large_images_alike(image):
    parts = {"A": image[1:5, 2:10], "B": image[::-1][1:5, 2:10], "C": image[:8, :16]}
    shown = pixels(figures.show(figures.mosaic(parts, columns=2), "alt"))
    assert all(holds(shown, part, sheets.column_width(2) // 16 // 2 * 2) for part in parts.values())


def test_overview_marks_the_boxes(image):
    figure = figures.overview({"A": image, "B": image}, {"B": [(8, 6, 8, 6)]}, columns=2)
    shown = pixels(figures.show(figure, "alt"))
    marked = (shown == sheets.rgb(sheets.BOX_COLOURS[0])).all(-1)
    assert not marked[:, : shown.shape[1] // 2].any() and marked.any()


def test_figures_have_a_size_on_the_page_and_a_description():
    png, metadata = figures.show(figures.draw_srgan(), 'a "generator"')._repr_mimebundle_()
    assert list(png) == ["image/png"] and metadata["image/png"] == {"width": page.WIDTH, "alt": 'a "generator"'}
    assert pixels(figures.show(figures.draw_srgan(), "x")).shape[1] == page.DENSITY * page.WIDTH
    assert list(figures.show(figures.draw_srcnn(), "x", format="jpeg")._repr_mimebundle_()[0]) == ["image/jpeg"]


def test_badges_appear_with_the_address():
    assert figures.badges("") is None
    assert "colab.research.google.com/github/me/srgan/blob/main/" in figures.badges("me/srgan").data


def test_a_title_has_the_psnr_of_the_whole_image(image):
    images = {"Input": image, "A": image[::-1], "Original": 255 - image}
    scored = measures.psnr(255 - image, image[::-1])
    assert list(figures.with_psnr(images)) == ["Input", f"A\n{scored:.2f} dB", "Original"]


def test_no_text_of_a_figure_is_smaller_than_ten_points(image, rng):
    drawn = [
        figures.draw_srcnn(), figures.draw_srgan(), figures.spectra({"x": {"SRGAN": np.tile(image, (4, 4, 1))}}),
        figures.perception_distortion({"SRGAN": 255 - image}, {0: image[::-1], 1: 255 - image}, image),
        figures.grid({"one": {"A": image}}), figures.close_up({"A": image}, (0, 0, 8, 8), [(0, 0, 4, 4)]),
    ]  # fmt: skip
    for figure in drawn:
        figures.show(figure, "alt")
        texts = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize")) if text.get_text()]
        assert texts and min(text.get_fontsize() for text in texts) >= 10
        assert isinstance(figure, Figure) and figure.get_figwidth() * 96 == page.WIDTH


def noisy_methods(rng, image):
    """Images as far from the original as methods might be."""
    spread = {"Bicubic": 20, "SRCNN": 15, "SRResNet": 5, "SRGAN": 10}
    noisy = {
        name: np.clip(image + rng.normal(0, s, image.shape), 0, 255).astype(np.uint8) for name, s in spread.items()
    }
    return noisy | {"Original": image}


def test_slider_holds_both_images_and_leaves_nothing_without_styles(image):
    shown = figures.slider(image, 255 - image, ("Old & new", "New"), alt='two "images"').data
    assert len(re.findall(r"url\(data:image/jpeg;base64,", shown)) == 2 and "<script" not in shown
    handle = base64.b64decode(re.search(r"data:image/svg\+xml;base64,([^)]*)\)", shown)[1]).decode()
    assert "Old &amp; new" in handle and 'aria-label="two &quot;images&quot;"' in shown and "ew-resize" in shown
    assert not re.sub(r"<[^>]*>", "", shown).strip()


def test_tables_hold_what_was_measured(image, tmp_path):
    text = figures.metrics_table({"Same": image[::-1]}, image).data
    assert f"{measures.psnr_ssim(image, image[::-1])[0]:.2f}" in text
    frames = [image, image]
    save_gif(tmp_path / "a.gif", [image, 255 - image], [40, 60], loop=None)
    row = figures.gif_table({"Clip": tmp_path / "a.gif"}, {"Clip": frames}).data.splitlines()[-1]
    size = (tmp_path / "a.gif").stat().st_size
    assert re.fullmatch(rf"\| Clip \| 2 \| 32x24 \| 100 ms \| once \| (99|100)\.\d% \| {size:,} \|", row)


def test_model_card_table_is_the_cards(tmp_path):
    rows = figures.model_card_table(ROOT / "weights" / "README.md").data.splitlines()
    assert rows[0].startswith("| PSNR / distance | clean | cv2 | gif | jpeg |")
    assert any(row.startswith("| Set5: the course's | 28.86 / 1.51 | 21.75 / 4.23 |") for row in rows)
    assert any(row.startswith("| Crops: SRGAN |") for row in rows)
    card = "| PSNR / distance | clean | photo |\n| --- | ---: | ---: |\n| Set5: a | 1 | |\n\nText"
    (tmp_path / "card.md").write_text(card)
    assert figures.model_card_table(tmp_path / "card.md").data.endswith("| Set5: a | 1 |  |")
    (tmp_path / "card.md").write_text("no table")
    with pytest.raises(ValueError, match="no table"):
        figures.model_card_table(tmp_path / "card.md")


def test_gains_are_differences_to_bicubic(image, rng):
    images = noisy_methods(rng, image)
    psnr = {name: measures.psnr_ssim(image, images[name])[0] for name in ("Bicubic", "SRGAN")}
    gain = psnr["SRGAN"] - psnr["Bicubic"]
    assert figures.psnr_gains(images)["SRGAN"] == pytest.approx(gain)
    assert f"{gain:+.2f}" in figures.categories_table({"noise": images}).data
    assert figures.gains_table({64: images}, "Width").data.splitlines()[2].startswith(f"| 64 | {psnr['Bicubic']:.2f} |")


def test_degradations_table_counts_the_images_that_are_better(image, rng):
    better, worse = noisy_methods(rng, image), noisy_methods(rng, image)
    worse["SRGAN"] = 255 - image
    gains = [figures.psnr_gains(images)["SRGAN"] for images in (better, worse)]
    header, _, row = figures.degradations_table({"cv2": {"a": better, "b": worse}}).data.splitlines()
    assert header.endswith("SRGAN (better, of 2) |") and row.endswith(f"| {np.mean(gains):+.2f} (1) |")


def test_correlations_are_spearmans(rng):
    results = {str(i): noisy_methods(rng, rng.integers(0, 256 - 20 * i, (24, 32, 3), np.uint8)) for i in range(5)}
    gains = [figures.psnr_gains(images)["SRGAN"] for images in results.values()]
    expected = spearmanr([measures.fine_detail(images["Original"]) for images in results.values()], gains)
    tests = figures.correlations(results)
    assert len(tests) == 6 and tests["Fine detail", "SRGAN"] == expected


def test_clips_table_measures_every_clip_against_the_originals(image):
    originals = [image, image]
    clips = {"Steady": [255 - image] * 2, "Blinking": [image ^ 1, image // 2]}
    lines = figures.clips_table(clips, originals).data.splitlines()
    change = np.abs(measures.luma(image ^ 1) - measures.luma(image // 2)).mean()
    score = np.mean([measures.psnr(image, frame) for frame in clips["Blinking"]])
    assert lines[2].endswith("| 0.00 |") and lines[3].startswith(f"| Blinking | {score:.2f} | ")
    assert lines[3].endswith(f"| {change:.2f} |") and lines[4] == "| Original |  |  | 0.00 |"


def test_over_sharpening_table_has_a_column_for_every_input(image):
    images = {"Bicubic": image[::-1], "SRGAN": 255 - image, "Original": image}
    large = {name: np.tile(picture, (2, 1, 1)) for name, picture in images.items()}
    header, _, *rows = figures.over_sharpening_table({"cv2": large, "clean": large}).data.splitlines()
    assert header.endswith("| cv2 | clean |") and len(rows) == 2
    score, share = (f(large["Original"], large["SRGAN"]) for f in (measures.psnr, measures.over_sharpened))
    assert rows[1] == f"| SRGAN | {score:.2f} / {share:.0%} | {score:.2f} / {share:.0%} |"


@pytest.fixture
def results(rng):
    def methods():
        return {name: rng.integers(0, 256, (100, 160, 3), np.uint8) for name in (*blind.METHODS, "Original")}

    return {degradation: {name: methods() for name in ("bark", "brick", "fur")} for degradation in ("clean", "cv2")}


def test_blind_trials_are_the_same_every_time_and_of_every_category(results):
    trials = figures.draw_trials(results, count=6, seed=1)
    again = figures.draw_trials(results, count=6, seed=1)
    assert all(np.array_equal(a.original, b.original) for a, b in zip(trials, again, strict=True))
    assert [list(trial.crops) for trial in trials] == [list(trial.crops) for trial in again]
    assert sorted(trial.category for trial in trials) == sorted(["bark", "brick", "fur"] * 2)
    assert [trial.degradation for trial in trials] == ["clean", "cv2"] * 3
    assert len({tuple(trial.crops) for trial in trials}) > 1


def test_blind_key_tells_what_the_figure_hides(results):
    trials = figures.draw_trials(results, count=4)
    figure = figures.blind_test(trials)
    assert [text.get_text() for text in figure.texts] == [f"{n}{letter}" for n in (1, 2, 3, 4) for letter in "ABC"]
    shown = pixels(figures.show(figure, "alt"))
    key = figures.blind_key(trials, "Key").data
    assert re.fullmatch(r"<details><summary>Key</summary>\s*<table>.*</table>\s*</details>", key, re.DOTALL)
    for trial, row in zip(trials, key.split("<tr>")[2:], strict=True):
        assert "".join(f"<td>{method}</td>" for method in trial.crops) in row and trial.category in row
        assert all(holds(shown, crop[22:66, 33:99], 2 * page.DENSITY) for crop in trial.crops.values())


def test_clips_side_by_side_keep_their_pixels_and_have_names(rng):
    low = [rng.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(2)]
    high = [bicubic_upscale(frame) for frame in low]
    sheets = list(figures.side_by_side({"Low resolution (nearest)": low, "Bicubic": high}, gap=8))
    assert len(sheets) == 2
    for sheet, small, large in zip(sheets, low, high, strict=True):
        np.testing.assert_array_equal(sheet[-80:, :120], small.repeat(4, axis=0).repeat(4, axis=1))
        np.testing.assert_array_equal(sheet[-80:, 128:], large)
        assert (sheet[:-80] < 128).any() and (sheet[:, 120:128] == 255).all()
    np.testing.assert_array_equal(sheets[0][:-80], sheets[1][:-80])
    with pytest.raises(ValueError):
        list(figures.side_by_side({"a": low, "b": high[:1]}))
