"""The course's names, image files, and the command line."""

import io
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT, difference, plain, randomise
from PIL import Image

import srgan
from superres import network, weights
from superres.files import atomic_write


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A quick network under the bundled names."""
    model = randomise(network.generator(blocks=1, channels=4))
    monkeypatch.setattr(srgan, "load_generator", lambda source="srgan": model)
    return model


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (14, 22, 3), np.uint8)


def test_apply_srgan_keeps_the_courses_contract(photo):
    result = srgan.apply_srgan(photo)
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


@pytest.mark.parametrize("shape", [(13, 9), (13, 9, 3), (13, 9, 4)])
def test_bicubic_is_opencvs(shape, rng):
    image = rng.integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(
        srgan.bicubic_upscale(image), cv2.resize(image, (36, 52), interpolation=cv2.INTER_CUBIC)
    )
    np.testing.assert_array_equal(
        srgan.bicubic_downscale(image), cv2.resize(image, (2, 3), interpolation=cv2.INTER_CUBIC)
    )


def test_a_image_too_small_to_reduce():
    with pytest.raises(ValueError, match="cannot reduce an image of 9x3 pixels 4 times"):
        srgan.bicubic_downscale(np.zeros((3, 9, 3), np.uint8))


@pytest.mark.parametrize(
    "function", [srgan.bicubic_upscale, srgan.bicubic_downscale, srgan.apply_srgan, srgan.apply_srcnn]
)
@pytest.mark.parametrize(
    "image", [np.zeros((8, 8, 3)), np.zeros((8, 0, 3), np.uint8), np.zeros((8, 8, 2), np.uint8), "x.png"]
)
def test_every_function_names_what_is_wrong_with_a_image(function, image):
    with pytest.raises(ValueError, match="expected .*image.*got"):
        function(image)


# Files


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3), (6, 5, 4)])
def test_images_survive_png(shape, rng, tmp_path):
    image = rng.integers(0, 256, shape, np.uint8)
    srgan.save_image(tmp_path / "사진.png", image)
    read = srgan.read_image(tmp_path / "사진.png")
    np.testing.assert_array_equal(read, np.dstack([image] * 3) if image.ndim == 2 else image)


def test_read_image_turns_as_exif_says(tmp_path, image):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(srgan.read_image(tmp_path / "turned.png"), np.rot90(image, -1))


def test_read_image_takes_palettes_and_16_bits(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png")
    assert srgan.read_image(tmp_path / "palette.png").tolist() == [[[255, 0, 0], [0, 0, 255]]]
    palette.save(tmp_path / "hole.png", transparency=0)
    assert srgan.read_image(tmp_path / "hole.png")[..., 3].tolist() == [[0, 255]]
    cv2.imwrite(str(tmp_path / "deep.png"), np.array([[0, 32768, 65535]], np.uint16))
    assert srgan.read_image(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 128, 255]


def damaged(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


def jpeg(image):
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG")
    return data.getvalue()


def test_read_image_names_the_file_and_what_is_wrong(tmp_path, image):
    with pytest.raises(FileNotFoundError, match="nowhere.png: no such image"):
        srgan.read_image(tmp_path / "nowhere.png")
    for content in (b"", b"not an image at all"):
        with pytest.raises(ValueError, match="bad.jpg: not an image"):
            srgan.read_image(damaged(tmp_path, "bad.jpg", content))
    whole = jpeg(image)
    for length in range(4, len(whole) - 2, 40):
        with pytest.raises(ValueError, match="cut.jpg: "):
            srgan.read_image(damaged(tmp_path, "cut.jpg", whole[:length]))


@pytest.mark.parametrize(
    "name, said", [("a.txt", "cannot write"), ("a", "cannot write"), ("a.jpg", "JPEG cannot hold")]
)
def test_save_image_refuses_and_leaves_nothing(name, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        srgan.save_image(tmp_path / name, np.zeros((4, 4, 4), np.uint8))
    assert not list(tmp_path.iterdir())


def test_replacing_is_all_or_nothing(tmp_path):
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(target) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]
    with atomic_write(target) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new" and list(tmp_path.iterdir()) == [target]
    if os.name == "posix":
        plain_file = tmp_path / "plain"
        plain_file.touch()
        assert target.stat().st_mode == plain_file.stat().st_mode
    with pytest.raises(FileNotFoundError, match="no such folder"), atomic_write(tmp_path / "none" / "x"):
        pass


# Command line


def test_command_line_upscales_an_image(tiny, tmp_path, image, capsys):
    source = tmp_path / "photo.png"
    srgan.save_image(source, image)
    srgan.main([str(source)])
    target = tmp_path / "photo_srgan_x4.png"
    assert capsys.readouterr().out.strip() == str(target)
    np.testing.assert_array_equal(srgan.read_image(target), srgan.apply_srgan(image, tiny))
    srgan.main([str(source), str(tmp_path / "out.webp"), "--method", "bicubic"])
    assert srgan.read_image(tmp_path / "out.webp").shape == (56, 88, 3)


def test_command_line_upscales_a_gif(tiny, tmp_path, rng):
    frames = [rng.integers(0, 256, (6, 8, 3), np.uint8) for _ in range(3)]
    srgan.save_gif(tmp_path / "in.gif", frames, [50, 120, 70], loop=3)
    srgan.main([str(tmp_path / "in.gif"), str(tmp_path / "out.gif")])
    upscaled, durations, loop = srgan.read_gif(tmp_path / "out.gif")
    assert (len(upscaled), upscaled[0].shape, durations, loop) == (3, (24, 32, 3), [50, 120, 70], 3)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["none.png"], "none.png: no such image file"),
        (["none.gif"], "none.gif"),
        (["text.png"], "text.png: not an image"),
        (["text.gif"], "text.gif is not a GIF"),
        (["good.png", "out.gif"], "a GIF becomes a GIF"),
        (["good.png", "out.txt"], "cannot write"),
        (["good.png", "none/out.png"], "no such folder"),
        (["good.png", "--method", "sragn"], "unknown weights 'sragn': expected one of srgan, srresnet, srcnn"),
        (["good.png", "--method", "none.h5"], "none.h5: no such weights file"),
    ],
)
def test_command_line_says_what_is_wrong(arguments, said, tmp_path, monkeypatch, capsys, image):
    monkeypatch.chdir(tmp_path)
    damaged(tmp_path, "text.png", b"text")
    damaged(tmp_path, "text.gif", b"text")
    srgan.save_image("good.png", image)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as stop:
        srgan.main(arguments)
    message = capsys.readouterr().err
    assert stop.value.code == 2 and said in message and len(message.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_command_line_refuses_a_bad_output_before_the_work(tmp_path, image, monkeypatch):
    srgan.save_image(tmp_path / "good.png", image)
    monkeypatch.setattr(srgan, "load_generator", lambda source: pytest.fail("the work had begun"))
    with pytest.raises(SystemExit):
        srgan.main([str(tmp_path / "good.png"), str(tmp_path / "out.txt")])


def test_the_script_itself_is_quiet_and_exits_with_2(tmp_path):
    run = subprocess.run(
        [sys.executable, ROOT / "srgan.py", "none.png"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "srgan.py: none.png: no such image file\n")


def test_bundled_names_have_their_files():
    assert all(weights.bundled(name).is_file() for name in weights.BUNDLED)
