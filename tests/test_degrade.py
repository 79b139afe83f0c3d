import io

import cv2
import numpy as np
import pytest
from PIL import Image

from superres import degrade as module
from superres.degrade import degrade


def test_degradations_are_those_of_the_libraries(rng):
    hr = cv2.GaussianBlur(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8), (0, 0), 2)
    clean = Image.fromarray(hr).resize((24, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(degrade(hr, "clean"), np.asarray(clean))
    np.testing.assert_array_equal(degrade(hr, "cv2"), cv2.resize(hr, (24, 16), interpolation=cv2.INTER_CUBIC))
    palette = clean.quantize(256, method=Image.Quantize.MEDIANCUT)
    gif = clean.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB")
    np.testing.assert_array_equal(degrade(hr, "gif"), np.asarray(gif))
    file = io.BytesIO()
    clean.save(file, "JPEG", quality=80)
    np.testing.assert_array_equal(degrade(hr, "jpeg"), np.asarray(Image.open(file)))
    with pytest.raises(ValueError, match="'webp'.*clean, cv2, gif or jpeg"):
        degrade(hr, "webp")


def test_drawn_palettes_have_few_colours_and_keep_the_image(rng):
    hr = cv2.GaussianBlur(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8), (0, 0), 3)
    hr = cv2.normalize(hr, None, 0, 255, cv2.NORM_MINMAX)
    clean = degrade(hr, "clean").astype(float)
    for _ in range(12):
        lr = degrade(hr, "gif", rng)
        assert len(np.unique(lr.reshape(-1, 3), axis=0)) <= 256
        assert np.abs(lr - clean).mean() < 20
        assert np.abs((lr - clean).mean()) < 3  # dithering must not change the brightness


@pytest.fixture
def calls(monkeypatch):
    """What ``degrade`` calls, in order: (function, image height, other arguments); the images stay as they are."""
    record = []

    def stand_in(name, result):
        def function(image, *arguments):
            record.append((name, len(image), *arguments))
            return result(image)

        monkeypatch.setattr(module, name, function)

    stand_in("compress", lambda image: image)
    stand_in("reduce_palette", lambda image: image)
    stand_in("resize_cv2", lambda image: image[::4, ::4])
    return record


def drawn(calls, degradation, rng, times=2000):
    """The calls of each of many random degradations of an image 32 pixels high."""
    hr = np.zeros((32, 32, 3), np.uint8)
    every = []
    for _ in range(times):
        calls.clear()
        degrade(hr, degradation, rng)
        every.append(list(calls))
    return every


def test_palettes_and_dithering_are_drawn_from_their_ranges(calls, rng):
    palettes = [each[-1] for each in drawn(calls, "gif", rng)]
    assert {name for name, *_ in palettes} == {"reduce_palette"}
    colours = [colours for _, _, colours, _ in palettes]
    assert min(colours) == 64 and max(colours) == 256
    dithers = [dither for *_, dither in palettes]
    for dither in ("floyd-steinberg", "ordered", "none"):
        assert dithers.count(dither) / 2000 == pytest.approx(1 / 3, abs=0.04)


def test_jpeg_quality_and_chroma_subsampling_are_drawn_from_their_ranges(calls, rng):
    qualities, subsampling = zip(*(each[-1][2:] for each in drawn(calls, "jpeg", rng)), strict=True)
    assert min(qualities) == 30 and max(qualities) == 95
    assert set(subsampling) == {0, 2} and subsampling.count(0) / 2000 == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(
    ("degradation", "plain", "combined"),
    [
        ("clean", [], None),
        ("cv2", [("resize_cv2", 32)], [("compress", 32), ("resize_cv2", 32)]),
        ("gif", [("reduce_palette", 8)], [("compress", 8), ("reduce_palette", 8)]),
        ("jpeg", [("compress", 8)], [("resize_cv2", 32), ("compress", 8)]),
    ],
)
def test_one_in_four_is_a_combination(calls, rng, degradation, plain, combined):
    every = [[call[:2] for call in each] for each in drawn(calls, degradation, rng)]
    shares = {str(plain): 1.0} if combined is None else {str(plain): 0.75, str(combined): 0.25}
    assert {key: list(map(str, every)).count(key) / 2000 for key in set(map(str, every))} == pytest.approx(
        shares, abs=0.04
    )


def test_evaluation_draws_nothing(calls):
    for degradation, call in (("gif", ("reduce_palette", 8, 256, "floyd-steinberg")), ("jpeg", ("compress", 8, 80))):
        calls.clear()
        degrade(np.zeros((32, 32, 3), np.uint8), degradation)
        assert calls == [call]


def test_chroma_is_subsampled_as_asked(rng):
    image = rng.integers(0, 256, (16, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90, subsampling="4:4:4")
    np.testing.assert_array_equal(module.compress(image, 90, 0), np.asarray(Image.open(file)))
    assert not np.array_equal(module.compress(image, 90), module.compress(image, 90, 0))


def test_ordered_dithering_adds_bayers_matrix():
    matrix = np.zeros((1, 1))
    for _ in range(2):  # Bayer's recursion
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    # An even palette of 64 colours has 4 levels a channel; half of 255 / 4 from the darkest to the lightest of 16.
    expected = np.rint(128 + 31.875 * ((matrix + 0.5) / 16 - 0.5))
    dithered = module.add_bayer_pattern(np.full((6, 9, 3), 128, np.uint8), 64)
    np.testing.assert_array_equal(dithered, np.tile(expected, (2, 3))[:6, :9, None].repeat(3, axis=2))
    np.testing.assert_array_equal(module.add_bayer_pattern(np.full((4, 4, 3), 255, np.uint8), 64).max(), 255)


def test_dithering_is_as_asked(rng):
    image = cv2.GaussianBlur(rng.integers(0, 256, (64, 64, 3), np.uint8), (0, 0), 3)
    palette = Image.fromarray(image).quantize(64, method=Image.Quantize.MEDIANCUT)
    for dither, source, method in (
        ("none", image, Image.Dither.NONE),
        ("ordered", module.add_bayer_pattern(image, 64), Image.Dither.NONE),
        ("floyd-steinberg", image, Image.Dither.FLOYDSTEINBERG),
    ):
        expected = np.asarray(Image.fromarray(source).quantize(palette=palette, dither=method).convert("RGB"))
        np.testing.assert_array_equal(module.reduce_palette(image, 64, dither), expected)
