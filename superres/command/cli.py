"""The command line: images, GIFs and folders of them, enlarged four, three or two times."""

import argparse
import contextlib
import functools
import random
import signal
import sys
from fractions import Fraction

from PIL.ExifTags import Base
from tqdm import tqdm

from superres import SCALE, one_line, quiet
from superres.clips.frames import find_changes, upscale_changes
from superres.clips.reader import open_gif
from superres.clips.writer import write_changes
from superres.command.interruption import INTERRUPTED, interruption, stop_if_interrupted
from superres.command.messages import FILE_ERRORS, as_lines, describe, print_path, warnings_as_lines, write_line
from superres.command.plan import SCALES, is_done, is_gif, plan, signature
from superres.images import files
from superres.images.degrade import downscale
from superres.images.image import MAX_PIXELS, bicubic_upscale, check_whole
from superres.images.noise import visible_noise

EPILOG = """\
Two names, the first of them a file, are INPUT OUTPUT unless -o is given; else every name is an input. A GIF becomes a
GIF, any other image a PNG unless OUTPUT or --format says otherwise, INPUT_METHOD_x4.png beside the input or in DIR. Of
a folder, names that end in _x4 (_x3, _x2) are taken for results, and what has its result already is left out: a run
that was interrupted goes on, and several at once share the work. Camera settings, date and place (EXIF) are kept.
"""

MOST_PIXELS = MAX_PIXELS // SCALE**2  # of an input


def main(arguments: list[str] | None = None) -> None:
    """The command line, whose arguments are by default those of the program. Raises SystemExit where it fails.

    >>> save_image("photo.png", np.zeros((12, 16, 3), np.uint8))
    >>> main(["photo.png", "--method", "bicubic"])
    photo_bicubic_x4.png
    """
    parser = make_parser()
    options = parser.parse_args(arguments)
    with contextlib.suppress(AttributeError):  # a stream of another type, or none
        sys.stdout.reconfigure(errors="backslashreplace")
    failures = []
    try:
        check_whole("--quality", options.quality, most=100)
        jobs, failures = plan(options)
        for failure in upscale_files(jobs, options):
            failures.append(failure)
    except BaseException as error:
        # An interruption may come out of a library as another exception.
        if isinstance(error, KeyboardInterrupt) or interruption.signals:
            parser.exit(128 + (interruption.signals or [signal.SIGINT])[0], as_lines([*failures, INTERRUPTED]))
        if not isinstance(error, FILE_ERRORS):
            raise
        failures.append(one_line(error))
    if failures:
        parser.exit(2, as_lines(failures))


def make_parser():
    parser = argparse.ArgumentParser(
        prog="srgan.py", description="Upscale images and GIFs four times.", epilog=EPILOG,
        usage="%(prog)s [options] INPUT [OUTPUT]\n       %(prog)s [options] INPUT ... [-o DIR]",
    )  # fmt: skip
    parser.add_argument("names", nargs="+", metavar="INPUT", help="image, GIF, or folder of them")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for the results, made where missing")
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="sub-folders as well; the results in DIR keep their folders"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist already")
    parser.add_argument(
        "--method", default="srgan", metavar="METHOD",
        help="srgan (default), photo (for visibly noisy photographs), srresnet, srcnn, bicubic, srgan:ALPHA between "
        "srresnet (0) and srgan (1), a weights file, or hf://OWNER/REPO/FILE",
    )  # fmt: skip
    parser.add_argument(
        "--scale", type=int, default=SCALE, choices=SCALES,
        help="4 (default), or the result of 4 reduced by antialiased bicubic interpolation",
    )  # fmt: skip
    parser.add_argument("--format", choices=("png", "jpg", "webp"), help="of results without an OUTPUT; default: png")
    parser.add_argument(
        "--quality", type=int, default=95, metavar="N", help="of JPEG and WebP, from 1 to 100; default: 95"
    )
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16"),
        help="arithmetic; auto (default) is bfloat16 where the processor has it, about twice as fast, else float32",
    )  # fmt: skip
    parser.add_argument(
        "--trust", action="store_true",
        help="beside each result, RESULT_trust.png: bright where SRGAN is likely to have invented detail",
    )  # fmt: skip
    return parser


def upscale_files(jobs, options):
    """Do all jobs that can be done, printing the path of each result; yield a line for each of the others.

    Every input is read once before, so that a long run begins with what can fail known.
    """
    waiting = []
    for job in jobs:
        try:
            waiting.append(inspect(job, options))
        except FILE_ERRORS as error:
            yield describe(error, job.source, job.target)
    if not waiting:
        return
    upscale = method_function(options.method, options.dtype)
    if options.method != "bicubic":
        write_line(f"{options.method} in {upscale.keywords['upscaler'].dtype}")
    interruption.working = True
    for folder in {job.target.parent for job in waiting}:
        files.clear_unfinished(folder)
    with tqdm(total=sum(job.pixels for job in waiting), unit="pixel", unit_scale=True) as bar:
        yield from work_through(waiting, upscale, options, bar)


