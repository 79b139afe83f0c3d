"""Time and memory of the course's way, the plain Keras graph through ``predict``, against ``apply_srgan``.

    python -m training.speed FOLDER
    python -m training.speed --against onnxruntime openvino
    python -m training.speed --memory

Prints Markdown. FOLDER holds high-resolution images: bfloat16's precision is measured on their clean inputs. The second
compares with other runtimes, the third measures memory alone, up to ``HUGE``.
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

from srgan import apply_srgan
from superres import SCALE
from superres.frames import upscale_frames
from superres.measures import markdown_table
from superres.weights import load_generator
from training.data import find_originals, low_resolution, read_hr

SIZES = ((64, 64), (128, 128), (341, 268))  # width, height of the low-resolution image
LARGE = (2040, 1356)
HUGE = (8000, 6000)
CLIP = (480, 360)
ROUNDS = 3


def course(image):
    result = load_generator().predict(image[None], verbose=0)[0]
    return np.clip(result, 0, 255).round().astype(np.uint8)


def float32(image):
    return apply_srgan(image, dtype="float32")


def bfloat16(image):
    return apply_srgan(image, dtype="bfloat16")


WAYS = (course, float32, bfloat16)


def onnxruntime():
    """The plain Keras graph in ONNX Runtime, in float32."""
    from onnxruntime import InferenceSession

    session = InferenceSession(exported("onnx", ".onnx"))
    (graph_input,) = session.get_inputs()
    return lambda x: session.run(None, {graph_input.name: x})[0]


def openvino():
    """The plain Keras graph in OpenVINO, in the precision that it chooses for the processor."""
    from openvino import Core

    compiled = Core().compile_model(exported("openvino", ".xml"), "CPU")
    return lambda x: compiled(x)[0]


# Other runtimes, and the packages that each needs.
RUNTIMES = {onnxruntime: ("onnxruntime", "onnx", "tf2onnx"), openvino: ("openvino",)}


def exported(format, suffix):
    """The path of the bundled generator's file for another runtime, in a temporary folder that is left."""
    path = os.path.join(tempfile.mkdtemp(), f"generator{suffix}")
    course(random_image(8, 8))  # Keras exports no model that was never called
    load_generator().export(path, format=format, verbose=False)
    return path


def way_of(runtime):
    """A runtime's function from image to image. Raises ModuleNotFoundError, naming the packages that it lacks."""
    missing = [name for name in RUNTIMES[runtime] if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"{runtime.__name__}: not installed: {' '.join(missing)}; expected pip install of them"
        )
    run = runtime()
    return lambda image: np.clip(run(image[None].astype(np.float32))[0], 0, 255).round().astype(np.uint8)


def against(runtimes):
    """Seconds per megapixel of output of the course's way, and how often as fast the others are, as Markdown."""
    ways = [*WAYS, *map(way_of, runtimes)]
    names = [way.__name__ for way in (*WAYS[1:], *runtimes)]
    rows = []
    for size in tqdm(SIZES, unit="size"):
        base, *others = race(random_image(*size), ways)
        cells = [f"{base / megapixels(size):.2f}", *(f"{base / other:.2f}x" for other in others)]
        rows.append(("{}x{}".format(*size), *cells))
    return markdown_table(("LR size", "course (s/MP)", *names), rows)


def megapixels(size):
    """Millions of pixels of the output for a low-resolution size."""
    return SCALE**2 * np.prod(size) / 1e6


def random_image(width, height):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def seconds(way, image):
    start = time.perf_counter()
    way(image)
    return time.perf_counter() - start


def race(image, ways=WAYS):
    """Median seconds of each way on one image, run in turn after a first run that is not counted."""
    for way in ways:
        way(image)
    rounds = [[seconds(way, image) for way in ways] for _ in range(ROUNDS)]
    return np.median(rounds, axis=0)


def measure(way, size):
    """First call's seconds, the next one's and peak resident MB of one way, in a process of its own."""
    code = f"from training import speed; speed.print_measures({way.__name__!r}, *{size})"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return map(float, run.stdout.split())


def moving_clip(width, height):
    """Noise in which a square of a tenth of the area moves, by four pixels from frame to frame."""
    side = round(np.sqrt(width * height / 10))
    square = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    for i in range(1 + ROUNDS):
        frame = random_image(width, height)
        frame[50 + 4 * i : 50 + 4 * i + side, 60 + 4 * i : 60 + 4 * i + side] = square
        yield frame


