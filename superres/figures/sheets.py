"""Images side by side. Every pixel of a crop is the same whole number of screen pixels wide and high."""

import cv2
import matplotlib.colors
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from superres.figures.page import DENSITY, DPI, GREEN, ORANGE, PURPLE, SKY_BLUE, WIDTH
from superres.images.measures import psnr, psnr_ssim

BOX_COLOURS = ORANGE, SKY_BLUE, GREEN, PURPLE
GAP = 8 * DENSITY
LINE = 18 * DENSITY  # of a title, in 10 pt
BORDER = 2 * DENSITY


def overview(images, boxes, columns) -> Figure:
    """Whole images, {title: RGB uint8 (h, w, 3)}, row by row, reduced to fit, each with its boxes.

    boxes: {title: [(left, top, width, height), ...]} in the image's pixels.
    """
    column = column_width(columns)
    cells = []
    for title, image in images.items():
        scale = min(column / image.shape[1], 1)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cells.append((title, with_boxes(small, boxes.get(title, ()), scale)))
    return sheet([cells[i : i + columns] for i in range(0, len(cells), columns)])


def close_up(images, window, boxes, original=None) -> Figure:
    """A part of some images of one size at 100 %, and below it the boxes in it, enlarged, a row for each.

    images: {title: RGB uint8 (h, w, 3)}, from left to right. window, boxes: (left, top, width, height) in their pixels;
    boxes outside of the window are not drawn in it.
    original: where given, PSNR and SSIM against it join the titles.
    """
    columns, margin = len(images), LINE + GAP
    left, top, *_ = window
    inside = [(x - left, y - top, width, height) for x, y, width, height in boxes]
    titles = [caption(title, image, original) for title, image in images.items()]
    whole = [repeated(part, DENSITY) for part in zoom(images, window).values()]
    rows = [list(zip(titles, [with_boxes(image, inside, DENSITY) for image in whole], strict=True))]
    factors = [1]
    for box, colour in zip(boxes, BOX_COLOURS, strict=False):
        parts = [magnified(part, column_width(columns, margin) - 2 * BORDER) for part in zoom(images, box).values()]
        factors.append(parts[0].shape[1] / box[2] / DENSITY)
        rows.append([("", cv2.copyMakeBorder(part, *[BORDER] * 4, cv2.BORDER_CONSTANT, value=rgb(colour)))
                     for part in parts])  # fmt: skip
    return sheet(rows, [f"{factor:.0%}" for factor in factors])


def grid(rows) -> Figure:
    """Small images with a heading for every row and column, each enlarged by the largest whole factor that fits.

    rows: {heading: {heading of the column: RGB uint8 (h, w, 3)}}. Columns' headings are repeated where they change.
    """
    columns = len(next(iter(rows.values())))
    column = column_width(columns, LINE + GAP)
    headings = [""] * columns
    cells = []
    for images in rows.values():
        titles = ["" if title == above else title for title, above in zip(images, headings, strict=True)]
        cells.append([(title, magnified(image, column)) for title, image in zip(titles, images.values(), strict=True)])
        headings = list(images)
    return sheet(cells, list(rows))


def mosaic(images, columns) -> Figure:
    """Small images, {title: image}, row by row, all enlarged by the largest whole factor that fits a column."""
    factor = whole_factor(max(image.shape[1] for image in images.values()), column_width(columns))
    cells = [(title, repeated(image, factor)) for title, image in images.items()]
    return sheet([cells[i : i + columns] for i in range(0, len(cells), columns)])


def zoom(images, box):
    """The same part of images of one size, {title: image}; box: left, top, width, height."""
    left, top, width, height = box
    return {title: image[top : top + height, left : left + width] for title, image in images.items()}


def with_psnr(images):
    """The images with their PSNR in the titles; the original, which has none, is "Original"."""
    original = images["Original"]
    unscored = "Original", "Input"
    return {
        title if title in unscored else f"{title}\n{psnr(original, image):.2f} dB": image
        for title, image in images.items()
    }


