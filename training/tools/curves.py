"""Draw the learning curves of three runs from the logs beside the weights.

python -m training.tools.curves weights/logs weights/learning_curves.png
"""

import argparse
import csv
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from training import errors_in_one_line

LOSSES = {  # term: label
    "pixel": "L1",
    "content": "content",
    "adversarial": "adversarial",
    "discriminator": "discriminator's",
}
RUNS = {"srresnet": "SRResNet", "srgan": "SRGAN", "srgan_long": "SRGAN, 26 minutes"}  # name of the log: title
SMOOTHING = 20  # rows of a log in a moving average


def columns(path: Path) -> dict:
    """The columns of a CSV file by name, as arrays of strings."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def curves(folder: Path) -> plt.Figure:
    """A Matplotlib figure: the losses in ``folder``/RUN.csv, and PSNR and distance in checkpoints.csv.

    Raises FileNotFoundError for a missing log.
    """
    checkpoints = columns(folder / "checkpoints.csv")
    figure, axes = plt.subplots(len(RUNS), 3, figsize=(12, 8.4), layout="constrained")
    for row, (run, title) in zip(axes, RUNS.items(), strict=True):
        log = {column: values.astype(float) for column, values in columns(folder / f"{run}.csv").items()}
        minutes = log["seconds"] / 60
        draw_losses(row[0], minutes, log)
        at = checkpoints["run"] == run
        time = np.interp(checkpoints["step"][at].astype(float), np.r_[0, log["step"]], np.r_[0, minutes])
        for axis, measure, label in zip(row[1:], ("psnr", "distance"), ("PSNR, dB", "Distance"), strict=True):
            for prefix, data in (("set5", "Set5"), ("crops", "DIV2K crops")):
                axis.plot(time, checkpoints[f"{prefix}_{measure}"][at].astype(float), "o-", label=data)
            axis.set_ylabel(label)
        for axis in row:
            axis.set(title=title, xlabel="Minutes on the GPU", ylim=(0, None) if axis is row[0] else None)
            axis.grid(alpha=0.3)
            axis.legend(ncols=2 if axis is row[0] else 1)
    return figure


def draw_losses(axis, minutes, log):
    window = np.ones(SMOOTHING) / SMOOTHING
    for term, label in LOSSES.items():
        if term in log:
            scale = 100 if term == "pixel" else 1
            values = np.convolve(scale * log[term], window, mode="valid")
            axis.plot(minutes[SMOOTHING - 1 :], values, label=label if scale == 1 else f"{label} x {scale}")
    axis.set_ylabel("Loss")


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training.tools.curves",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("logs", type=Path, metavar="LOGS", help="folder of the logs")
    parser.add_argument("out", type=Path, metavar="OUT.png")
    args = parser.parse_args(arguments)
    with errors_in_one_line(parser):
        curves(args.logs).savefig(args.out, dpi=100)


if __name__ == "__main__":
    main()