def race_clip(size):
    """Median seconds of a frame upscaled whole, and of one after the first through ``upscale_frames``, run in turn."""
    frames = list(moving_clip(*size))
    results = upscale_frames(frames, float32)
    next(results)
    rounds = [(seconds(float32, frame), seconds(lambda _: next(results), frame)) for frame in frames[1:]]
    return np.median(rounds, axis=0)


def memory_bound(width, height):
    """Megabytes below which ``apply_srgan`` stays on an RGB image: Python, TensorFlow, model and strips, 2500 MB at
    most, then 3 bytes for each pixel of image and result.
    """
    return 2500 + 3 * (1 + SCALE**2) * width * height / 2**20


def memory():
    """Peak memory in float32 against its bound as Markdown, for sizes up to ``HUGE``: that one takes half an hour.

    Raises MemoryError where the bound does not hold.
    """
    rows = []
    for size in tqdm((SIZES[-1], LARGE, HUGE), unit="size"):
        (*_, peak), bound = measure(float32, size), memory_bound(*size)
        rows.append(("{}x{}".format(*size), f"{peak:.0f}", f"{bound:.0f}"))
        if peak > bound:
            raise MemoryError(f"{size[0]}x{size[1]}: peak {peak:.0f} MB, expected at most {bound:.0f} MB")
    return markdown_table(("LR size", "peak (MB)", "bound (MB)"), rows)


def bfloat16_psnr(images):
    """Mean PSNR in dB of bfloat16 results against float32 ones, on RGB."""
    return np.mean([peak_signal_noise_ratio(float32(image), bfloat16(image)) for image in images])


def report(images):
    """The whole comparison as Markdown; ``images`` are low-resolution inputs for bfloat16's precision."""
    header = "LR size", "course (s)", "float32", "bfloat16", "course (MB)", "float32 (MB)", "bfloat16 (MB)"
    rows = []
    for size in tqdm(SIZES, unit="size"):
        base, *ours = race(random_image(*size))
        rates = [time / megapixels(size) for time in (base, *ours)]
        memory = [[*measure(way, size)][-1] for way in WAYS]
        cells = [f"{base:.2f}", *(f"{base / own:.2f}x" for own in ours), *(f"{megabytes:.0f}" for megabytes in memory)]
        rows.append(("{}x{}".format(*size), *cells))
    small = SIZES[-1]
    first, second, _ = measure(float32, small)
    _, whole, megabytes = measure(float32, LARGE)
    frame, moving = race_clip(CLIP)
    growth = (whole / np.prod(LARGE)) / (second / np.prod(small))
    return "\n".join([
        markdown_table(header, rows), "",
        f"Seconds per megapixel of output at {small[0]}x{small[1]}: "
        + "course {:.2f}, float32 {:.2f}, bfloat16 {:.2f}.".format(*rates),
        f"First call at {small[0]}x{small[1]}, loading and tracing included: {first:.1f} s, the next: {second:.1f} s.",
        f"{LARGE[0]}x{LARGE[1]}: {whole:.0f} s, peak {megabytes:.0f} MB of at most {memory_bound(*LARGE):.0f} MB, "
        f"{growth:.2f} times the time per pixel.",
        f"A clip of {CLIP[0]}x{CLIP[1]}, a tenth of it moving: {frame / moving:.1f} times as fast as whole frames, "
        "after the first.",
        f"bfloat16 against float32: {bfloat16_psnr(images):.1f} dB PSNR.",
    ])  # fmt: skip


def print_measures(name, width, height):
    """Print what ``measure`` reads."""
    way, image = globals()[name], random_image(width, height)
    first = seconds(way, image)
    # Beyond a minute, what tracing adds to the first call is lost in it.
    second = seconds(way, image) if first < 60 else first
    print(first, second, peak_megabytes())


def peak_megabytes():
    """Peak resident memory of this process (Linux); getrusage's would include that of the process that started it."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    runtimes = [runtime.__name__ for runtime in RUNTIMES]
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("folder", nargs="?", metavar="FOLDER", help="high-resolution images")
    choice.add_argument("--against", nargs="+", choices=runtimes, metavar="RUNTIME", help=" or ".join(runtimes))
    choice.add_argument("--memory", action="store_true", help="peak memory against its bound")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images")
    args = parser.parse_args(arguments)
    try:
        if args.memory:
            print(memory())
        elif args.against:
            print(against([globals()[name] for name in args.against]))
        else:
            paths = find_originals(args.folder)[: args.limit]
            print(report([low_resolution(path, read_hr(path), "clean") for path in paths]))
    except (OSError, ModuleNotFoundError, MemoryError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
