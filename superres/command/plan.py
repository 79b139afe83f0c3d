"""What the command line is to upscale, and where the results go."""

import contextlib
import functools
import hashlib
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from superres import SCALE
from superres.clips.reader import Gif
from superres.command.messages import FILE_ERRORS, describe, write_line
from superres.images.files import as_path, check_kind, format_of_suffix, software_of

NAMED_METHODS = ("srgan", "photo", "srresnet", "srcnn", "bicubic")
SCALES = (2, 3, SCALE)
RESULT_ENDINGS = tuple(f"_x{scale}{map}" for scale in SCALES for map in ("", "_trust"))


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
    jobs, failures, names = [], [], options.names
    if options.output is None and len(names) == 2 and not os.path.isdir(names[0]):
        jobs, names = [job_of_pair(*map(as_path, names), options)], []
    if options.output is not None and format_of_suffix(folder := as_path(options.output)) and not folder.is_dir():
        raise ValueError(f"{folder}: the name of an image, expected a folder after -o; a file is named after the INPUT")
    for name in names:
        try:
            if (path := as_path(name)).is_dir():
                found, unreadable = jobs_in(path, options)
                jobs += found
                failures += unreadable
            else:
                jobs.append(Job(path, default_target(path, options), options.overwrite))
        except FILE_ERRORS as error:
            failures.append(describe(error, name))
    jobs = {os.path.abspath(job.source): job for job in jobs}.values()
    sources = {os.path.realpath(job.source) for job in jobs}
    targets = Counter(os.path.realpath(job.target) for job in jobs)
    planned, done = [], Counter()
    for job in jobs:
        target = os.path.realpath(job.target)
        if target in sources:
            failures.append(f"{job.target}: an input, and the output of {job.source}")
        elif targets[target] > 1:
            failures.append(f"{job.source}: another input would have the same result, {job.target}")
        elif job.replace or not os.path.isfile(target):
            planned.append(job)
        elif is_done(job):
            done[job.folder] += 1
        else:
            failures.append(
                f"{job.target}: exists already: add --overwrite to replace it, or -o DIR for another folder"
            )
    for folder, count in done.items():
        total = sum(job.folder == folder for job in jobs)
        write_line(f"{folder}: {count} of {total} images have their results already; see --overwrite")
    return planned, failures


def is_done(job):
    """Whether a file of a folder has its result already, made of the same bytes."""
    with contextlib.suppress(OSError):  # of an input that cannot be read
        return job.folder is not None and software_of(job.target) == signature(job.source)


def job_of_pair(source, target, options):
    """The job of INPUT and OUTPUT. Raises ValueError where they do not fit."""
    if is_gif(source) != is_gif(target):
        raise ValueError(f"{target}: a GIF becomes a GIF and an image an image, but the input is {source}")
    if options.format:
        raise ValueError(f"{target}: --format is for results without an OUTPUT")
    return Job(source, target, options.overwrite)


def jobs_in(folder, options):
    """The jobs of the images in a folder, and a line for each of its sub-folders that cannot be read.

    Says what is left out. Raises ValueError if there are no images, OSError if the folder cannot be read.
    """
    jobs, others, errors, unseen = [], defaultdict(list), [], 0
    for parent, subfolders, names in os.walk(folder, onerror=errors.append):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if not options.recursive:
            unseen, subfolders[:] = len(subfolders), []
        for path in (Path(parent, name) for name in sorted(names) if not name.startswith(".")):
            if (kind := kind_of(path)) == "image":
                target = default_target(path, options, path.parent.relative_to(folder))
                jobs.append(Job(path, target, options.overwrite, folder))
            else:
                others[kind].append(path)
    left_out = [f"left out {unseen} sub-folders (see --recursive)"] if unseen else []
    own = {job.target for job in jobs}
    for kind, paths in others.items():
        if names := [path.name for path in paths if path not in own]:
            left_out.append(f"left out {len(names)}, {kind}: {', '.join(names)}")
    if errors and not jobs:
        raise errors[0]
    if not jobs:
        raise ValueError("; ".join([f"{folder}: no images in this folder", *left_out]))
    for line in left_out:
        write_line(f"{folder}: {line}")
    return jobs, [describe(error, error.filename) for error in errors]


def kind_of(path):
    """ "image" for a file that is to be upscaled, or why another is not."""
    if not path.is_file():
        return "links to nowhere" if path.is_symlink() else "pipes or devices"
    if path.stem.endswith(RESULT_ENDINGS):
        return f"named *_x{SCALE} or the like (taken for results)"
    if not format_of_suffix(path):
        try:
            check_kind(path)
        except FILE_ERRORS as error:
            return describe(error, path).removeprefix(f"{path}: ").partition(": expected")[0]
    return "image"


def is_gif(path):
    return path.suffix.lower() == ".gif"


def default_target(source, options, subfolder=""):
    """Where the result goes by default: photo.png to photo_srgan_x4.png, photo.jpg to photo.jpg_srgan_x4.png."""
    suffix = ".gif" if is_gif(source) else f".{options.format or 'png'}"
    label = source.stem if source.suffix == suffix else source.name
    folder = source.parent if options.output is None else Path(options.output, subfolder)
    return folder / f"{label}_{method_label(options.method)}_x{options.scale}{suffix}"


@functools.cache
def method_label(method):
    """A method as results are named after it; a weights file with a hash of it, since many have one name."""
    label = method.removeprefix("hf://")
    if method not in NAMED_METHODS and os.path.isfile(method):
        label = f"{Path(method).name}-{hashlib.sha256(Path(method).read_bytes()).hexdigest()[:8]}"
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in label)


def signature(source):
    """What a result names as its writer: this program, and the bytes that it was made from."""
    return f"srgan.py, from {hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
