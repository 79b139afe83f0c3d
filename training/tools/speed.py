"""Time, memory and precision of ``apply_srgan`` against the course's way, the plain Keras graph through ``predict``.

    python -m training.tools.speed ratios onnxruntime openvino      # or none of them
    python -m training.tools.speed memory
    python -m training.tools.speed precision FOLDER

Prints Markdown. The first compares with other runtimes as well, the second measures up to ``HUGE``, the third compares
bfloat16 with float32 on the clean inputs of a folder of high-resolution images.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from skimage.metrics import peak_signal_noise_ratio
from tqdm import tqdm

from srgan import apply_srgan, save_gif
from srgan import main as command_line
from superres import SCALE
from superres.images.image import bicubic_upscale, to_uint8
from superres.images.measures import markdown_table
from superres.network.weights import load_generator
from training import errors_in_one_line
from training.data import find_originals, low_resolution, read_hr

SIZES = ((64, 64), (128, 128), (341, 268))  # width, height of the low-resolution image
LARGE = (2040, 1356)
HUGE = (8000, 6000)
CLIP = (2000, 1500)
ROUNDS = 3


def course(image):
    return to_uint8(load_generator().predict(image[None], verbose=0)[0])


def float32(image):
    return apply_srgan(image, dtype="float32")


def bfloat16(image):
    return apply_srgan(image, dtype="bfloat16")


WAYS = {"course": course, "float32": float32, "bfloat16": bfloat16}


def exported(format, name, load):
    """What ``load`` makes of the path of the bundled generator's file for another runtime."""
    course(random_image(8, 8))  # Keras exports no model that was never called
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        load_generator().export(path, format=format, verbose=False)
        return load(path)


def onnxruntime():
    """The plain Keras graph in ONNX Runtime, in float32."""
    from onnxruntime import InferenceSession

    session = exported("onnx", "generator.onnx", InferenceSession)
    (graph_input,) = session.get_inputs()
    return lambda x: session.run(None, {graph_input.name: x})[0]


def openvino():
    """The plain Keras graph in OpenVINO, in the precision that it chooses for the processor."""
    from openvino import Core

    compiled = exported("openvino", "generator.xml", lambda path: Core().compile_model(path, "CPU"))
    return lambda x: compiled(x)[0]


# Other runtimes, and the packages that each needs.
RUNTIMES = {"onnxruntime": (onnxruntime, ("onnxruntime", "onnx", "tf2onnx")), "openvino": (openvino, ("openvino",))}


def way_of(name):
    """A runtime's function from image to image. Raises ModuleNotFoundError, naming the packages that it lacks."""
    runtime, packages = RUNTIMES[name]
    if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
        raise ModuleNotFoundError(f"{name}: not installed: {' '.join(missing)}; expected pip install of them")
    run = runtime()
    return lambda image: to_uint8(run(image[None].astype(np.float32))[0])


def ratios(runtimes):
    """Seconds per megapixel of output of the course's way, and how often as fast the others are, as Markdown."""
    ways = WAYS | {name: way_of(name) for name in runtimes}
    rows = []
    for size in tqdm(SIZES, unit="size"):
        base, *others = race(random_image(*size), ways.values())
        cells = [f"{base / megapixels(size):.2f}", *(f"{base / other:.2f}x" for other in others)]
        rows.append(("{}x{}".format(*size), *cells))
    return markdown_table(("LR size", "course (s/MP)", *list(ways)[1:]), rows)


def megapixels(size):
    """Millions of pixels of the output for a low-resolution size."""
    return SCALE**2 * np.prod(size) / 1e6


def random_image(width, height):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def seconds(way, image):
    start = time.perf_counter()
    way(image)
    return time.perf_counter() - start


def race(image, ways):
    """Median seconds of each way on one image, run in turn after a first run that is not counted."""
    for way in ways:
        way(image)
    rounds = [[seconds(way, image) for way in ways] for _ in range(ROUNDS)]
    return np.median(rounds, axis=0)


def still(width, height):
    float32(random_image(width, height))


def clip(width, height):
    """Enlarge a GIF in which all pixels change from frame to frame, by bicubic interpolation and without TensorFlow."""
    image = bicubic_upscale(random_image(width // 20, height // 20), 20)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "clip.gif")
        save_gif(path, [np.roll(image, 4 * i, axis=1) for i in range(6)], durations=100)
        command_line([path, "--method", "bicubic"])


def peak_memory(kind, size):
    """Peak resident MB of a process that upscales a "still" image of a size in float32, or a "clip" (Linux)."""
    code = f"from training.tools import speed; speed.{kind}(*{size}); print(speed.peak_megabytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def memory_bound(kind, width, height):
    """Megabytes below which an upscaled RGB image or clip stays.

    A still image: Python, TensorFlow, model and strips, 2500 MB at most, then 3 bytes for each pixel of image and
    result. A clip: 300 MB, then 220 bytes for each pixel of its screen.
    """
    constant, each = {"still": (2500, 3 * (1 + SCALE**2)), "clip": (300, 220)}[kind]
    return constant + each * width * height / 2**20


def memory():
    """Peak memory against its bound as Markdown, of images up to ``HUGE``, half an hour in float32, and of a clip.

    Raises MemoryError where the bound does not hold.
    """
    rows = []
    for kind, size in tqdm([("clip", CLIP), *(("still", size) for size in (SIZES[-1], LARGE, HUGE))], unit="size"):
        name, peak, bound = f"{kind}, {size[0]}x{size[1]}", peak_memory(kind, size), memory_bound(kind, *size)
        rows.append((name, f"{peak:.0f}", f"{bound:.0f}"))
        if peak > bound:
            raise MemoryError(f"{name}: peak {peak:.0f} MB, expected at most {bound:.0f} MB")
    return markdown_table(("LR size", "peak (MB)", "bound (MB)"), rows)


def precision(folder):
    """Mean PSNR in dB of bfloat16 results against float32 ones, on RGB, on the clean inputs of a folder."""
    inputs = [low_resolution(path, read_hr(path), "clean") for path in find_originals(folder)]
    psnr = np.mean([peak_signal_noise_ratio(float32(image), bfloat16(image)) for image in inputs])
    return f"bfloat16 against float32: {psnr:.1f} dB PSNR."


def peak_megabytes():
    """Peak resident memory of this process (Linux); getrusage's would include that of the process that started it."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training.tools.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("ratios", help="time against the course's way and other runtimes")
    command.add_argument("runtimes", nargs="*", choices=[*RUNTIMES, []], metavar="RUNTIME", help=" or ".join(RUNTIMES))
    command.set_defaults(function=ratios)
    commands.add_parser("memory", help="peak memory against its bound").set_defaults(function=memory)
    command = commands.add_parser("precision", help="bfloat16 against float32")
    command.add_argument("folder", metavar="FOLDER", help="high-resolution images")
    command.set_defaults(function=precision)
    options = vars(parser.parse_args(arguments))
    with errors_in_one_line(parser):
        print(options.pop("function")(**options))


if __name__ == "__main__":
    main()
