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
from superres import figures, measures
from superres.figures import page, sheets
from superres.gif_writer import save_gif


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (24, 32, 3), np.uint8)


def pixels(output):
    """What a notebook's output shows, RGB uint8."""
    data = re.search(r'base64,([^"]*)"', output.data)[1]
    return np.array(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def holds(sheet, image, factor):
    """Whether an image enlarged by a whole factor is somewhere in a sheet, pixel for pixel."""
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = large.shape[:2]
    starts = np.argwhere((sheet[: 1 - height or None, : 1 - width or None] == large[0, 0]).all(-1))
    return any(np.array_equal(sheet[y : y + height, x : x + width], large) for y, x in starts)


def test_crops_show_every_pixel_as_a_square_of_one_size(image):
    shown = figures.show(figures.crops({"A": image, "B": 255 - image}, [(5, 3, 20, 16), (0, 0, 20, 16)]), "alt")
    factor = (sheets.column_width(2) - 2 * sheets.BORDER) // 20 // 2 * 2
    for part in (image[3:19, 5:25], 255 - image[:16, :20]):
        assert holds(pixels(shown), part, factor)


def test_mosaic_enlarges_small_and_large_parts_alike(image):
    parts = figures.zoom({"A": image, "B": image[::-1]}, (2, 1, 8, 4)) | {"C": image[:8, :16]}
    shown = pixels(figures.show(figures.mosaic(parts, columns=2), "alt"))
    factor = sheets.column_width(2) // 8 // 2 * 2
    assert holds(shown, image[1:5, 2:10], factor) and holds(shown, image[::-1][1:5, 2:10], factor)
    assert holds(shown, image[:8, :16], sheets.column_width(2) // 16 // 2 * 2)


def test_overview_marks_the_boxes_and_names_the_scores(image):
    original = 255 - image
    figure = figures.overview({"A": image, "Original": original}, [(8, 6, 8, 6)], original)
    texts = [text.get_text() for text in figure.texts]
    assert "A" in texts and "32x24" in texts and any("dB" in text for text in texts)
    assert (pixels(figures.show(figure, "alt")) == sheets.rgb(sheets.CROP_COLOURS[0])).all(-1).any()


def test_figures_have_a_size_on_the_page_and_a_description(tmp_path, image):
    shown = figures.show(figures.draw_generator(), 'a "generator"')
    assert f'alt="a &quot;generator&quot;" width="{page.WIDTH}"' in shown.data
    assert pixels(shown).shape[1] == page.DENSITY * page.WIDTH
    assert "data:image/jpeg;base64,/9j/" in figures.show(figures.draw_srcnn(), "x", format="jpeg").data
    save_gif(tmp_path / "a.gif", [image], 100)
    data = base64.b64encode((tmp_path / "a.gif").read_bytes()).decode()
    assert figures.show_file(tmp_path / "a.gif", "clip").data.startswith(
        f'<img src="data:image/gif;base64,{data}" alt="clip"'
    )


@pytest.mark.filterwarnings("ignore:divide by zero")  # an image against itself
def test_no_text_of_a_figure_is_smaller_than_ten_points(image, rng):
    results = {name: noisy_methods(rng, image) for name in ("a", "b")}
    large = {name: np.tile(image, (4, 4, 1)) for name in ("a", "b")}
    drawn = [
        figures.draw_srcnn(), figures.draw_generator(), figures.draw_discriminator(), figures.property_gains(results),
        figures.resolution_curves({8: results["a"], 16: results["b"]}), figures.spectra({"x": {"SRGAN": large["a"]}}),
        figures.spectra_2d(large), figures.psnr_ssim_curves({"SRGAN": [image] * 2}, [255 - image] * 2),
        figures.perception_distortion(results["a"], {0: image[::-1], 1: 255 - image}, image),
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


def test_before_after_holds_both_images_and_a_grip(image):
    shown = figures.before_after(image, 255 - image, ("Old & new", "New"), alt='two "images"').data
    before, after = re.findall(r"data:image/jpeg;base64,", shown)
    assert "Old &amp; new" in shown and 'alt="two &quot;images&quot;"' in shown
    assert "resize: horizontal" in shown and "<script" not in shown


def test_tables_hold_what_was_measured(image, tmp_path):
    text = figures.metrics_table({"Same": image[::-1]}, image).data
    assert f"{measures.psnr_ssim(image, image[::-1])[0]:.2f}" in text
    frames = [image, image]
    save_gif(tmp_path / "a.gif", [image, 255 - image], [40, 60], loop=None)
    row = figures.gif_table({"Clip": tmp_path / "a.gif"}, {"Clip": frames}).data.splitlines()[-1]
    size = (tmp_path / "a.gif").stat().st_size
    assert re.fullmatch(rf"\| Clip \| 2 \| 32x24 \| 100 ms \| once \| (99|100)\.\d% \| {size:,} \|", row)


def test_model_card_table_is_the_cards():
    rows = figures.model_card_table(ROOT / "weights" / "README.md", "Set5").data.splitlines()[2:]
    assert "| Set5: the course's | 28.86 / 1.51 | 21.75 / 4.23 | 25.09 / 3.55 | 26.73 / 3.84 |" in rows
    with pytest.raises(ValueError, match="Set99"):
        figures.model_card_table(ROOT / "weights" / "README.md", "Set99")


def test_gains_are_differences_to_bicubic(image, rng):
    images = noisy_methods(rng, image)
    psnr = {name: measures.psnr_ssim(image, images[name])[0] for name in ("Bicubic", "SRGAN")}
    assert figures.psnr_gains(images)["SRGAN"] == pytest.approx(psnr["SRGAN"] - psnr["Bicubic"])
    assert f"{psnr['SRGAN'] - psnr['Bicubic']:+.2f}" in figures.categories_table({"noise": images}).data
    inputs = {"clean": image, "cv2": 255 - image}
    table = figures.degradations_table({name: images for name in inputs}, inputs).data
    assert f"| clean | 0.0 | {psnr['Bicubic']:.2f} |" in table


def test_correlations_are_spearmans(rng):
    results = {str(i): noisy_methods(rng, rng.integers(0, 256 - 20 * i, (24, 32, 3), np.uint8)) for i in range(5)}
    gains = [figures.psnr_gains(images)["SRGAN"] for images in results.values()]
    expected = spearmanr([measures.fine_detail(images["Original"]) for images in results.values()], gains)
    row = figures.correlations_table(results).data.splitlines()[3]
    assert row.startswith("| Fine detail") and row.endswith(f"{expected.statistic:+.2f} (p = {expected.pvalue:.3f}) |")


def test_flicker_table_measures_every_clip_against_the_originals(image):
    originals = [image, image]
    clips = {"Steady": [255 - image] * 2, "Blinking": [image ^ 1, image // 2]}
    lines = figures.flicker_table(clips, originals).data.splitlines()
    change = np.abs(measures.luma(image ^ 1) - measures.luma(image // 2)).mean()
    scores = [np.mean([measures.psnr(image, frame) for frame in frames]) for frames in clips.values()]
    assert lines[2] == f"| Steady | 0.00 | {scores[0]:.2f} |"
    assert lines[3].startswith(f"| Blinking | {change:.2f} | ")
    assert lines[4] == "| Original | 0.00 |  |"


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
