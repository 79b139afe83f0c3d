"""Images side by side. Every pixel of a crop is the same whole number of screen pixels wide and high."""

import cv2
import matplotlib.colors
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from superres.figures.page import DENSITY, DPI, WIDTH
from superres.measures import psnr_ssim

# Okabe and Ito's colours, told apart by colour-blind readers.
CROP_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")
GAP = 8 * DENSITY
LINE = 18 * DENSITY  # of a title, in 10 pt
BORDER = 2 * DENSITY


def overview(images, boxes=(), original=None) -> Figure:
    """Whole images side by side, reduced to fit, with the boxes that ``crops`` shows.

    images: {title: RGB uint8 (h, w, 3)}, of one size, from left to right.
    boxes: (left, top, width, height) in their pixels.
    original: where given, PSNR and SSIM against it join the titles.
    """
    column = column_width(len(images))
    cells = []
    for title, image in images.items():
        scale = column / image.shape[1]
        # The input's enlarged pixels keep their corners where there is room for them.
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
        small = cv2.resize(image, (column, round(image.shape[0] * scale)), interpolation=interpolation)
        for box, colour in zip(boxes, CROP_COLOURS, strict=False):
            left, top, width, height = (round(length * scale) for length in box)
            cv2.rectangle(small, (left, top), (left + width, top + height), rgb(colour), BORDER)
        cells.append((caption(title, image, original), small))
    return sheet([cells])


def crops(images, boxes) -> Figure:
    """The same parts of some images, a row for each box, in its colour and with titles above the first row."""
    rows = []
    for box, colour in zip(boxes, CROP_COLOURS, strict=False):
        parts = zoom(images, box)
        titles = parts if not rows else [""] * len(parts)
        bordered = [with_border(part, len(parts), rgb(colour)) for part in parts.values()]
        rows.append(list(zip(titles, bordered, strict=True)))
    return sheet(rows)


def mosaic(images, columns) -> Figure:
    """Small images, {title: image}, row by row, each enlarged by the largest whole factor that fits its column."""
    cells = [(title, magnified(image, columns)) for title, image in images.items()]
    return sheet([cells[i : i + columns] for i in range(0, len(cells), columns)])


def zoom(images, box):
    """The same part of images of one size, {title: image}; box: left, top, width, height."""
    left, top, width, height = box
    return {title: image[top : top + height, left : left + width] for title, image in images.items()}


def sheet(rows) -> Figure:
    """A figure of cells (title, RGB uint8 image in the figure's own pixels), put there without any resampling."""
    column = column_width(len(rows[0]))
    heights = [max(image.shape[0] for _, image in row) for row in rows]
    titles = [LINE * max(len(title.splitlines()) for title, _ in row) + GAP // 2 for row in rows]
    height = sum(heights) + sum(titles) + GAP * (len(rows) - 1)
    height += -height % 6  # a multiple of DPI / 32: exact in inches
    figure = Figure((WIDTH * DENSITY / DPI, height / DPI), dpi=DPI)
    top = 0
    for row, title_height, row_height in zip(rows, titles, heights, strict=True):
        for i, (title, image) in enumerate(row):
            left = i * (column + GAP) + (column - image.shape[1]) // 2
            for number, line in enumerate(reversed(title.splitlines())):
                baseline = top + title_height - GAP - LINE * number
                figure.text(
                    (left + image.shape[1] / 2) / (WIDTH * DENSITY), 1 - baseline / height, line,
                    fontsize=10, ha="center", va="baseline",
                )  # fmt: skip
            figure.figimage(image, left, height - top - title_height - image.shape[0])
        top += title_height + row_height + GAP
    return figure


def column_width(columns):
    return (WIDTH * DENSITY - GAP * (columns - 1)) // columns


def magnified(image, columns, border=0):
    """An image, every pixel repeated as often as the column is wide; evenly often, for screens of half the density."""
    factor = (column_width(columns) - 2 * border) // image.shape[1]
    factor -= factor % DENSITY if factor > DENSITY else 0
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def with_border(image, columns, colour):
    large = magnified(image, columns, BORDER)
    return cv2.copyMakeBorder(large, *[BORDER] * 4, cv2.BORDER_CONSTANT, value=colour)


def rgb(colour):
    return tuple(round(255 * value) for value in matplotlib.colors.to_rgb(colour))


def caption(title, image, original):
    size = f"{title}\n{image.shape[1]}x{image.shape[0]}"
    if original is None or image is original:
        return size
    return "{}  {:.2f} dB / {:.3f}".format(size, *psnr_ssim(original, image))


def side_by_side(clips, gap=8):
    """Yield the frames of clips next to each other and in step, each clip under its name: RGB uint8, for ``save_gif``.

    clips: {name: RGB uint8 frames (h, w, 3)}, from left to right, equally many of each. All are shown as large as the
    largest, the smaller ones by repeating pixels, which takes whole factors.
    """
    for frames in zip(*clips.values(), strict=True):
        height, width = max(frame.shape[:2] for frame in frames)
        label = height // 8
        canvas = Image.new("RGB", (len(frames) * (width + gap) - gap, label + height), "white")
        draw = ImageDraw.Draw(canvas)
        for left, name, frame in zip(range(0, canvas.width, width + gap), clips, frames, strict=True):
            draw.text((left + width // 2, label // 2), name, "black", ImageFont.load_default(0.65 * label), "mm")
            canvas.paste(Image.fromarray(frame).resize((width, height), Image.Resampling.NEAREST), (left, label))
        yield np.asarray(canvas)
