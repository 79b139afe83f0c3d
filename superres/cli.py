"""The command line: images, GIFs and folders of them, enlarged four, three or two times."""

import argparse
import contextlib
import functools
import hashlib
import itertools
import os
import random
import re
import signal
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from superres import SCALE, one_line, quiet
from superres.files import (
    atomic_write,
    camera_data,
    check_format,
    check_target,
    format_of_suffix,
    image_format,
    read_image,
    software_of,
    write_image,
)
from superres.formats import HEIF_SUFFIXES, UNREADABLE_SUFFIXES
from superres.frames import find_changes, upscale_changes
from superres.gif_reader import Gif, open_gif
from superres.gif_writer import write_changes
from superres.image import MAX_PIXELS, bicubic_upscale

EPILOG = """\
Two names, the first of them a file, are INPUT OUTPUT unless -o is given; else every name is an input. A GIF becomes a
GIF, any other image a PNG unless OUTPUT or --format says otherwise, INPUT_METHOD_x4.png beside the input or in DIR. Of
a folder, names that end in _x4 (_x3, _x2) are taken for results, and what has its result already is left out: a run
that was interrupted goes on, and several at once share the work. Camera settings, date and place (EXIF) are kept.
"""

NAMED_METHODS = ("srgan", "srresnet", "srcnn", "bicubic")
SCALES = (2, 3, SCALE)
RESULT_ENDINGS = tuple(f"_x{scale}" for scale in SCALES)

MOST_PIXELS = MAX_PIXELS // SCALE**2  # of an input

# What may go wrong with a file; anything else is a fault of the program.
FILE_ERRORS = (ValueError, OSError, MemoryError)


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
        jobs, failures = plan(options)
        for failure in upscale_files(jobs, options):
            failures.append(failure)
    except BaseException as error:
        # An interruption may come out of a library as another exception.
        if isinstance(error, KeyboardInterrupt) or received_signals:
            failures.append("interrupted, nothing unfinished is left")
            parser.exit(128 + (received_signals or [signal.SIGINT])[0], as_lines(failures))
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
    parser.add_argument("names", type=Path, nargs="+", metavar="INPUT", help="image, GIF, or folder of them")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for the results, made where missing")
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="sub-folders as well; the results in DIR keep their folders"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist already")
    parser.add_argument(
        "--method", default="srgan", metavar="METHOD",
        help="srgan (default), srresnet, srcnn, bicubic, srgan:ALPHA between srresnet (0) and srgan (1), "
        "a weights file, or hf://OWNER/REPO/FILE",
    )  # fmt: skip
    parser.add_argument(
        "--scale", type=int, default=SCALE, choices=SCALES,
        help="4 (default), or the result of 4 reduced by antialiased bicubic interpolation",
    )  # fmt: skip
    parser.add_argument("--format", choices=("png", "jpg", "webp"), help="of results without an OUTPUT; default: png")
    parser.add_argument(
        "--quality", type=percentage, default=95, metavar="N", help="of JPEG and WebP, from 1 to 100; default: 95"
    )
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16"),
        help="arithmetic; auto (default) is bfloat16 where the processor has it, about twice as fast, else float32",
    )  # fmt: skip
    return parser


def percentage(text):
    number = int(text)
    if not 1 <= number <= 100:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 100, got {text}")
    return number


def as_lines(failures):
    return "".join(f"srgan.py: {failure}\n" for failure in failures)


def describe(error, *paths):
    """The message of an error in one line, which begins with one of the paths."""
    message = one_line(error)
    if isinstance(error, OSError) and message.startswith("[Errno"):
        message = error.strerror
    return message if message.startswith(tuple(map(str, paths))) else f"{paths[0]}: {message}"


def write_line(line):
    """A line on stderr, above the progress bar."""
    tqdm.write(f"srgan.py: {line}", file=sys.stderr)


@contextlib.contextmanager
def warnings_as_lines():
    with warnings.catch_warnings(record=True) as caught:
        yield
    for warning in caught:
        write_line(f"warning: {one_line(warning.message)}")


