"""The crops that travel to another machine."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from training import pack


@pytest.fixture
def folders(tmp_path, rng):
    """A folder of one red photograph, one of two blue ones, each of 700 x 500 noisy pixels."""
    for name, channel, count in (("red", 0, 1), ("blue", 2, 2)):
        (tmp_path / name).mkdir()
        for i in range(count):
            image = np.zeros((500, 700, 3), np.uint8)
            image[..., channel] = rng.integers(0, 256, (500, 700))
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    return [tmp_path / "red", tmp_path / "blue"]


def test_crops_fill_the_file_and_come_from_every_folder(folders, tmp_path):
    file = tmp_path / "photos.tar"
    pack.pack(folders, file, megabytes=3)
    assert 2_600_000 < file.stat().st_size <= 3_000_000
    with tarfile.open(file) as archive:
        archive.extractall(tmp_path / "photos", filter="data")
    crops = [Image.open(path) for path in sorted((tmp_path / "photos").iterdir())]
    assert {crop.size for crop in crops} == {(480, 480)}
    assert {int(np.argmax(np.mean(crop, axis=(0, 1)))) for crop in crops} == {0, 2}
    first = file.read_bytes()
    pack.pack(folders, file, megabytes=3)
    assert file.read_bytes() == first
    pack.pack(folders, file, megabytes=3, seed=1)
    assert file.read_bytes() != first


def test_what_cannot_be_packed_is_one_sentence(folders, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for data, megabytes, said in ((folders[0], 0.02, "not one crop"), (tmp_path / "empty", 1, "no images")):
        with pytest.raises(SystemExit) as stop:
            pack.main([str(tmp_path / "out.tar"), "--data", str(data), "--megabytes", str(megabytes)])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and said in error and error.count("\n") == 1
    assert not (tmp_path / "out.tar").exists()
