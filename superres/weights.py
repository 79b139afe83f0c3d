"""Loading weights: bundled ones, files of this project or of the course, files on the Hugging Face Hub."""

import functools
import hashlib
import io
import os
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

if TYPE_CHECKING:
    import keras

FOLDER = Path(__file__).resolve().parent.parent / "weights"
BUNDLED = ("srgan", "srresnet", "srcnn")
EXPECTED = f"expected one of {', '.join(BUNDLED)}, srgan:ALPHA, a weights file, or hf://OWNER/REPO/FILE[@REVISION]"


def load_generator(source: str | os.PathLike = "srgan") -> "keras.Model":
    """The Keras model that ``source`` names, cached: float32 RGB in [0, 255], (b, h, w, 3), to (b, 4h, 4w, 3).

    source: one of
        "srgan", "srresnet", "srcnn"  bundled under ``weights/``, their SHA-256 checked
        "srgan:ALPHA"                 ALPHA in [0, 1] between SRResNet (0) and SRGAN (1): network interpolation
                                      (Wang et al. 2018, ESRGAN, section 3.4)
        a path                        a ``.keras`` or ``.weights.h5`` file of this project, or a Keras 2 ``.h5`` of
                                      the course (weights or whole model, batch normalisation included); loaded again
                                      if the file has changed
        "hf://OWNER/REPO/FILE[@REVISION]"  such a file on the Hugging Face Hub, by way of its local cache

    The network is recognised by the shapes of the arrays in the file; nothing else is read, and no code in it is run.
    SRCNN's model, unlike the others, takes an image already upscaled and keeps its size.

    Raises ValueError (unknown name, not weights, damaged, another network), FileNotFoundError (no such file,
    repository or revision), ConnectionError (the download fails and the cache has no copy).
    """
    source = os.fspath(source)
    stat = os.stat(source) if os.path.isfile(source) else None
    return load(source, stat and (stat.st_ino, stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=8)
def load(source, version):
    """``load_generator``; ``version`` is only a cache key, which changes with the file that ``source`` names."""
    if source.startswith("srgan:"):
        return build(interpolated(source), source)
    return build(read_arrays(locate(source), source), source)


def locate(source):
    """The local path of the file that ``source`` names; bundled ones are verified, those of the hub downloaded."""
    if source in BUNDLED:
        return bundled(source)
    if source.startswith("hf://"):
        return download(source)
    if os.path.isfile(source):
        return source
    if os.path.isdir(source):
        raise ValueError(f"{source}: a folder, not a weights file")
    if source == Path(source).stem:
        raise ValueError(f"unknown weights {source!r}: {EXPECTED}")
    raise FileNotFoundError(f"{source}: no such weights file")


def bundled(name):
    """The path of a file under ``weights/``, checked against ``weights/SHA256SUMS`` (as ``sha256sum -c``)."""
    path = FOLDER / f"{name}_x4.keras"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the bundled weights are missing; restore them with git checkout")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if f"{found}  {path.name}" not in (FOLDER / "SHA256SUMS").read_text().splitlines():
        raise ValueError(f"{path}: SHA-256 {found} is not the one in SHA256SUMS; restore the file with git checkout")
    return path


def interpolated(source):
    """The arrays of ``srgan:ALPHA``, as ``read_arrays``."""
    try:
        alpha = float(source.removeprefix("srgan:"))
    except ValueError:
        alpha = np.nan
    if not 0 <= alpha <= 1:
        raise ValueError(f"weights {source!r}: expected srgan:ALPHA with ALPHA between 0 (SRResNet) and 1 (SRGAN)")
    ends = (read_arrays(bundled(name), source) for name in ("srresnet", "srgan"))
    return [[(1 - alpha) * a + alpha * b for a, b in zip(*pair, strict=True)] for pair in zip(*ends, strict=True)]


def download(source):
    """The local path of a file on the Hugging Face Hub; HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are honoured."""
    match = re.fullmatch(r"hf://([^/@]+/[^/@]+)/([^@]+)(?:@(.+))?", source)
    if match is None:
        raise ValueError(f"{source}: expected hf://OWNER/REPO/FILE[@REVISION]")
    repository, file, revision = match.groups()
    try:
        if not isinstance(try_to_load_from_cache(repository, file, revision=revision), str):
            # Fails at once if the hub cannot be reached; hf_hub_download would retry for minutes.
            get_hf_file_metadata(hf_hub_url(repository, file, revision=revision))
        return hf_hub_download(repository, file, revision=revision)
    except HFValidationError as error:
        raise ValueError(f"{source}: {error}") from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(f"{source}: the hub has no repository {repository}, or keeps it private") from error
    except RevisionNotFoundError as error:
        raise FileNotFoundError(f"{source}: {repository} on the hub has no revision {revision}") from error
    except Exception as error:
        # LocalEntryNotFoundError means that the hub could not be reached. The types of other connection errors depend
        # on the HTTP library that this version of huggingface_hub uses.
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            raise FileNotFoundError(f"{source}: {repository} on the hub has no file {file}") from error
        reason = str(error).partition("\n")[0]
        raise ConnectionError(f"{source}: not in the cache, and the download from the hub failed: {reason}") from error


def read_arrays(path, source):
    """The arrays of all layers that have any, [[kernel, bias], [slopes], ...], from a Keras 3 or Keras 2 weights file.

    Layers of one class are in the network's order; layers of different classes only in a Keras 2 file.
    """
    try:
        if zipfile.is_zipfile(path):
            # zipfile compares the checksum only if a member is read to its end.
            with zipfile.ZipFile(path) as archive:
                path = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(path) as file:
            return arrays_of(file)
    except Exception as error:  # h5py and zipfile raise exceptions of many types for damaged files
        raise ValueError(
            f"{source}: not a weights file, or a damaged one ({error}): expected .keras, .weights.h5 or Keras 2 .h5"
        ) from error


def arrays_of(file):
    """``read_arrays`` of an open HDF5 file."""
    weights = file.get("model_weights", file)
    if "layer_names" in weights.attrs:
        groups = [weights[name] for name in weights.attrs["layer_names"]]
        layers = [[group[name] for name in group.attrs["weight_names"]] for group in groups]
    else:

        def order(name):
            return int((re.search(r"_(\d+)$", name) or "_0")[1])

        groups = [weights["layers"][name]["vars"] for name in sorted(weights["layers"], key=order)]
        layers = [[group[str(i)] for i in range(len(group))] for group in groups]
    return [[array(dataset, file) for dataset in layer] for layer in layers if layer]


def array(dataset, file):
    """The values of an HDF5 dataset, float32. Raises ValueError if they are in another file, which HDF5 can link to."""
    if dataset.file != file or dataset.external or dataset.is_virtual:
        raise ValueError(f"{dataset.name} is kept outside it")
    return np.asarray(dataset, np.float32)


def build(layers, source):
    """The network whose layers fit these arrays, loaded with them. Raises ValueError if there is none."""
    from superres import network  # imports Keras, which takes seconds: errors in names are said before

    kernels = [arrays[0] for arrays in layers if arrays[0].ndim == 4]
    filters = [kernel.shape[-1] for kernel in kernels]
    norms = any(len(arrays) == 4 for arrays in layers)
    try:
        if not kernels or kernels[0].shape[:3] != (9, 9, 3):
            raise ValueError("both networks begin with a 9x9 convolution of RGB")
        if len(kernels) == 3:
            model = network.srcnn(filters[:2])
        else:
            # The course's files have the paper's topology: batch normalisation and a tanh output.
            model = network.generator((len(kernels) - 5) // 2, filters[0], batch_norm=norms, tanh=norms)
        targets = [layer for layer in model.layers if layer.weights]
        # The number of arrays tells the class of a layer; a stable sort by it keeps the order within each class.
        for layer, arrays in zip(sorted(targets, key=lambda x: len(x.weights)), sorted(layers, key=len), strict=True):
            layer.set_weights(arrays)
    except ValueError as error:
        shapes = ", ".join("x".join(map(str, kernel.shape)) for kernel in kernels[:3])
        raise ValueError(
            f"{source}: the weights of another network ({len(kernels)} convolutions, the first of shapes [{shapes}]): "
            "expected an SRGAN generator (37 convolutions: 16 residual blocks of 64 channels) or an SRCNN 9-5-5"
        ) from error
    return model
