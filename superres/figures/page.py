"""The page that figures are made for, and how they get onto it."""

import base64
import html
import io

import cv2
import numpy as np
import PIL.Image
from IPython.display import HTML, Image, Markdown
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Of a figure, in CSS pixels, 96 to the inch: a font of 10 pt is 10 pt on the page. JupyterLab's page, 1280 pixels wide,
# has 848 for an output.
WIDTH = 832
DENSITY = 2  # pixels per CSS pixel, for the screens of today
DPI = 96 * DENSITY


def badges(repository: str) -> Markdown | None:
    """Links that open the notebook in Colab and nbviewer; None while the repository, "owner/name", has no address."""
    if not repository:
        return None
    page = f"github/{repository}/blob/main/srgan_project.ipynb"
    image = "https://img.shields.io/badge/Open_in"
    return Markdown(
        f"[![Open in Colab]({image}-Colab-orange)](https://colab.research.google.com/{page})\n"
        f"[![Open in nbviewer]({image}-nbviewer-orange)](https://nbviewer.org/{page})"
    )


def show(figure: Figure, alt: str, format: str = "png") -> Image:
    """A figure as a notebook's output, with a description for those who cannot see it.

    format: "png", or "jpeg", which is several times smaller, for whole photographs. An image output, not HTML: it is
    shown alike by GitHub, Colab, VS Code and a JupyterLab that does not trust the notebook.
    """
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    page = PIL.Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if format == "png" and not figure.images:  # lines and letters: 256 colours are enough
        page = page.quantize(256, dither=PIL.Image.Dither.NONE)
    options = {"optimize": True} if format == "png" else {"quality": 85, "subsampling": 0, "optimize": True}
    file = io.BytesIO()
    page.save(file, format, **options)
    return Image(file.getvalue(), format=format, width=page.width // DENSITY, alt=alt)


def slider(before: np.ndarray, after: np.ndarray, labels: tuple[str, str], alt: str, scale: int = 2) -> HTML:
    """Two images of one shape, RGB uint8 (h, w, 3), one on the other, with an edge between them that can be dragged.

    All that is seen is a CSS background: where a page strips styles (GitHub), nothing is left of it, so show the images
    side by side as well.
    """
    height, width = (scale * length for length in before.shape[:2])
    edge = f"{width / 2}px"
    layer = f"position: absolute; top: 0; left: 0; height: {height}px; image-rendering: pixelated"
    new, old = (f"background: url({data_url(jpeg(image), 'image/jpeg')}) 0 0 / {width}px {height}px"
                for image in (after, before))  # fmt: skip
    handle = data_url(grip(*labels).encode(), "image/svg+xml")
    return HTML(f"""
<div style="position: relative; width: {width}px; height: {height}px; overflow: hidden">
  <div style="{layer}; width: {width}px; {new}"></div>
  <div style="{layer}; width: {edge}; {old}; border-right: 2px solid white">
    <div style="position: absolute; top: 8px; right: -121px; width: 240px; height: 32px;
      background: url({handle})"></div>
  </div>
  <input type="range" min="0" max="{width}" value="{width / 2}" aria-label="{html.escape(alt)}"
    oninput="this.previousElementSibling.style.width = this.value + 'px'"
    style="position: absolute; top: 0; left: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize">
</div>""")


def grip(left: str, right: str) -> str:
    """An SVG of 240x32 pixels: two labels on both sides of a round handle."""
    text = 'y="21" font-family="sans-serif" font-size="14" fill="white"'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="240" height="32">'
        '<rect x="24" y="4" width="192" height="24" rx="12" fill="#000000" fill-opacity="0.6"/>'
        f'<text x="96" {text} text-anchor="end">{html.escape(left)}</text>'
        f'<text x="144" {text}>{html.escape(right)}</text>'
        '<circle cx="120" cy="16" r="15" fill="white"/>'
        '<path d="M116 10l-6 6 6 6M124 10l6 6-6 6" fill="none" stroke="#333333" stroke-width="2"/></svg>'
    )


def data_url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def jpeg(image: np.ndarray) -> bytes:
    """RGB uint8 (h, w, 3) as a JPEG file of quality 90 with full colour resolution."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()
