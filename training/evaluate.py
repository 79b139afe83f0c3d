"""Measure methods on a folder of photographs and the degradations.

    python -m training.evaluate valid/Set5 --sheet set5.png
    python -m training.evaluate valid/Set5 --models bicubic srresnet runs/srresnet/srresnet_x4.keras

Prints PSNR (dB) and SSIM on Y, 4 pixels cut from each border (Ledig et al. 2017, section 3.1), and the strength of
checkerboard artefacts (``superres.images.measures.checkerboard_strength``), the means over the folder, as a Markdown
table. The inputs are made from the photographs (see ``superres.images.degrade.degrade``); only where a NAME_HR.png has
a NAME_LRx4.png beside it, as benchmark sets come, that one is the clean input.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from srgan import apply_srgan, bicubic_upscale, load_generator
from superres import SCALE
from superres.images.degrade import DEGRADATIONS
from superres.images.measures import checkerboard_strength, markdown_table, psnr_ssim
from training import errors_in_one_line
from training.data import find_originals, low_resolution, read_hr

METHODS = {"bicubic": "Bicubic", "srcnn": "SRCNN", "srresnet": "SRResNet", "srgan": "SRGAN", "photo": "Photo"}


def method(model: str) -> Callable:
    """The function of images for "bicubic", or what ``srgan.load_generator`` takes, in float32; raises its errors."""
    if model == "bicubic":
        return bicubic_upscale
    return functools.partial(apply_srgan, generator=load_generator(model), dtype="float32")


def evaluate(paths: list[Path], methods: dict, degradations: list[str]) -> dict:
    """Mean PSNR (dB), SSIM and checkerboard strength on each degradation: {(method, degradation): means}.

    ``methods`` are functions by name, RGB uint8 (h, w, 3) -> (4h, 4w, 3).
    """
    scores = {(method, degradation): [] for method in methods for degradation in degradations}
    for path in tqdm(paths, unit="image"):
        hr = read_hr(path)
        for degradation in degradations:
            lr = low_resolution(path, hr, degradation)
            for method, upscale in methods.items():
                sr = upscale(lr)
                scores[method, degradation].append((*psnr_ssim(hr, sr), checkerboard_strength(sr)))
    return {key: tuple(np.mean(values, axis=0)) for key, values in scores.items()}


def table(scores: dict) -> str:
    """The result of ``evaluate`` as a Markdown table, a row per method and a column per degradation."""
    methods, degradations = (list(dict.fromkeys(names)) for names in zip(*scores, strict=True))
    cells = [
        [method, *("{:.2f} / {:.4f} / {:.3f}".format(*scores[method, name]) for name in degradations)]
        for method in methods
    ]
    return markdown_table(["PSNR / SSIM / checkerboard", *degradations], cells)


def sheet(paths: list[Path], methods: dict, degradations: list[str], size: int = 128) -> plt.Figure:
    """A Matplotlib figure of middle crops, ``size`` pixels: a row per image and degradation, a column per method."""
    rows = [(path, degradation) for path in paths for degradation in degradations]
    titles = [*methods, "Original"]
    figure, axes = plt.subplots(
        len(rows), len(titles), figsize=(2 * len(titles), 2.1 * len(rows)), squeeze=False, layout="constrained"
    )
    for (path, degradation), row in zip(rows, axes, strict=True):
        hr = read_hr(path)
        lr = low_resolution(path, hr, degradation)
        top, left = ((length - size) // 2 // SCALE * SCALE if length > size else 0 for length in hr.shape[:2])
        for axis, image in zip(row, [*(upscale(lr) for upscale in methods.values()), hr], strict=True):
            axis.imshow(image[top : top + size, left : left + size], interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{path.stem}, {degradation}", fontsize="small")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
    return figure


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="high-resolution images, PNG by preference")
    add("--limit", type=int, metavar="N", help="only the first N images")
    add("--degradations", nargs="+", choices=DEGRADATIONS, default=DEGRADATIONS,
        help="low-resolution inputs to make (default: all)")  # fmt: skip
    add("--models", nargs="+", default=list(METHODS), metavar="MODEL",
        help="bicubic, or what srgan.load_generator takes: bundled names, files... (default: %(default)s)")  # fmt: skip
    add("--sheet", type=Path, metavar="FILE.png", help="also write crops of the first four images side by side")
    args = parser.parse_args(arguments)
    with errors_in_one_line(parser):
        paths = find_originals(args.folder)[: args.limit]
        methods = {METHODS.get(model, model): method(model) for model in args.models}
    print(table(evaluate(paths, methods, args.degradations)))
    if args.sheet:
        sheet(paths[:4], methods, args.degradations).savefig(args.sheet, dpi=128)


if __name__ == "__main__":
    main()
