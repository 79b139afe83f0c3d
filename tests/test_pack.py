"""The photographs that travel to another machine."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from training import pack
from training.data import find_images


@pytest.fixture
def folders(tmp_path, rng):
    """A folder of one smooth red photograph, one of two blue ones, each of 170 x 130 pixels."""
    for name, channel, count in (("red", 0, 1), ("blue", 2, 2)):
        (tmp_path / name).mkdir()
        for i in range(count):
            coarse = np.zeros((14, 18, 3), np.uint8)
            coarse[..., channel] = rng.integers(0, 256, (14, 18))
            Image.fromarray(coarse).resize((170, 130), Image.Resampling.BICUBIC).save(tmp_path / name / f"{i}.png")
    return [str(tmp_path / "red"), str(tmp_path / "blue")]


def test_photographs_come_out_as_they_went_in(folders, tmp_path):
    sizes = []
    for quality in (95, 20):
        file = tmp_path / f"{quality}.tar"
        pack.main([str(file), "--data", *folders, "--quality", str(quality)])
        sizes.append(file.stat().st_size)
    assert sizes[0] > 1.3 * sizes[1]
    with tarfile.open(tmp_path / "95.tar") as archive:
        archive.extractall(tmp_path / "out", filter="data")
    for folder, name, count in zip(folders, ("red", "blue"), (1, 2), strict=True):
        packed, originals = find_images(tmp_path / "out" / name), find_images(folder)
        assert len(packed) == len(originals) == count
        for image, original in zip(packed, originals, strict=True):
            difference = np.asarray(Image.open(image).convert("L"), float) - Image.open(original).convert("L").crop(
                (0, 0, 168, 128)
            )
            assert np.abs(difference).mean() < 2


def test_what_cannot_be_packed_is_one_sentence(folders, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for data, said in (
        ([str(tmp_path / "empty")], "no images"),
        ([folders[0], folders[0]], "different names, got red, red"),
    ):
        with pytest.raises(SystemExit) as stop:
            pack.main([str(tmp_path / "out.tar"), "--data", *data])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and said in error and error.count("\n") == 1
    assert not (tmp_path / "out.tar").exists()