def work_through(waiting, upscale, options, bar):
    """``upscale_files`` of inspected jobs, each taken from the list."""

    def advance(pixels):
        stop_if_interrupted()
        bar.update(pixels)

    while waiting:
        job = waiting.pop(0)
        end = bar.n + job.pixels
        try:
            upscale_file(job, upscale, options, advance)
            print_path(job.target)
        except FILE_ERRORS as error:
            stop_if_interrupted()
            if isinstance(error, FileExistsError) and is_done(job):
                write_line(f"{job.target}: made by another run meanwhile")
                random.shuffle(waiting)  # in one order, both would do the same files
            else:
                yield describe(error, job.source, job.target)
        bar.update(end - bar.n)


def inspect(job, options):
    """The job, its pixels counted, and its GIF checked. Raises ValueError or OSError where it cannot be done."""
    source, target = job.source, job.target
    if options.output is not None:
        make_folder(target.parent)
    files.check_target(target)
    files.image_format(target)
    if options.trust:
        check_trust(job, options)
    with warnings_as_lines(), quiet():
        if is_gif(source):
            gif = open_gif(source, MOST_PIXELS)
            frames, shape = len(gif), (*gif.size[::-1], 4 if gif.transparent else 3)
        else:
            gif, frames, shape = None, 1, files.read_image(source, MOST_PIXELS).shape
        height, width, channels = shape
        files.check_format(target, (height * options.scale, width * options.scale, channels))
    return job._replace(gif=gif, pixels=frames * height * width * SCALE**2)


def make_folder(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(f"{folder}: the folder cannot be made: {error.strerror}") from error


def check_trust(job, options):
    """Raise ValueError or OSError where ``--trust`` does not apply, or its picture exists."""
    if options.method != "srgan" or is_gif(job.source):
        raise ValueError(f"{job.source}: --trust is for images and the method srgan, got the method {options.method}")
    path = trust_target(job.target)
    if path.exists() and not job.replace:
        raise FileExistsError(f"{path}: exists already: add --overwrite to replace it")
    files.check_target(path)


def trust_target(target):
    return target.with_name(f"{target.stem}_trust.png")


def trust_picture(image, result, options):
    """How far SRGAN's result differs from SRResNet's, as a picture of the result's shape."""
    from superres.images.measures import difference_map, heat_map  # here, as in ``method_function``

    other = method_function("srresnet", options.dtype)(image)
    return heat_map(difference_map(result, other), result.shape)


def hint_at_noise(path, image, upscale, options):
    """Say where an image is so noisy that another network serves it better than ``upscale``."""
    noise = visible_noise(image[..., :3], lambda part: method_function("photo", options.dtype)(part), upscale)
    if noise:
        write_line(f"{path}: noise of about {noise:.0f} grey levels: --method photo removes it")


def method_function(method, dtype="auto"):
    """The function from image to image, x4, by its name: "bicubic", or what ``load_generator`` takes."""
    if method == "bicubic":
        return lambda image, progress=False: bicubic_upscale(image)
    # Here, since Keras and TensorFlow take seconds; and in this order, since a wrong name is said without them.
    from superres.network.weights import load_generator

    model = load_generator(method)
    from superres.network.inference import upscale, upscaler_for

    with warnings_as_lines():
        return functools.partial(upscale, upscaler=upscaler_for(model, dtype))


def upscale_file(job, upscale, options, advance):
    """Upscale a file that was inspected, and write the result. ``advance`` is called with the number of pixels done."""
    if not job.replace and job.target.exists():
        raise FileExistsError(f"{job.target}: exists already, written meanwhile")
    if job.gif:
        upscale_gif(job, upscale, options, advance)
        return
    with quiet():  # its warnings were shown
        image = files.read_image(job.source)
        exif = files.camera_data(job.source) | {Base.Software: signature(job.source)}
    if options.method == "srgan":
        hint_at_noise(job.source, image, upscale, options)
    enlarged = upscale(image, progress=advance)
    trust = trust_picture(image, enlarged, options) if options.trust else None
    with files.atomic_write(job.target, job.replace) as file:
        files.write_image(file, job.target, reduced(enlarged, options.scale), options.quality, exif)
    if trust is not None:
        files.save_image(trust_target(job.target), reduced(trust, options.scale))


def upscale_gif(job, upscale, options, advance):
    """``upscale_file`` of a GIF, whose frames are written as they are computed."""

    def upscale_region(image):
        return upscale(image, progress=lambda _: stop_if_interrupted())

    def upscaled():
        for change in upscale_changes(job.gif, upscale_region):
            advance(job.pixels // len(job.gif))
            yield change

    changes = upscaled()
    if options.scale != SCALE:
        changes = find_changes(reduced(change.frame, options.scale) for change in changes)
    with files.atomic_write(job.target, job.replace) as file:
        write_changes(file, changes, job.gif.durations, job.gif.loop, signature(job.source))


def reduced(image, scale):
    """An image x4 at another scale, by antialiased bicubic interpolation."""
    return image if scale == SCALE else downscale(image, Fraction(SCALE, scale))
