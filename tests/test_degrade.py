import io

import cv2
import numpy as np
import pytest
from PIL import Image

from superres.images import degrade as module
from superres.images.degrade import degrade


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
    with pytest.raises(ValueError, match="'webp', expected clean, cv2, gif, jpeg, photo, strong"):
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

    stand_in("add_noise", lambda image: image)
    stand_in("compress", lambda image: image)
    stand_in("reduce_palette", lambda image: image)
    stand_in("bicubic_downscale", lambda image: image[::4, ::4])
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
        ("cv2", [("bicubic_downscale", 32)], [("compress", 32), ("bicubic_downscale", 32)]),
        ("gif", [("reduce_palette", 8)], [("compress", 8), ("reduce_palette", 8)]),
        ("jpeg", [("compress", 8)], [("bicubic_downscale", 32), ("compress", 8)]),
    ],
)
def test_one_in_four_is_a_combination(calls, rng, degradation, plain, combined):
    every = [[call[:2] for call in each if call[0] != "add_noise"] for each in drawn(calls, degradation, rng)]
    shares = {str(plain): 1.0} if combined is None else {str(plain): 0.75, str(combined): 0.25}
    assert {key: list(map(str, every)).count(key) / 2000 for key in set(map(str, every))} == pytest.approx(
        shares, abs=0.04
    )


@pytest.mark.parametrize(
    ("degradation", "share", "height", "largest"),
    [("clean", 0, None, None), ("cv2", 1 / 2, 32, 9), ("gif", 1 / 3, 8, 7), ("jpeg", 1 / 3, 8, 7)],
)
def test_noise_comes_first_and_in_its_share(calls, rng, degradation, share, height, largest):
    """Grain on the original for ``cv2``, noise on the low-resolution image for the others, before compression."""
    every = drawn(calls, degradation, rng)
    noisy = [each for each in every if "add_noise" in str(each)]
    assert len(noisy) / 2000 == pytest.approx(share, abs=0.04)
    if noisy:
        last_of_size = [[name for name, size, *_ in each if size == height][0] for each in noisy]
        assert set(last_of_size) == {"add_noise"}
        sigmas = [call[2] for each in noisy for call in each if call[0] == "add_noise"]
        assert 0 <= min(sigmas) < 0.1 * largest and 0.9 * largest < max(sigmas) <= largest


def test_noise_has_the_strength_asked_for_in_all_channels_or_in_each(rng):
    grey = np.full((64, 64, 3), 128, np.uint8)
    equal = 0
    for _ in range(200):
        noise = module.add_noise(grey, 5, rng).astype(float) - 128
        assert noise.std() == pytest.approx(5, rel=0.1) and abs(noise.mean()) < 0.5
        equal += (np.ptp(noise, axis=2) == 0).all()
    assert equal / 200 == pytest.approx(0.4, abs=0.1)
    dark, bright = (module.add_noise(np.full((64, 64, 3), level, np.uint8), 8, rng, shot=True) for level in (64, 200))
    assert dark.std() == pytest.approx(4, rel=0.1) and bright.std() == pytest.approx(8 * (200 / 255) ** 0.5, rel=0.1)


