"""Measure methods on a folder of photographs and the degradations.

    python -m training.evaluate valid/Set5
    python -m training.evaluate valid/Set5 --models bicubic srresnet runs/srresnet/srresnet_x4.keras

Prints PSNR (dB) and SSIM on Y, 4 pixels cut from each border (Ledig et al. 2017, section 3.1), and the strength of
checkerboard artefacts (``superres.images.measures.checkerboard_strength``), the means over the folder, as a Markdown
table. The inputs are made from the photographs (see ``superres.images.degrade.degrade``); only where a NAME_HR.png has
a NAME_LRx4.png beside it, as benchmark sets come, that one is the clean input.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from srgan import apply_srgan, bicubic_upscale, load_generator
from superres.images.degrade import DEGRADATIONS
from superres.images.measures import checkerboard_strength, markdown_table, psnr_ssim
from training import CommandLine, errors_in_one_line
from training.data import find_originals, low_resolution, read_hr
from training.settings import COUNT

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


def main(arguments=None):
    parser = CommandLine("training.evaluate", __doc__)
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="high-resolution images, PNG by preference")
    add("--limit", type=COUNT, metavar="N", help="only the first N images")
    add("--degradations", nargs="+", choices=DEGRADATIONS, default=DEGRADATIONS,
        help="low-resolution inputs to make (default: all)")  # fmt: skip
    add("--models", nargs="+", default=list(METHODS), metavar="MODEL",
        help="bicubic, or what srgan.load_generator takes: bundled names, files... (default: %(default)s)")  # fmt: skip
    args = parser.parse_args(arguments)
    with errors_in_one_line(parser):
        paths = find_originals(args.folder)[: args.limit]
        methods = {METHODS.get(model, model): method(model) for model in args.models}
    print(table(evaluate(paths, methods, args.degradations)))


if __name__ == "__main__":
    main()
