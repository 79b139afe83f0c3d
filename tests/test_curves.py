"""The learning curves beside the published weights."""

import csv

import numpy as np
import pytest
from conftest import ROOT

from training import curves


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
        points = [each for each in csv.DictReader(file) if each["run"] == run]
    assert len(points) > 1
    for axis, measure in zip(axes[1:], ("psnr", "distance"), strict=True):
        for line, data in zip(axis.lines, ("set5", "crops"), strict=True):
            assert list(line.get_ydata()) == [float(point[f"{data}_{measure}"]) for point in points]
            assert list(line.get_xdata()) == pytest.approx([minute(int(point["step"]), rows) for point in points])


def minute(step, rows):
    """When a step was done, between the rows of the log in proportion."""
    before, after = {"step": 0, "seconds": 0}, rows[-1]
    for row in rows:
        if int(row["step"]) >= step:
            after = row
            break
        before = row
    (first, start), (last, end) = ((int(row["step"]), float(row["seconds"]) / 60) for row in (before, after))
    return start + (end - start) * (step - first) / (last - first)
