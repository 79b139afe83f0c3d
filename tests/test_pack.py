"""The photographs that travel to another machine."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from training.data import find_images
from training.tools import pack


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


@pytest.fixture
def parts(folders, tmp_path):
    """The three photographs in a part each."""
    pack.main(["pack", str(tmp_path / "photos"), "--data", *folders, "--megabytes", "0.001"])
    return sorted(tmp_path.glob("photos-*.zip"))


def test_photographs_come_out_as_they_went_in(folders, tmp_path):
    sizes = []
    for quality in (95, 20):
        pack.main(["pack", str(tmp_path / str(quality)), "--data", *folders, "--quality", str(quality)])
        sizes.append((tmp_path / f"{quality}-1-of-1.zip").stat().st_size)
    assert sizes[0] > 1.3 * sizes[1]
    pack.main(["unpack", str(tmp_path / "out"), str(tmp_path / "95-1-of-1.zip")])
    for folder, name, count in zip(folders, ("red", "blue"), (1, 2), strict=True):
        packed, originals = find_images(tmp_path / "out" / name), find_images(folder)
        assert len(packed) == len(originals) == count
        for image, original in zip(packed, originals, strict=True):
            difference = np.asarray(Image.open(image).convert("L"), float) - Image.open(original).convert("L").crop(
                (0, 0, 168, 128)
            )
            assert np.abs(difference).mean() < 2


def test_parts_are_no_larger_than_asked_for(folders, tmp_path):
    (whole,) = pack.pack(tmp_path / "whole", folders)
    with zipfile.ZipFile(whole) as archive:
        largest, *_, smallest = sorted((each.file_size for each in archive.infolist()), reverse=True)
    two = pack.pack(tmp_path / "two", folders, megabytes=(2 * largest) / 1e6)
    assert [path.name for path in two] == ["two-1-of-2.zip", "two-2-of-2.zip"]
    for path in two:
        with zipfile.ZipFile(path) as archive:
            assert sum(each.file_size for each in archive.infolist()) <= 2 * largest


def test_parts_belong_together_in_any_order(parts, tmp_path):
    assert [part.name for part in parts] == [f"photos-{n}-of-3.zip" for n in (1, 2, 3)]
    pack.unpack(tmp_path / "out", parts[::-1])
    assert len(find_images(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda parts: parts.pop(1), "missing of 3 parts: 2"),
        (lambda parts: parts[2].write_bytes(parts[2].read_bytes()[:-30]), "photos-3-of-3.zip is damaged or cut short"),
        (lambda parts: parts[0].write_bytes(parts[0].read_bytes().replace(b"VP8", b"VP9", 1)), "photos-1-of-3.zip is"),
        (lambda parts: parts.append(parts[0].rename(parts[0].with_name("a.zip"))), "a.zip: expected a name"),
        (lambda parts: parts[1].unlink(), "photos-2-of-3.zip"),
    ],
)
def test_what_cannot_be_unpacked_is_one_sentence_before_anything_is_written(spoil, said, parts, tmp_path, capsys):
    spoil(parts)
    with pytest.raises(SystemExit) as stop:
        pack.main(["unpack", str(tmp_path / "out"), *map(str, parts)])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_packed_is_one_sentence(folders, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for data, said in (
        ([str(tmp_path / "empty")], "no images"),
        ([folders[0], folders[0]], "different names, got red, red"),
    ):
        with pytest.raises(SystemExit) as stop:
            pack.main(["pack", str(tmp_path / "out"), "--data", *data])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and said in error and error.count("\n") == 1
    assert not list(tmp_path.glob("out*"))
