"""The learning curves beside the published weights."""

import csv

import numpy as np
import pytest
from conftest import ROOT

from training import curves


def test_curves_are_those_of_the_logs(tmp_path):
    folder = ROOT / "weights" / "logs"
    axes = curves.curves(folder).axes
    with (folder / "srgan.csv").open() as file:
        rows = list(csv.DictReader(file))
    content = next(line for line in axes[3].lines if line.get_label() == "content")
    assert content.get_xdata()[-1] == pytest.approx(float(rows[-1]["seconds"]) / 60)
    expected = np.mean([float(row["content"]) for row in rows[-curves.SMOOTHING :]])
    assert content.get_ydata()[-1] == pytest.approx(expected)
    with (folder / "checkpoints.csv").open() as file:
        last = [row for row in csv.DictReader(file) if row["method"] == "srgan"][-1]
    assert axes[5].lines[1].get_ydata()[-1] == float(last["crops_distance"])
    assert axes[5].lines[1].get_xdata()[-1] == pytest.approx(content.get_xdata()[-1], rel=0.01)
    assert [axis.get_title() for axis in axes] == ["SRResNet"] * 3 + ["SRGAN"] * 3
    pixel = next(line for line in axes[3].lines if line.get_label() == "L1 x 100")
    expected = 100 * np.mean([float(row["pixel"]) for row in rows[-curves.SMOOTHING :]])
    assert pixel.get_ydata()[-1] == pytest.approx(expected)


def test_missing_logs_are_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        curves.main([str(tmp_path), str(tmp_path / "out.png")])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "checkpoints.csv" in error and error.count("\n") == 1
    assert not (tmp_path / "out.png").exists()
