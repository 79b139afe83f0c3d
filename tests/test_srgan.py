"""The course's names."""

import doctest

import cv2
import numpy as np
import pytest
from conftest import difference, plain

import srgan


def test_apply_srgan_keeps_the_courses_contract(photo):
    result = srgan.apply_srgan(photo, dtype="float32")
    most, mean = difference(result, plain(srgan.load_generator(), photo))
    assert most <= 1 and mean < 0.01
    assert (result != srgan.bicubic_upscale(photo)).any()


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (16, 20)])
def test_apply_srgan_enlarges_four_times(size, rng):
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    result = srgan.apply_srgan(image, "srresnet")
    assert result.shape == (4 * size[0], 4 * size[1], 3) and result.dtype == np.uint8


def test_apply_srgan_takes_a_model_a_name_or_nothing(photo):
    small = photo[:8, :8]
    by_name = srgan.apply_srgan(small, "srresnet")
    np.testing.assert_array_equal(by_name, srgan.apply_srgan(small, srgan.load_generator("srresnet")))
    np.testing.assert_array_equal(srgan.apply_srgan(small), srgan.apply_srgan(small, "srgan"))
    assert (by_name != srgan.apply_srgan(small)).any()


def test_apply_srcnn_refines_bicubic(photo):
    upscaled = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert difference(srgan.apply_srcnn(photo), plain(srgan.load_generator("srcnn"), upscaled))[0] <= 1


def test_trust_map_is_how_far_srgan_and_srresnet_differ_in_blocks(photo):
    small = photo[:10, :9]
    results = [srgan.apply_srgan(small, name, dtype="float32").astype(int) for name in ("srgan", "srresnet")]
    gap = np.abs(np.subtract(*results))
    trust = srgan.trust_map(small, dtype="float32")
    assert trust.shape == (3, 3)
    assert trust[0, 1] == pytest.approx(gap[:16, 16:32].mean()) and trust[2, 2] == pytest.approx(gap[32:, 32:].mean())


@pytest.mark.parametrize(
    "function", [srgan.bicubic_upscale, srgan.bicubic_downscale, srgan.apply_srgan, srgan.apply_srcnn, srgan.trust_map]
)
@pytest.mark.parametrize(
    "image", [np.zeros((8, 8, 3)), np.zeros((8, 0, 3), np.uint8), np.zeros((8, 8, 2), np.uint8), "x.png"]
)
def test_every_function_names_what_is_wrong_with_an_image(function, image):
    with pytest.raises(ValueError, match="expected .*image.*got"):
        function(image)


@pytest.mark.filterwarnings("ignore:this processor has no bfloat16")
@pytest.mark.usefixtures("bfloat16")
def test_apply_srgan_computes_in_the_precision_asked_for(photo):
    exact, fast = (srgan.apply_srgan(photo[:24, :24], "srresnet", dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert 0 < difference(exact, fast)[1] < 2
    with pytest.raises(ValueError, match="expected dtype"):
        srgan.apply_srgan(photo, "srresnet", dtype="float16")


@pytest.mark.parametrize("name", [name for name in srgan.__all__ if name != "SCALE"])
def test_every_name_has_an_example_that_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function = getattr(srgan, name)
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={**vars(srgan), "np": np})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("apply", [srgan.apply_srgan, srgan.apply_srcnn])
def test_progress_is_that_of_the_output_and_a_bar_where_asked_for(apply, photo, capsys):
    done = []
    apply(photo[:8, :12], progress=done.append)
    assert sum(done) == 32 * 48 and capsys.readouterr().err == ""
    apply(photo[:8, :12], progress=True)
    assert "100%" in capsys.readouterr().err