def test_a_photograph_is_blurred_downscaled_noisy_and_compressed(rng):
    """The form of evaluation against its recipe, step by step in libraries."""
    hr = cv2.GaussianBlur(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8), (0, 0), 2)
    draw = np.random.default_rng(hr.sum())
    sx, sy, angle = draw.uniform(0.8, 3.2), draw.uniform(0.8, 3.2), draw.uniform(0, np.pi)
    kernel = module.gaussian_kernel(sx, sy, angle)
    assert kernel.sum() == pytest.approx(1)
    moments = np.einsum("yx,iyx,jyx->ij", kernel, *2 * [np.mgrid[-10:11, -10:11][::-1]])
    values, vectors = np.linalg.eigh(moments)
    assert np.sqrt(values) == pytest.approx(sorted([sx, sy]), rel=0.05)
    direction = vectors[:, 1] if sx > sy else vectors[:, 0]
    assert abs(direction @ [np.cos(angle), np.sin(angle)]) == pytest.approx(1, abs=0.01)
    blurred = cv2.filter2D(hr, -1, kernel, borderType=cv2.BORDER_REFLECT)
    lr = Image.fromarray(blurred).resize((24, 16), (Image.BOX, Image.BILINEAR, Image.BICUBIC)[draw.integers(3)])
    sigma, channels = draw.uniform(2, 12), 1 if draw.random() < 0.4 else 3
    noisy = np.clip(np.rint(np.asarray(lr) + draw.normal(0, sigma, (16, 24, channels))), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=int(draw.integers(50, 91)))
    np.testing.assert_array_equal(degrade(hr, "photo"), np.asarray(Image.open(file)))


def record(monkeypatch, name, result=None):
    """The arguments that a function of the module gets from now on; ``result`` stands in for the function."""
    calls, function = [], getattr(module, name)

    def recorded(*given, **options):
        calls.append((*given, *options.values()))
        return (result or function)(*given, **options)

    monkeypatch.setattr(module, name, recorded)
    return calls


@pytest.mark.parametrize(("degradation", "noise"), [("photo", (0, 30)), ("strong", (15, 30))])
def test_one_photograph_in_three_for_training_has_two_cameras(rng, monkeypatch, degradation, noise):
    hr, rounds = np.zeros((64, 96, 3), np.uint8), []
    calls = record(monkeypatch, "camera", lambda image, *_, **__: image)
    for _ in range(1000):
        calls.clear()
        degrade(hr, degradation, rng)
        rounds.append([(size, *ranges) for _, size, _, *ranges in calls])
    twice = [each for each in rounds if len(each) == 2]
    assert len(twice) / 1000 == pytest.approx(1 / 3, abs=0.05)
    for first, *_ in rounds:
        assert first[1:] == ((0.5, 3.2), noise, (30, 95), 0.3, 0.5)
    enlargements = [first[0][0] / 24 for first, _ in twice]
    assert 1 <= min(enlargements) < 1.1 and 2.9 < max(enlargements) <= 3
    assert {last[0] for *_, last in rounds} == {(24, 16)}
    assert {last[2] for _, last in twice} == {(0, noise[1] / 3)}


def test_a_camera_draws_from_its_ranges(rng, monkeypatch):
    hr = np.full((32, 48, 3), 255, np.uint8)
    names = ("gaussian_kernel", "draw_filter", "add_noise", "compress")
    kernels, filters, noises, qualities = (record(monkeypatch, name) for name in names)
    for _ in range(1000):
        small = module.camera(hr, (12, 8), rng, (0.5, 3.2), (5, 30), (30, 95), shot_noise=0.3, two_steps=0.5)
        assert small.shape == (8, 12, 3)
    for values, low, high in (
        ([x for x, *_ in kernels], 0.5, 3.2),
        ([sigma for _, sigma, *_ in noises], 5, 30),
        ([quality for _, quality in qualities], 30, 95),
    ):
        assert low <= min(values) < low + 0.05 * high and 0.97 * high < max(values) <= high
    assert np.mean([bool(shot) for *_, shot in noises]) == pytest.approx(0.3, abs=0.05)
    assert len(filters) / 1000 == pytest.approx(1.5, abs=0.05)  # half of them in two steps


def test_strong_is_photo_with_more_noise():
    """Of a flat image, where all else changes nothing."""
    flat = np.full((256, 256, 3), 128, np.uint8)
    noise = {name: degrade(flat, name).std(axis=(0, 1)).mean() for name in ("clean", "photo", "strong")}
    assert noise["clean"] == 0 and 2 < noise["photo"] < 12 < noise["strong"] < 30


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
