"""Draw weights/learning_curves.png, the learning curves of three runs, from weights/logs.

python -m training.curves
"""

import functools
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from training import CommandLine

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
RUNS = {"srresnet": "SRResNet", "srgan": "SRGAN", "srgan_long": "SRGAN, 26 minutes"}  # name of the log: title
LOSSES = {"pixel": ("L1 x 100", 100), "content": ("content", 1), "adversarial": ("adversarial", 1),
          "discriminator": ("discriminator's", 1)}  # column: label, scale  # fmt: skip
SMOOTHING = 20  # rows of a log in a moving average

read = functools.partial(np.genfromtxt, delimiter=",", names=True, dtype=None, encoding="utf-8")


def curves(folder: Path) -> plt.Figure:
    """A Matplotlib figure: the losses in ``folder``/RUN.csv, and PSNR and distance in checkpoints.csv."""
    checkpoints = read(folder / "checkpoints.csv")
    figure, axes = plt.subplots(len(RUNS), 3, figsize=(12, 8.4), layout="constrained")
    for row, (run, title) in zip(axes, RUNS.items(), strict=True):
        log, points = read(folder / f"{run}.csv"), checkpoints[checkpoints["run"] == run]
        minutes = log["seconds"] / 60
        for column, (label, scale) in LOSSES.items():
            if column in log.dtype.names:
                smooth = np.convolve(scale * log[column], np.ones(SMOOTHING) / SMOOTHING, mode="valid")
                row[0].plot(minutes[SMOOTHING - 1 :], smooth, label=label)
        time = np.interp(points["step"], np.r_[0, log["step"]], np.r_[0, minutes])
        for axis, measure in zip(row[1:], ("psnr", "distance"), strict=True):
            axis.plot(time, points[f"set5_{measure}"], "o-", label="Set5")
            axis.plot(time, points[f"crops_{measure}"], "o-", label="DIV2K crops")
        for axis, label in zip(row, ("Loss", "PSNR, dB", "Distance"), strict=True):
            axis.set(title=title, xlabel="Minutes on the GPU", ylabel=label)
            axis.grid(alpha=0.3)
            axis.legend(ncols=2 if axis is row[0] else 1)
        row[0].set_ylim(0)
    return figure


if __name__ == "__main__":
    CommandLine("training.curves", __doc__).parse_args()
    curves(WEIGHTS / "logs").savefig(WEIGHTS / "learning_curves.png", dpi=100)
