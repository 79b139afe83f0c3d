"""Measure methods on a folder of photographs and four kinds of low-resolution input.

    python -m training.evaluate valid/Set5 --sheet set5.png
    python -m training.evaluate valid/Set5 --models bicubic srresnet runs/srresnet/srresnet_x4.keras
    python -m training.evaluate valid/Set5 --speed

Prints PSNR (dB) and SSIM on Y, 4 pixels cut from each border (Ledig et al. 2017, section 3.1), and the strength of a
sub-pixel grid (``superres.measures.unevenness``), the means over the folder, as a Markdown table. The inputs are made
from the photographs (see ``superres.degrade.degrade``); only where a NAME_HR.png has a NAME_LRx4.png beside it, as
benchmark sets come, that one is the clean input.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from srgan import method_function
from superres.degrade import degrade
from superres.files import read_image
from superres.measures import quality, unevenness
from superres.network import SCALE
from training import speed
from training.data import KINDS, find_pictures, read_hr

METHODS = {"bicubic": "Bicubic", "srcnn": "SRCNN", "srresnet": "SRResNet", "srgan": "SRGAN"}


def find_originals(folder):
    """Paths of the originals in a folder: every NAME_HR.png, or where there are none, every picture."""
    paths = find_pictures(folder)
    return [path for path in paths if path.stem.endswith("_HR")] or paths


def low_resolution(path, hr, kind):
    """The input of one kind to a picture, RGB uint8 (h, w, 3)."""
    published = path.with_name(path.name.replace("_HR", "_LRx4"))
    if kind == "clean" and published != path and published.exists():
        return read_image(published)
    return degrade(hr, kind)


def evaluate(paths, methods, kinds):
    """Mean PSNR, SSIM and unevenness of each method on each kind of input: {(method, kind): (dB, SSIM, unevenness)}.

    ``methods`` are functions by name, RGB uint8 (h, w, 3) -> (4h, 4w, 3).
    """
    scores = {(method, kind): [] for method in methods for kind in kinds}
    for path in tqdm(paths, unit="picture"):
        hr = read_hr(path)
        for kind in kinds:
            lr = low_resolution(path, hr, kind)
            for method, enlarge in methods.items():
                sr = enlarge(lr)
                scores[method, kind].append((*quality(hr, sr), unevenness(sr)))
    return {key: tuple(np.mean(values, axis=0)) for key, values in scores.items()}


def table(scores):
    """The result of ``evaluate`` as a Markdown table, a row per method and a column per kind."""
    methods, kinds = (list(dict.fromkeys(names)) for names in zip(*scores, strict=True))
    cells = [
        [method, *("{:.2f} / {:.4f} / {:.3f}".format(*scores[method, kind]) for kind in kinds)] for method in methods
    ]
    rows = [["PSNR / SSIM / grid", *kinds], ["---"] + ["---:"] * len(kinds), *cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def sheet(paths, methods, kinds, size=128):
    """A Matplotlib figure of middle crops, ``size`` pixels: a row per picture and kind, a column per method."""
    rows = [(path, kind) for path in paths for kind in kinds]
    titles = [*methods, "Original"]
    figure, axes = plt.subplots(
        len(rows), len(titles), figsize=(2 * len(titles), 2.1 * len(rows)), squeeze=False, layout="constrained"
    )
    for (path, kind), row in zip(rows, axes, strict=True):
        hr = read_hr(path)
        lr = low_resolution(path, hr, kind)
        top, left = ((length - size) // 2 // SCALE * SCALE if length > size else 0 for length in hr.shape[:2])
        for axis, picture in zip(row, [*(enlarge(lr) for enlarge in methods.values()), hr], strict=True):
            axis.imshow(picture[top : top + size, left : left + size], interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{path.stem}, {kind}", fontsize="small")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
    return figure


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="high-resolution pictures, PNG by preference")
    add("--limit", type=int, metavar="N", help="only the first N pictures")
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of low-resolution input (default: all)")
    add("--models", nargs="+", default=list(METHODS), metavar="MODEL",
        help="bicubic, or what srgan.load_generator takes: bundled names, files... (default: %(default)s)")  # fmt: skip
    add("--sheet", type=Path, metavar="FILE.png", help="also write crops of the first four pictures side by side")
    add(
        "--speed",
        action="store_true",
        help="instead: time and memory against the plain Keras graph, and bfloat16's PSNR",
    )
    args = parser.parse_args(arguments)
    try:
        paths = find_originals(args.folder)[: args.limit]
        methods = {METHODS.get(model, model): method_function(model) for model in args.models}
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    if args.speed:
        print(speed.report([low_resolution(path, read_hr(path), "clean") for path in paths]))
        return
    print(table(evaluate(paths, methods, args.kinds)))
    if args.sheet:
        sheet(paths[:4], methods, args.kinds).savefig(args.sheet, dpi=128)


if __name__ == "__main__":
    main()
