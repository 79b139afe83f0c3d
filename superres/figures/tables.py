"""Tables, in Markdown."""

from pathlib import Path

import numpy as np
from IPython.display import Markdown
from scipy.stats import spearmanr

from superres.clips.reader import open_gif
from superres.images.measures import (
    blur,
    changed_static_pixels,
    coherence,
    fine_detail,
    flicker,
    markdown_table,
    over_sharpened,
    psnr,
    psnr_ssim,
)

PROPERTIES = {"Fine detail": fine_detail, "Coherence": coherence}


def metrics_table(images, original) -> Markdown:
    """PSNR, SSIM and the no-reference blur measure of Crete et al. 2007 of every image, and the original's blur."""
    scores = [(title, *psnr_ssim(original, image), blur(image)) for title, image in images.items()]
    rows = [(title, f"{psnr:.2f}", f"{ssim:.3f}", f"{blurred:.3f}") for title, psnr, ssim, blurred in scores]
    return Markdown(
        markdown_table(("", "PSNR (dB)", "SSIM", "Blur"), [*rows, ("Original", "", "", f"{blur(original):.3f}")])
    )


def over_sharpening_table(results) -> Markdown:
    """PSNR, and the share of the blocks that are sharper than the original's; results: {input: {method: image}}."""
    first, *_ = results.values()
    rows = []
    for method in first:
        if method != "Original":
            pairs = [(images["Original"], images[method]) for images in results.values()]
            rows.append((method, *(f"{psnr(*pair):.2f} / {over_sharpened(*pair):.0%}" for pair in pairs)))
    return Markdown(markdown_table(("PSNR (dB) / over-sharpened blocks", *results), rows))


def gif_table(files, frames) -> Markdown:
    """What GIF files store, {title: path}, and how many static pixels change in them.

    frames: {title: the frames that were to be stored}. Where one of them equals the one before, so should the file.
    """
    rows = []
    for title, path in files.items():
        gif = open_gif(path)
        loop = {0: "forever", None: "once"}.get(gif.loop, gif.loop)
        changed = changed_static_pixels(frames[title], list(gif))
        rows.append(
            (title, len(gif), "{}x{}".format(*gif.size), f"{sum(gif.durations)} ms", loop, f"{changed:.1%}",
             f"{Path(path).stat().st_size:,}")
        )  # fmt: skip
    header = "", "Frames", "Size", "Duration", "Loop", "Static pixels that change", "Bytes"
    return Markdown(markdown_table(header, rows))


def clips_table(clips, originals) -> Markdown:
    """Mean PSNR and SSIM of some clips, {title: frames}, against the original frames, and everyone's flicker."""
    rows = []
    for title, frames in clips.items():
        scores = [psnr_ssim(original, frame) for original, frame in zip(originals, frames, strict=True)]
        mean_psnr, mean_ssim = np.mean(scores, axis=0)
        rows.append((title, f"{mean_psnr:.2f}", f"{mean_ssim:.3f}", f"{flicker(frames, originals):.2f}"))
    rows.append(("Original", "", "", f"{flicker(originals, originals):.2f}"))
    return Markdown(markdown_table(("", "PSNR (dB)", "SSIM", "Flicker (grey levels)"), rows))


def psnr_gains(images):
    """By how many dB each method exceeds bicubic in PSNR; images: {method: image}, "Original" among them."""
    original = images["Original"]
    values = {method: psnr(original, image) for method, image in images.items() if method != "Original"}
    base = values.pop("Bicubic")
    return {method: value - base for method, value in values.items()}


def categories_table(results) -> Markdown:
    """Properties of the originals, and PSNR gains; results: {category: {method: image}}."""
    rows = []
    for category, images in results.items():
        properties = [f"{measure(images['Original']):.2f}" for measure in PROPERTIES.values()]
        gains = psnr_gains(images)
        rows.append((category, *properties, *(f"{gain:+.2f}" for gain in gains.values())))
    return Markdown(markdown_table(("", *PROPERTIES, *(f"{method} (dB)" for method in gains)), rows))


def correlations(results):
    """Spearman's rank correlation of the gains with each property, {(property, method): result}; results as above."""
    gains = [psnr_gains(images) for images in results.values()]
    tests = {}
    for name, measure in PROPERTIES.items():
        values = [measure(images["Original"]) for images in results.values()]
        for method in gains[0]:
            tests[name, method] = spearmanr(values, [gain[method] for gain in gains])
    return tests


def gains_table(results, heading) -> Markdown:
    """The PSNR of bicubic and by how many dB the others exceed it; results: {row: {method: image}}."""
    rows = []
    for name, images in results.items():
        gains = psnr_gains(images)
        bicubic = psnr(images["Original"], images["Bicubic"])
        rows.append((name, f"{bicubic:.2f}", *(f"{gain:+.2f}" for gain in gains.values())))
    return Markdown(markdown_table((heading, "Bicubic (dB)", *(f"{method} (dB)" for method in gains)), rows))


def degradations_table(results) -> Markdown:
    """The mean PSNR of bicubic, the others' mean gains, and how often they exceed it.

    results: {degradation: {category: {method: image}}}.
    """
    rows = []
    for degradation, categories in results.items():
        gains = [psnr_gains(images) for images in categories.values()]
        bicubic = np.mean([psnr(images["Original"], images["Bicubic"]) for images in categories.values()])
        columns = {method: [gain[method] for gain in gains] for method in gains[0]}
        rows.append(
            (degradation, f"{bicubic:.2f}",
             *(f"{np.mean(values):+.2f} ({np.sum(np.array(values) > 0)})" for values in columns.values()))
        )  # fmt: skip
    header = "Input", "Bicubic (dB)", *(f"{method} (better, of {len(gains)})" for method in columns)
    return Markdown(markdown_table(header, rows))


def model_card_table(path) -> Markdown:
    """The model card's comparison with the course's generator, as it stands there.

    Raises ValueError where the card has none.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("| PSNR / distance |")]
    if not starts:
        raise ValueError(f"{path}: no table starts with '| PSNR / distance |'")
    table = lines[starts[0] : lines.index("", starts[0])]
    rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in table]
    return Markdown(markdown_table(rows[0], rows[2:]))
