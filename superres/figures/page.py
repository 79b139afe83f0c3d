"""The page that figures are made for, and how they get onto it."""

import base64
import html
import io
import mimetypes
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from IPython.display import HTML
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH = 960  # of a figure, in CSS pixels, 96 to the inch: a font of 10 pt is 10 pt on the page
DENSITY = 2  # pixels per CSS pixel, for the screens of today
DPI = 96 * DENSITY


def show(figure: Figure, alt: str, format: str = "png") -> HTML:
    """A figure as a notebook's output, with a description for those who cannot see it.

    format: "png", or "jpeg", which is several times smaller, for whole photographs.
    """
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    page = PIL.Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if format == "png" and not figure.images:  # lines and letters: 256 colours are enough
        page = page.quantize(256, dither=PIL.Image.Dither.NONE)
    options = {"optimize": True} if format == "png" else {"quality": 80}
    file = io.BytesIO()
    page.save(file, format, **options)
    return HTML(image_tag(file.getvalue(), f"image/{format}", alt, f'width="{page.width // DENSITY}"'))


def show_file(path, alt: str) -> HTML:
    """An image file or a GIF, at its own size."""
    return HTML(image_tag(Path(path).read_bytes(), mimetypes.guess_type(path)[0], alt))


def image_tag(data: bytes, kind: str, alt: str, attributes: str = "") -> str:
    """An embedded image. nbconvert's page and JupyterLab leave an image output's description out, HTML's not."""
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" alt="{html.escape(alt)}" {attributes}>'


def before_after(before: np.ndarray, after: np.ndarray, labels: tuple[str, str], alt: str, scale: int = 2) -> HTML:
    """Two images of one shape, RGB uint8 (h, w, 3), one on the other, with an edge between them that can be dragged.

    HTML and CSS alone, since JupyterLab and nbconvert's page run no scripts of a notebook that is not trusted. The edge
    is the grip of a box with ``resize: horizontal``, stretched to the height of the image.
    """
    height, width = (scale * length for length in before.shape[:2])
    size = f"width: {width}px; height: {height}px; max-width: none; image-rendering: pixelated; margin: 0"
    corner = "position: absolute; top: 8px; padding: 2px 8px; color: white; background-color: rgba(0, 0, 0, 0.6)"
    left, right = map(html.escape, labels)
    new = image_tag(jpeg(after), "image/jpeg", alt, f'style="{size}"')
    old = image_tag(jpeg(before), "image/jpeg", labels[0], f'style="{size}; position: absolute; top: 0; left: 0"')
    return HTML(f"""
<div style="position: relative; width: {width}px; height: {height}px; overflow: hidden">
  {new}
  <div style="{corner}; right: 8px">{right}</div>
  <div style="position: absolute; top: 0; left: 0; height: {height}px; overflow: hidden; border-right: 3px solid white">
    {old}
    <div style="{corner}; left: 8px">{left}</div>
    <div style="position: absolute; top: 0; right: 0; padding: 0 4px; background-color: white">&harr;</div>
    <div style="position: relative; width: {width // 2}px; min-width: 24px; max-width: {width - 3}px; height: 15px;
      overflow: hidden; resize: horizontal; opacity: 0; transform: scaleY({height / 15}); transform-origin: top"></div>
  </div>
</div>""")


def jpeg(image: np.ndarray) -> bytes:
    """RGB uint8 (h, w, 3) as a JPEG file of quality 90 with full colour resolution."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()
