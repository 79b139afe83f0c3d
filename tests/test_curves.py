"""The learning curves beside the published weights."""

import csv

import numpy as np
import pytest
from conftest import ROOT

from training.tools import curves


@pytest.mark.parametrize(("row", "run"), list(enumerate(curves.RUNS)))
def test_curves_are_those_of_the_logs(row, run):
    folder = ROOT / "weights" / "logs"
    axes = curves.curves(folder).axes
    assert [axis.get_title() for axis in axes] == [title for title in curves.RUNS.values() for _ in range(3)]
    axes = axes[3 * row : 3 * row + 3]
    with (folder / f"{run}.csv").open() as file:
        rows = list(csv.DictReader(file))
    lines = {line.get_label(): line for line in axes[0].lines}
    for label, term, scale in (("L1 x 100", "pixel", 100), ("content", "content", 1)):
        assert (label in lines) == (term in rows[0])
        if term in rows[0]:
            expected = scale * np.mean([float(each[term]) for each in rows[-curves.SMOOTHING :]])
            assert lines[label].get_ydata()[-1] == pytest.approx(expected)
            assert lines[label].get_xdata()[-1] == pytest.approx(float(rows[-1]["seconds"]) / 60)
    with (folder / "checkpoints.csv").open() as file:
        last = [each for each in csv.DictReader(file) if each["run"] == run][-1]
    for axis, measure in zip(axes[1:], ("psnr", "distance"), strict=True):
        line = axis.lines[1]
        assert line.get_ydata()[-1] == float(last[f"crops_{measure}"])
        assert line.get_xdata()[-1] == pytest.approx(float(rows[-1]["seconds"]) / 60, rel=0.01)


def test_missing_logs_are_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        curves.main([str(tmp_path), str(tmp_path / "out.png")])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "checkpoints.csv" in error and error.count("\n") == 1
    assert not (tmp_path / "out.png").exists()