def sheet(rows, headings=None) -> Figure:
    """A figure of cells (title, RGB uint8 image in the figure's own pixels), put there without any resampling.

    headings: of the rows, along their left sides.
    """
    margin = LINE + GAP if headings else 0
    column = column_width(len(rows[0]), margin)
    heights = [max(image.shape[0] for _, image in row) for row in rows]
    lines = [max(len(title.splitlines()) for title, _ in row) for row in rows]
    titles = [LINE * count + GAP // 2 if count else 0 for count in lines]
    height = sum(heights) + sum(titles) + GAP * (len(rows) - 1)
    height += -height % 6  # a multiple of DPI / 32: exact in inches
    figure = Figure((WIDTH * DENSITY / DPI, height / DPI), dpi=DPI)

    def write(text, x, y, **options):
        figure.text(x / (WIDTH * DENSITY), 1 - y / height, text, fontsize=10, ha="center", **options)

    top = 0
    for number, row in enumerate(rows):
        image_top = top + titles[number]
        if headings:
            write(headings[number], LINE / 2, image_top + heights[number] / 2, va="center", rotation="vertical")
        for i, (title, image) in enumerate(row):
            left = margin + i * (column + GAP) + (column - image.shape[1]) // 2
            for above, line in enumerate(reversed(title.splitlines())):
                write(line, left + image.shape[1] / 2, image_top - GAP - LINE * above, va="baseline")
            figure.figimage(image, left, height - image_top - image.shape[0])
        top = image_top + heights[number] + GAP
    return figure


def column_width(columns, margin=0):
    return (WIDTH * DENSITY - margin - GAP * (columns - 1)) // columns


def magnified(image, width):
    """An image, every pixel repeated as often as ``width`` allows."""
    return repeated(image, whole_factor(image.shape[1], width))


def whole_factor(small, large):
    """How often ``small`` fits into ``large``; an even number, for screens of half the density."""
    factor = large // small
    return factor - factor % DENSITY if factor > DENSITY else factor


def repeated(image, factor):
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def with_boxes(image, boxes, scale):
    image = image.copy()
    for box, colour in zip(boxes, BOX_COLOURS, strict=False):
        left, top, width, height = (round(length * scale) for length in box)
        if 0 <= left < image.shape[1] and 0 <= top < image.shape[0]:
            cv2.rectangle(image, (left, top), (left + width - 1, top + height - 1), rgb(colour), BORDER)
    return image


def rgb(colour):
    return tuple(round(255 * value) for value in matplotlib.colors.to_rgb(colour))


def caption(title, image, original):
    size = f"{title}\n{image.shape[1]}x{image.shape[0]}"
    if original is None or image is original:
        return size
    return "{}\n{:.2f} dB / {:.3f}".format(size, *psnr_ssim(original, image))


def side_by_side(clips, gap=0):
    """Yield the frames of clips next to each other and in step, each clip under its name: RGB uint8, for ``save_gif``.

    clips: {name: RGB uint8 frames (h, w, 3)}, from left to right, equally many of each. All are shown as large as the
    largest, the smaller ones by repeating pixels, which takes whole factors.
    """
    for frames in zip(*clips.values(), strict=True):
        height, width = max(frame.shape[:2] for frame in frames)
        label = height // 12
        canvas = Image.new("RGB", (len(frames) * (width + gap) - gap, label + height), "white")
        draw = ImageDraw.Draw(canvas)
        for left, name, frame in zip(range(0, canvas.width, width + gap), clips, frames, strict=True):
            draw.text((left + width // 2, label // 2), name, "black", ImageFont.load_default(0.65 * label), "mm")
            canvas.paste(Image.fromarray(frame).resize((width, height), Image.Resampling.NEAREST), (left, label))
        yield np.asarray(canvas)
