"""The page that figures are made for, and how they get onto it."""

import base64
import html
import io

import numpy as np
from IPython.display import HTML
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

# Of a figure, in CSS pixels, 96 to the inch: a font of 10 pt is 10 pt on the page. JupyterLab's page, 1280 pixels wide,
# has 848 for an output.
WIDTH = 832
DENSITY = 2  # pixels per CSS pixel, for the screens of today
DPI = 96 * DENSITY

# Okabe and Ito's colours, told apart by colour-blind readers.
BLACK, ORANGE, SKY_BLUE, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"


def show(figure: Figure, alt: str, format: str = "webp") -> HTML:
    """A figure as a notebook's output, with a description for those who cannot see it.

    format: "webp", lossless, or "jpeg", which is several times smaller, for whole photographs. An HTML tag and no image
    output, since nbconvert leaves out an image output's description; a JupyterLab that does not trust the notebook
    shows both alike.
    """
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    page = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    return HTML(f'<img alt="{html.escape(alt)}" width="{page.width // DENSITY}" src="{data_url(page, format)}">')


def slider(before: np.ndarray, after: np.ndarray, alt: str, scale: int = 2) -> HTML:
    """Two images of one shape, RGB uint8 (h, w, 3), one on the other, with an edge between them that can be dragged.

    All that is seen is a CSS background: where a page strips styles (GitHub), nothing is left of it, so show the images
    side by side as well.
    """
    height, width = (scale * length for length in before.shape[:2])
    layer = f"position: absolute; top: 0; left: 0; height: {height}px; image-rendering: pixelated"
    new, old = (f"background: url({data_url(Image.fromarray(image), 'jpeg')}) 0 0 / {width}px {height}px"
                for image in (after, before))  # fmt: skip
    return HTML(f"""
<div style="position: relative; width: {width}px; height: {height}px; overflow: hidden">
  <div style="{layer}; width: {width}px; {new}"></div>
  <div style="{layer}; width: {width / 2}px; {old}; border-right: 4px double white"></div>
  <input type="range" min="0" max="{width}" value="{width / 2}" aria-label="{html.escape(alt)}"
    oninput="this.previousElementSibling.style.width = this.value + 'px'"
    style="position: absolute; top: 0; left: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize">
</div>""")


def data_url(image: Image.Image, format: str) -> str:
    """An image as an address: a lossless WebP, or a JPEG of quality 85 with full colour resolution."""
    options = {"webp": {"lossless": True}, "jpeg": {"quality": 85, "subsampling": 0, "optimize": True}}
    file = io.BytesIO()
    image.save(file, format, **options[format])
    return f"data:image/{format};base64,{base64.b64encode(file.getvalue()).decode()}"
