"""The command line: images, GIFs and folders of them x4."""

import argparse
import contextlib
import functools
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from superres import SCALE, one_line, quiet
from superres.files import check_output, check_target, image_format, read_image, save_image
from superres.frames import upscale_frames
from superres.gif_reader import open_gif
from superres.gif_writer import save_gif
from superres.image import MAX_PIXELS, bicubic_upscale

EPILOG = """\
Two names, the first of them a file, are INPUT OUTPUT unless -o is given; else every name is an input. A GIF becomes a
GIF, any other image a PNG unless OUTPUT says otherwise, INPUT_METHOD_x4.png beside the input or in DIR. Of a folder,
names that end in _x4 are taken for results, and what has its result already is left out.
"""


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="srgan.py", description="Upscale images and GIFs four times.", epilog=EPILOG,
        usage="%(prog)s [options] INPUT [OUTPUT]\n       %(prog)s [options] INPUT ... [-o DIR]",
    )  # fmt: skip
    parser.add_argument("names", type=Path, nargs="+", metavar="INPUT", help="image, GIF, or folder of them")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for the results, made where missing")
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist already")
    parser.add_argument(
        "--method", default="srgan", metavar="METHOD",
        help="srgan (default), srresnet, srcnn, bicubic, srgan:ALPHA between srresnet (0) and srgan (1), "
        "a weights file, or hf://OWNER/REPO/FILE",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16"),
        help="arithmetic; auto (default) is bfloat16 where the processor has it, about twice as fast, else float32",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    failures = []
    try:
        upscale_files(plan(options, failures), options, failures)
    except (ValueError, OSError, MemoryError) as error:
        failures.append(one_line(error))
    except KeyboardInterrupt:
        failures.append("interrupted, nothing unfinished is left")
        parser.exit(130, report(failures))
    if failures:
        parser.exit(2, report(failures))


def report(failures):
    return "".join(f"srgan.py: {failure}\n" for failure in failures)


def say(line):
    """A line on stderr, above the progress bar."""
    tqdm.write(f"srgan.py: {line}", file=sys.stderr)


# What to upscale, and where to


class Job(NamedTuple):
    source: Path
    target: Path
    frames: int = 1
    pixels: int = 0  # of the result, in each frame


def plan(options, failures):
    """The jobs that the command line asks for; to the failures those whose output exists already.

    Raises ValueError or OSError where names collide or do not fit.
    """
    names, folder = options.names, options.output
    if folder is None and len(names) == 2 and not names[0].is_dir():
        source, target = names
        if is_gif(source) != is_gif(target):
            raise ValueError(f"{target}: a GIF becomes a GIF and an image an image, but the input is {source}")
        jobs = [Job(source, target)]
        replace = options.overwrite or is_result(source, target)
        advice = f", and is no result of {source}: add --overwrite to replace it, or -o DIR to upscale both"
    else:
        jobs = [job for name in dict.fromkeys(names) for job in jobs_of(name, options)]
        replace, advice = options.overwrite, ": add --overwrite to replace it"
    sources = {}
    for job in jobs:
        if job.target in sources:
            raise ValueError(f"{job.target}: the output of both {sources[job.target]} and {job.source}")
        sources[job.target] = job.source
    for job in jobs:
        if job.source in sources:
            raise ValueError(f"{job.source}: an input, and the output of {sources[job.source]}")
    if folder is not None:
        make_folder(folder)
    existing = [job for job in jobs if job.target.is_file() and not replace]
    failures += [f"{job.target}: exists already{advice}" for job in existing]
    return [job for job in jobs if job not in existing]


def make_folder(folder):
    if folder.is_dir():
        return
    if folder.exists():
        raise NotADirectoryError(f"{folder}: a file, expected a folder for the results")
    if image_type(folder):
        raise ValueError(f"{folder}: the name of an image, expected a folder after -o; a file is named after the INPUT")
    folder.mkdir(parents=True)


def jobs_of(name, options):
    """The job of a file, or those of the images in a folder, but for results of earlier runs."""
    if not name.is_dir():
        return [Job(name, default_target(name, options))]
    visible = [path for path in sorted(name.iterdir()) if path.is_file() and not path.name.startswith(".")]
    images = [path for path in visible if image_type(path)]
    if not images:
        raise ValueError(f"{name}: no images in this folder")
    jobs = [Job(path, default_target(path, options)) for path in images if not path.stem.endswith(f"_x{SCALE}")]
    new = [job for job in jobs if options.overwrite or not job.target.exists()]
    if len(new) < len(jobs):
        say(f"{name}: {len(jobs) - len(new)} of {len(jobs)} images have their results already; see --overwrite")
    elif not jobs:
        say(f"{name}: only results of earlier runs (*_x{SCALE}) in this folder")
    return new


def image_type(path):
    """Pillow's name of the image format of a path, judged by its suffix, or None."""
    format = Image.registered_extensions().get(path.suffix.lower())
    return format if format in Image.OPEN and Image.MIME.get(format, "").startswith("image/") else None


def is_gif(path):
    return path.suffix.lower() == ".gif"


def is_result(source, target):
    """Whether the target has four times the source's size, as the result of an earlier run has."""
    with contextlib.suppress(Exception), Image.open(source) as image, Image.open(target) as result:
        return sorted(result.size) == sorted(SCALE * length for length in image.size)  # EXIF may have turned it
    return False


def default_target(source, options):
    """Where the result goes by default: photo.png to photo_srgan_x4.png, photo.jpg to photo.jpg_srgan_x4.png."""
    suffix = ".gif" if is_gif(source) else ".png"
    label = source.stem if source.suffix == suffix else source.name
    method = "".join(c if c.isalnum() or c in ".-" else "_" for c in Path(options.method).name)
    return (options.output or source.parent) / f"{label}_{method}_x{SCALE}{suffix}"


# Upscaling


def upscale_files(jobs, options, failures):
    """Do all jobs that can be done, printing the path of each result; say of the others why not.

    Every input is read once before, so that a long run begins with what can fail known.
    """
    checked = []
    for job in jobs:
        with noted(job, failures):
            checked.append(inspect(job))
    if not checked:
        return
    upscale = method_function(options.method, options.dtype)
    total = sum(job.frames * job.pixels for job in checked)
    with tqdm(total=total, unit="pixel", unit_scale=True) as bar:
        for job in checked:
            end = bar.n + job.frames * job.pixels
            with noted(job, failures):
                upscale_file(job, upscale, bar.update)
                tqdm.write(str(job.target))
            bar.update(end - bar.n)


@contextlib.contextmanager
def noted(job, failures):
    """An error of a job goes to the failures, with the file's name."""
    try:
        yield
    except (ValueError, OSError, MemoryError) as error:
        message = one_line(error)
        named = any(str(path) in message for path in job[:2])
        failures.append(message if named else f"{job.source}: {message}")


def inspect(job):
    """The job, its frames counted and measured. Raises ValueError or OSError where it cannot be done."""
    source, target, *_ = job
    check_target(target)
    image_format(target)
    with quiet(), warnings_as_lines():
        if is_gif(source):
            gif = open_gif(source)
            frames, shape = len(gif), (*gif.size[::-1], 4 if gif.transparent else 3)
        else:
            frames, shape = 1, read_image(source).shape
    height, width, channels = shape
    limit = MAX_PIXELS // SCALE**2
    if height * width > limit:
        raise ValueError(f"{source}: too large to upscale: {width}x{height} pixels, expected at most {limit:,} in all")
    check_output(target, (height * SCALE, width * SCALE, channels))
    return job._replace(frames=frames, pixels=height * width * SCALE**2)


@contextlib.contextmanager
def warnings_as_lines():
    with warnings.catch_warnings(record=True) as caught:
        yield
    for warning in caught:
        say(f"warning: {one_line(warning.message)}")


def method_function(method, dtype="auto"):
    """The function from image to image, x4, by its name: "bicubic", or what ``load_generator`` takes."""
    if method == "bicubic":
        return lambda image, progress=False: bicubic_upscale(image)
    # Here, since Keras and TensorFlow take seconds; and in this order, since a wrong name is said without them.
    from superres.weights import load_generator

    model = load_generator(method)
    from superres.inference import ready, upscale

    with warnings_as_lines():
        say(f"{method} in {ready(model, dtype).dtype}")
    return functools.partial(upscale, model=model, dtype=dtype)


def upscale_file(job, upscale, advance):
    """Do a job that was inspected; ``advance`` is called with the number of pixels done."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were shown
        content = open_gif(job.source) if is_gif(job.source) else read_image(job.source)
    if is_gif(job.source):
        save_gif(job.target, counted(upscale_frames(content, upscale), job, advance), content.durations, content.loop)
    else:
        save_image(job.target, upscale(content, progress=advance))


def counted(frames, job, advance):
    for frame in frames:
        advance(job.pixels)
        yield frame