def print_path(path):
    """The path of a result on stdout. Where that is closed or full, the result is there all the same."""
    try:
        tqdm.write(str(path))
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            write_line(f"warning: cannot print the names of results: {error.strerror}")


# Interruptions


received_signals = []


def handle_signals():
    """Let Ctrl-C, ``kill`` and a closed terminal end the program with nothing unfinished left behind."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, interrupt)


def interrupt(number, _):
    received_signals.append(number)
    if len(received_signals) == 1:  # no second one while the first is tidying up
        raise KeyboardInterrupt


def stop_if_interrupted():
    """Raise KeyboardInterrupt if a signal has come: Python drops what is raised within a garbage-collection callback,
    and JAX, where it is installed, has one.
    """
    if received_signals:
        raise KeyboardInterrupt


# What to upscale, and where to


class Job(NamedTuple):
    source: Path
    target: Path
    replace: bool = False  # what is at the target
    folder: Path | None = None  # the one on the command line that the source was found in
    gif: Gif | None = None
    pixels: int = 0  # of the network's result, in all frames


def plan(options):
    """The jobs that the command line asks for, and a line for each of its names that cannot be done.

    Raises ValueError or OSError if nothing can be done.
    """
    if options.output is None and len(options.names) == 2 and not options.names[0].is_dir():
        return [job_of_pair(*options.names, options)], []
    if options.output is not None:
        check_folder(options.output)
    jobs, failures = [], []
    for name in dict.fromkeys(options.names):
        try:
            if name.is_dir():
                found, unreadable = jobs_in(name, options)
                jobs += found
                failures += unreadable
            else:
                jobs.append(Job(name, default_target(name, options), options.overwrite))
        except FILE_ERRORS as error:
            failures.append(describe(error, name))
    jobs = list(with_distinct_targets({os.path.abspath(job.source): job for job in jobs}.values()))
    sources = {os.path.realpath(job.source) for job in jobs}
    existing = Counter()
    planned = []
    for job in jobs:
        if os.path.realpath(job.target) in sources:
            failures.append(f"{job.target}: an input, and the output of {job.source}")
        elif job.replace or not os.path.exists(job.target):
            planned.append(job)
        elif job.folder:
            existing[job.folder] += 1
        else:
            failures.append(f"{job.target}: exists already: add --overwrite to replace it")
    for folder, count in existing.items():
        total = sum(job.folder == folder for job in jobs)
        write_line(f"{folder}: {count} of {total} images have their results already; see --overwrite")
    if options.output is not None:
        for folder in {job.target.parent for job in planned}:
            folder.mkdir(parents=True, exist_ok=True)
    return planned, failures


def job_of_pair(source, target, options):
    """The job of INPUT and OUTPUT. Raises ValueError or OSError where they do not fit, or OUTPUT is to be kept."""
    if is_gif(source) != is_gif(target):
        raise ValueError(f"{target}: a GIF becomes a GIF and an image an image, but the input is {source}")
    if options.format:
        raise ValueError(f"{target}: --format is for results without an OUTPUT")
    check_target(target)
    if os.path.realpath(source) == os.path.realpath(target):
        raise ValueError(f"{target}: an input, and the output of {source}")
    is_result = target == default_target(source, options) or software_of(target) == signature(source)
    if target.exists() and not options.overwrite and not is_result:
        raise FileExistsError(
            f"{target}: exists already, and is no result of {source}: "
            "add --overwrite to replace it, or -o DIR to upscale both"
        )
    return Job(source, target, options.overwrite or is_result)


def jobs_in(folder, options):
    """The jobs of the images in a folder, and a line for each of its sub-folders that cannot be read.

    Says what is left out. Raises ValueError if there are no images, OSError if the folder cannot be read.
    """
    files, unseen, errors = files_in(folder, options.recursive)
    kinds = {path: kind_of(path) for path in files}
    jobs = [
        Job(path, default_target(path, options, path.parent.relative_to(folder)), options.overwrite, folder)
        for path in files
        if kinds[path] == "image"
    ]
    results = {path for path in files if kinds[path] == "result"}
    others = Counter(kind for kind in kinds.values() if kind not in ("image", "result", "other"))
    if foreign := len(results - {job.target for job in jobs}):
        others[f"named *_x{SCALE} or the like (taken for results)"] = foreign
    left_out = []
    if others:
        listed = ", ".join(f"{count} {kind}" for kind, count in others.items())
        left_out.append(f"{count_of(others.total(), 'file')} left out: {listed}")
    if unseen:
        left_out.append(f"{count_of(unseen, 'sub-folder')} left out (see --recursive)")
    if errors and not jobs:
        raise errors[0]
    if not jobs and not results:
        raise ValueError("; ".join([f"{folder}: no images in this folder", *left_out]))
    if left_out:
        write_line(f"{folder}: {'; '.join(left_out)}")
    return jobs, [describe(error, error.filename) for error in errors]


def files_in(folder, recursive):
    """The visible files in a folder by name, and in those below it; how many of these are left out; and errors."""
    files, errors = [], []
    for parent, subfolders, names in os.walk(folder, onerror=errors.append):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        files += (Path(parent, name) for name in sorted(names) if not name.startswith("."))
        if not recursive:
            return files, len(subfolders), errors
    return files, 0, errors


def kind_of(path):
    """ "image", "result", "other" for what is no image, or what kind of image cannot be read, judged by its name."""
    suffix = path.suffix.lower()
    if format_of_suffix(path):
        if not path.is_file():
            return "links to nowhere" if path.is_symlink() else "pipes or devices"
        return "result" if path.stem.endswith(RESULT_ENDINGS) else "image"
    if suffix in HEIF_SUFFIXES:
        return f"{suffix} (not supported; pip install pillow-heif)"
    # A download's name may go on after it: photo.jpg?w=200.
    if suffix in UNREADABLE_SUFFIXES or format_of_suffix("x" + re.match(r"\W?\w*", suffix)[0]):
        return f"{suffix} (not supported)"
    return "other"


def count_of(number, noun):
    return f"{number} {noun}{'s' * (number != 1)}"


def with_distinct_targets(jobs):
    """The jobs; results that would share a name have their source's folder in it, and a number where that is shared."""
    counts = Counter(job.target for job in jobs)
    taken = set(counts)
    for job in jobs:
        if counts[job.target] > 1:
            folder = job.source.absolute().parent.name
            prefixes = itertools.chain([folder], (f"{folder}_{number}" for number in itertools.count(2)))
            targets = (job.target.with_name(f"{prefix}_{job.target.name}") for prefix in prefixes)
            job = job._replace(target=next(target for target in targets if target not in taken))
            taken.add(job.target)
        yield job


