"""The figures and tables made of what is measured."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import ROOT
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import spearmanr

from srgan import bicubic_upscale
from superres import figures
from superres.clips.writer import save_gif
from superres.figures import page, sheets, tables
from superres.images import measures


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (24, 32, 3), np.uint8)


def pixels(output):
    """What a notebook's output shows, RGB uint8."""
    data = base64.b64decode(re.search(r'src="data:image/[a-z]+;base64,([^"]*)"', output.data)[1])
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


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
    assert {"A", "32x24", "100%"} <= set(texts) and any("dB" in text for text in texts)
    assert any(re.fullmatch(r"\d+00%", text) for text in texts if text != "100%")


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


def test_figures_have_a_size_on_the_page_and_a_description(image):
    for format in ("webp", "jpeg"):
        shown = figures.show(figures.spectra({"x": {"SRGAN": np.tile(image, (4, 4, 1))}}), 'a "generator" < b', format)
        tag = f'<img alt="a &quot;generator&quot; &lt; b" width="{page.WIDTH}" src="data:image/{format};base64,'
        assert shown.data.startswith(tag) and pixels(shown).shape[1] == page.DENSITY * page.WIDTH


def test_a_title_has_the_psnr_of_the_whole_image(image):
    images = {"Input": image, "A": image[::-1], "Original": 255 - image}
    scored = measures.psnr(255 - image, image[::-1])
    assert list(figures.with_psnr(images)) == ["Input", f"A\n{scored:.2f} dB", "Original"]


def test_no_text_of_a_figure_is_smaller_than_ten_points(image, rng):
    drawn = [
        figures.spectra({"x": {"SRGAN": np.tile(image, (4, 4, 1))}}),
        figures.grid({"one": {"A": image}}), figures.close_up({"A": image}, (0, 0, 8, 8), [(0, 0, 4, 4)]),
    ]  # fmt: skip
    for figure in drawn:
        figures.show(figure, "alt")
        texts = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize")) if text.get_text()]
        assert texts and min(text.get_fontsize() for text in texts) >= 10
        assert isinstance(figure, Figure) and figure.get_figwidth() * 96 == page.WIDTH
    for drawing in ("srcnn_network.svg", "srgan_networks.svg"):
        svg = ElementTree.parse(ROOT / "images" / drawing).getroot()
        assert float(svg.get("width")) == page.WIDTH and float(svg.get("font-size")) * 72 / 96 >= 10


def noisy_methods(rng, image):
    """Images as far from the original as methods might be."""
    spread = {"Bicubic": 20, "SRCNN": 15, "SRResNet": 5, "SRGAN": 10}
    noisy = {
        name: np.clip(image + rng.normal(0, s, image.shape), 0, 255).astype(np.uint8) for name, s in spread.items()
    }
    return noisy | {"Original": image}


def test_slider_holds_both_images_and_leaves_nothing_without_styles(image):
    shown = figures.slider(image, 255 - image, alt='two "images"').data
    files = re.findall(r"url\(data:image/jpeg;base64,([^)]*)\)", shown)
    after, before = (np.array(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files)
    assert np.abs(before.astype(int) - image).mean() < 25 > np.abs(after.astype(int) - (255 - image)).mean()
    assert 'aria-label="two &quot;images&quot;"' in shown and "ew-resize" in shown and "<script" not in shown
    assert not re.sub(r"<[^>]*>", "", shown).strip()


def test_tables_hold_what_was_measured(image, tmp_path):
    row, original = figures.metrics_table({"Same": image[::-1]}, image).data.splitlines()[2:]
    psnr, ssim = measures.psnr_ssim(image, image[::-1])
    assert row == f"| Same | {psnr:.2f} | {ssim:.3f} | {measures.blur(image[::-1]):.3f} |"
    assert original == f"| Original |  |  | {measures.blur(image):.3f} |"
    low, large = image, image.repeat(4, axis=0).repeat(4, axis=1)
    row, original = figures.metrics_table({"Turned": large[::-1]}, large, low).data.splitlines()[2:]
    assert row.endswith(f"| {measures.consistency(low, large[::-1]):.1f} |") and original.endswith(" |  |")
    frames = [image, image]
    save_gif(tmp_path / "a.gif", [image, 255 - image], [40, 60], loop=None)
    row = figures.gif_table({"Clip": tmp_path / "a.gif"}, {"Clip": frames}).data.splitlines()[-1]
    size = (tmp_path / "a.gif").stat().st_size
    assert re.fullmatch(rf"\| Clip \| 2 \| 32x24 \| 100 ms \| once \| (99|100)\.\d% \| {size:,} \|", row)


def test_gains_are_differences_to_bicubic(image, rng):
    images = noisy_methods(rng, image)
    psnr = {name: measures.psnr_ssim(image, images[name])[0] for name in ("Bicubic", "SRGAN")}
    gain = psnr["SRGAN"] - psnr["Bicubic"]
    assert tables.psnr_gains(images)["SRGAN"] == pytest.approx(gain)
    row = figures.gains_table({64: images}, "Width").data.splitlines()[2]
    assert row.startswith(f"| 64 | {psnr['Bicubic']:.2f} |") and f"{gain:+.2f}" in row
    header, _, row = figures.gains_table({"a": images}, "", {"Detail": measures.fine_detail}).data.splitlines()
    assert header.startswith("|  | Detail | Bicubic (dB) | SRCNN (dB) |")
    assert row.startswith(f"| a | {measures.fine_detail(image):.2f} | {psnr['Bicubic']:.2f} | ")


def test_degradations_table_counts_the_images_that_are_better(image, rng):
    better, slightly_worse, worse = (noisy_methods(rng, image) for _ in range(3))
    slightly_worse["SRGAN"] = slightly_worse["Bicubic"].copy()
    slightly_worse["SRGAN"][10, 10] = 255 - image[10, 10]
    worse["SRGAN"] = 255 - image
    gains = [tables.psnr_gains(images)["SRGAN"] for images in (better, slightly_worse, worse)]
    assert -1 < gains[1] < 0
    header, _, row = figures.degradations_table({"cv2": dict(a=better, b=slightly_worse, c=worse)}).data.splitlines()
    assert header.endswith("SRGAN (better, of 3) |") and row.endswith(f"| {np.mean(gains):+.2f} (1) |")


def test_trust_table_tells_how_well_differences_predict_the_error(rng):
    original = rng.integers(0, 256, (64, 96, 3), np.uint8)
    strength = np.linspace(0, 100, 64).astype(np.uint8)[:, None, None]
    wrong = {"Original": original, "SRGAN": original ^ strength}
    reversed_strength = original ^ strength[::-1]
    right = wrong | {"SRResNet": original, "Bicubic": reversed_strength}
    misled = wrong | {"SRResNet": reversed_strength, "Bicubic": reversed_strength}
    error, other = (measures.difference_map(image, right["SRGAN"]).ravel() for image in (original, reversed_strength))
    rank, share = spearmanr(other, error).statistic, other.mean() / error.mean()
    row = figures.trust_table({"clean": {"a": right, "b": misled}}).data.splitlines()[2]
    first, second = f"{(1 + rank) / 2:.2f} ({rank:.2f} to 1.00)", f"{rank:.2f} ({rank:.2f} to {rank:.2f})"
    assert row == f"| clean | {first} | {second} | {(1 + share) / 2:.2f} ({min(1, share):.2f} to {max(1, share):.2f}) |"


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
