"""The course's names and the command line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, difference, plain, randomise
from PIL import Image

import srgan
from superres import network, weights


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
    image[..., 3:] = 255  # for an alpha that varies see test_inference
    np.testing.assert_array_equal(
        srgan.bicubic_upscale(image), cv2.resize(image, (36, 52), interpolation=cv2.INTER_CUBIC)
    )
    np.testing.assert_array_equal(
        srgan.bicubic_downscale(image), cv2.resize(image, (2, 3), interpolation=cv2.INTER_CUBIC)
    )
    np.testing.assert_array_equal(
        srgan.bicubic_upscale(image, 3), cv2.resize(image, (27, 39), interpolation=cv2.INTER_CUBIC)
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
        (["cut.gif"], "cut.gif: frame 1 of the GIF is truncated"),
        (["good.png", "out.gif"], "a GIF becomes a GIF"),
        (["good.png", "out.txt"], "cannot write"),
        (["good.png", "none/out.png"], "no such folder"),
        (["good.png", "folder.png"], "folder.png: a folder"),
        (["alpha.png", "out.jpg"], "out.jpg: JPEG cannot hold an image of 16x16 pixels with transparency"),
        (["wide.png", "out.webp"], "out.webp: too large: 16384x4 pixels, and WEBP holds at most 16383"),
        (["wide.gif"], "wide_srgan_x4.gif: too large: 65536x4 pixels, and GIF holds at most 65535"),
        (["huge.png"], "huge.png: too large to upscale: 4097x4096 pixels, expected at most 16,777,216"),
        (["huge.gif"], "huge.gif: too large to upscale: 4097x4096 pixels"),
    ],
)
def test_command_line_says_what_is_wrong_before_the_work(arguments, said, tmp_path, monkeypatch, capsys, image):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(srgan, "load_generator", lambda source: pytest.fail("the work had begun"))
    Path("folder.png").mkdir()
    for name in ("text.png", "text.gif"):
        Path(name).write_bytes(b"text")
    srgan.save_image("good.png", image)
    srgan.save_image("alpha.png", np.full((4, 4, 4), 100, np.uint8))
    srgan.save_image("wide.png", np.zeros((1, 4096), np.uint8))
    srgan.save_gif("wide.gif", [np.zeros((1, 16384, 3), np.uint8)], 40)
    Path("cut.gif").write_bytes(Path("wide.gif").read_bytes()[:-9])
    for name in ("huge.png", "huge.gif"):
        if name in arguments:
            Image.new("L", (4097, 4096)).save(name)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as stop:
        srgan.main(arguments)
    message = capsys.readouterr().err
    assert stop.value.code == 2 and said in message and len(message.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "method, said",
    [("sragn", "unknown weights 'sragn': expected one of srgan, srresnet, srcnn"), ("none.h5", "no such weights file")],
)
def test_command_line_refuses_an_unknown_method(method, said, tmp_path, capsys, image):
    srgan.save_image(tmp_path / "good.png", image)
    with pytest.raises(SystemExit) as stop:
        srgan.main([str(tmp_path / "good.png"), "--method", method])
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_a_warning_is_one_line(tiny, tmp_path, image, capsys):
    srgan.save_gif(tmp_path / "in.gif", [image], 40)
    (tmp_path / "in.gif").write_bytes((tmp_path / "in.gif").read_bytes()[:-1])
    srgan.main([str(tmp_path / "in.gif"), "--method", "bicubic"])
    line, *progress = capsys.readouterr().err.splitlines()
    assert not any("arning" in other for other in progress)
    assert line == f"srgan.py: warning: {tmp_path / 'in.gif'}: read in spite of its missing trailer"


def test_default_outputs_are_never_shared(tiny, tmp_path, image, capsys):
    inputs = ["photo.png", "photo.jpg", "photo.webp"]
    for name in inputs:
        srgan.save_image(tmp_path / name, image)
        for method in ("srgan:0.25", "srgan:0.75"):
            srgan.main([str(tmp_path / name), "--method", method])
    written = capsys.readouterr().out.split()
    assert len(set(written)) == 6 and len(list(tmp_path.iterdir())) == 9
    assert written[0] == str(tmp_path / "photo_srgan_0.25_x4.png")
    assert written[3] == str(tmp_path / "photo.jpg_srgan_0.75_x4.png")
    with pytest.raises(SystemExit):
        srgan.main([str(tmp_path / "photo.png"), "--method", "srgan:0.25"])
    assert "photo_srgan_0.25_x4.png: exists already" in capsys.readouterr().err


def test_an_interruption_is_no_traceback(tmp_path, image, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(srgan, "load_generator", interrupt)
    srgan.save_image(tmp_path / "good.png", image)
    with pytest.raises(SystemExit) as stop:
        srgan.main([str(tmp_path / "good.png")])
    assert stop.value.code == 130 and "interrupted, nothing written" in capsys.readouterr().err


def test_what_decoders_print_by_themselves_is_dropped(tmp_path, image, capfd):
    path = tmp_path / "in.tif"
    Image.fromarray(image).save(path, compression="tiff_adobe_deflate")
    path.write_bytes(path.read_bytes().replace(b"\x78\x9c", b"\x78\x00", 1))
    with pytest.raises(ValueError, match="in.tif: the image is damaged"):
        srgan.read_image(path)
    assert "ZIPDecode" in capfd.readouterr().err, "nothing to drop"
    with pytest.raises(SystemExit):
        srgan.main([str(path), "--method", "bicubic"])
    assert len(capfd.readouterr().err.splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="Windows ends a process without a signal that it could handle")
def test_sigterm_leaves_no_temporary_file(tmp_path):
    frames = [np.full((200, 200, 3), k, np.uint8) for k in range(100)]
    srgan.save_gif(tmp_path / "in.gif", frames, 40)
    command = [sys.executable, ROOT / "srgan.py", "in.gif", "out.gif", "--method", "bicubic"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as run:
        while len(list(tmp_path.iterdir())) == 1:  # the temporary file
            assert run.poll() is None
            time.sleep(0.01)
        run.terminate()
    assert run.returncode == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == ["in.gif"]


@pytest.mark.skipif(os.name != "posix", reason="the shell is not sh")
def test_stderr_may_be_closed(tmp_path, image):
    srgan.save_image(tmp_path / "in.png", image)
    script = f'exec "{sys.executable}" "{ROOT / "srgan.py"}" in.png --method bicubic 2>&-'
    run = subprocess.run(["sh", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout == "in_bicubic_x4.png\n" and srgan.read_image(tmp_path / "in_bicubic_x4.png").shape == (56, 88, 3)


def test_the_script_itself_is_quiet_and_exits_with_2(tmp_path):
    run = subprocess.run(
        [sys.executable, ROOT / "srgan.py", "none.png"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "srgan.py: none.png: no such image file\n")


def test_bundled_names_have_their_files():
    assert all(weights.bundled(name).is_file() for name in weights.BUNDLED)