def check_folder(folder):
    """Raise NotADirectoryError or ValueError for what is or looks like a file."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: a file, expected a folder for the results")
    if format_of_suffix(folder) and not folder.is_dir():
        raise ValueError(f"{folder}: the name of an image, expected a folder after -o; a file is named after the INPUT")


def is_gif(path):
    return path.suffix.lower() == ".gif"


def default_target(source, options, subfolder=""):
    """Where the result goes by default: photo.png to photo_srgan_x4.png, photo.jpg to photo.jpg_srgan_x4.png."""
    suffix = ".gif" if is_gif(source) else f".{options.format or 'png'}"
    label = source.stem if source.suffix == suffix else source.name
    folder = source.parent if options.output is None else options.output / subfolder
    return folder / f"{label}_{method_label(options.method)}_x{options.scale}{suffix}"


@functools.cache
def method_label(method):
    """A method as results are named after it; a weights file with a hash of it, since many have one name."""
    label = method.removeprefix("hf://")
    if method not in NAMED_METHODS and os.path.isfile(method):
        label = f"{Path(method).name}-{hashlib.sha256(Path(method).read_bytes()).hexdigest()[:8]}"
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in label)


def signature(source):
    """What a result names as its writer, to be known again as the result of a file of this name."""
    return f"srgan.py, from {hashlib.sha256(os.fsencode(source.name)).hexdigest()[:8]}"


# Upscaling


def upscale_files(jobs, options):
    """Do all jobs that can be done, printing the path of each result; yield a line for each of the others.

    Every input is read once before, so that a long run begins with what can fail known.
    """
    waiting = []
    for job in jobs:
        stop_if_interrupted()
        try:
            waiting.append(inspect(job, options))
        except FILE_ERRORS as error:
            yield describe(error, job.source, job.target)
    if not waiting:
        return
    upscale = method_function(options.method, options.dtype)
    made_by_others = 0
    with tqdm(total=sum(job.pixels for job in waiting), unit="pixel", unit_scale=True) as bar:

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
                if job.folder and isinstance(error, FileExistsError):
                    made_by_others += 1
                    random.shuffle(waiting)  # another run is at work: in one order, both would do the same files
                else:
                    yield describe(error, job.source, job.target)
            bar.update(end - bar.n)
    if made_by_others:
        write_line(f"{count_of(made_by_others, 'result')} made by another run meanwhile")


def inspect(job, options):
    """The job, its pixels counted, and its GIF checked. Raises ValueError or OSError where it cannot be done."""
    source, target = job.source, job.target
    check_target(target)
    image_format(target)
    with warnings_as_lines(), quiet():
        if is_gif(source):
            gif = open_gif(source, MOST_PIXELS)
            frames, shape = len(gif), (*gif.size[::-1], 4 if gif.transparent else 3)
        else:
            gif, frames, shape = None, 1, read_image(source, MOST_PIXELS).shape
    height, width, channels = shape
    check_format(target, (height * options.scale, width * options.scale, channels))
    return job._replace(gif=gif, pixels=frames * height * width * SCALE**2)


def method_function(method, dtype="auto"):
    """The function from image to image, x4, by its name: "bicubic", or what ``load_generator`` takes."""
    if method == "bicubic":
        return lambda image, progress=False: bicubic_upscale(image)
    # Here, since Keras and TensorFlow take seconds; and in this order, since a wrong name is said without them.
    from superres.weights import load_generator

    model = load_generator(method)
    from superres.inference import upscale, upscaler_for

    with warnings_as_lines():
        write_line(f"{method} in {upscaler_for(model, dtype).dtype}")
    return functools.partial(upscale, model=model, dtype=dtype)


def upscale_file(job, upscale, options, advance):
    """Do a job that was inspected; ``advance`` is called with the number of pixels done."""
    if not job.replace and job.target.exists():
        raise FileExistsError(f"{job.target}: exists already, written meanwhile")
    if job.gif:
        upscale_gif(job, upscale, options, advance)
        return
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were shown
        image, exif = read_image(job.source), camera_data(job.source, signature(job.source))
    result = reduced(upscale(image, progress=advance), options.scale)
    with atomic_write(job.target, job.replace) as file:
        write_image(file, job.target, result, options.quality, exif, signature(job.source))


def upscale_gif(job, upscale, options, advance):
    def upscale_region(image):
        return upscale(image, progress=lambda _: stop_if_interrupted())

    def upscaled():
        for change in upscale_changes(job.gif, upscale_region):
            advance(job.pixels // len(job.gif))
            yield change

    changes = upscaled()
    if options.scale != SCALE:
        changes = find_changes(reduced(change.frame, options.scale) for change in changes)
    with atomic_write(job.target, job.replace) as file:
        write_changes(file, changes, job.gif.durations, job.gif.loop, signature(job.source))


def reduced(image, scale):
    """An image x4 at another scale, by antialiased bicubic interpolation."""
    if scale == SCALE:
        return image
    size = [length * scale // SCALE for length in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
