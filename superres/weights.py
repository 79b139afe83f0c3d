"""Where weights come from: bundled, a file of this project, a file of the course, the Hugging Face Hub."""

import functools
import hashlib
import os
import re
import zipfile
from pathlib import Path

import h5py
import numpy as np
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from superres import network

FOLDER = Path(__file__).resolve().parent.parent / "weights"
BUNDLED = ("srgan", "srresnet", "srcnn")
EXPECTED = f"expected one of {', '.join(BUNDLED)}, srgan:ALPHA, a weights file, or hf://OWNER/REPO/FILE[@REVISION]"


@functools.lru_cache
def load_generator(source="srgan"):
    """The Keras model that ``source`` names, loaded once: RGB in [0, 255], (b, h, w, 3), to (b, 4h, 4w, 3).

    source: one of
        "srgan", "srresnet", "srcnn"  bundled under ``weights/``, their SHA-256 checked
        "srgan:ALPHA"                 ALPHA in [0, 1] between SRResNet (0) and SRGAN (1): network interpolation
                                      (Wang et al. 2018, ESRGAN, section 3.4)
        a path                        a ``.keras`` or ``.weights.h5`` file of this project, or a Keras 2 ``.h5`` of
                                      the course (weights or whole model, batch normalisation included)
        "hf://OWNER/REPO/FILE[@REVISION]"  such a file on the Hugging Face Hub, by way of its local cache

    The network is recognised by the arrays the file holds; nothing else in the file is read, let alone executed.
    SRCNN's model, unlike the others, takes the picture already enlarged and keeps its size.

    Raises ValueError (unknown name, not weights, damaged, another network), FileNotFoundError (no such file,
    repository or revision), ConnectionError (the hub does not answer and its cache holds no copy).
    """
    source = os.fspath(source)
    if source in BUNDLED:
        return build(read_arrays(verify(bundled(source))), source)
    if source.startswith("srgan:"):
        return interpolate(source)
    if source.startswith("hf://"):
        return build(read_arrays(download(source), source), source)
    if not Path(source).is_file():
        if re.fullmatch(r"[\w:.-]*", source) and not Path(source).suffix:
            raise ValueError(f"unknown weights {source!r}: {EXPECTED}")
        raise FileNotFoundError(f"{source}: no such weights file")
    return build(read_arrays(source), source)


def bundled(name):
    return FOLDER / f"{name}_x4.keras"


def verify(path):
    """The path, once its content matches the sum that ``weights/SHA256SUMS`` (``sha256sum -c``) has for it."""
    sums = dict(reversed(line.split()) for line in (FOLDER / "SHA256SUMS").read_text().splitlines())
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the bundled weights are missing; restore them with git checkout")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sums[path.name]:
        raise ValueError(f"{path}: SHA-256 is {found}, expected {sums[path.name]}; restore it with git checkout")
    return path


def interpolate(source):
    try:
        alpha = float(source.removeprefix("srgan:"))
    except ValueError:
        alpha = np.nan
    if not 0 <= alpha <= 1:
        raise ValueError(f"weights {source!r}: expected srgan:ALPHA with ALPHA between 0 (SRResNet) and 1 (SRGAN)")
    ends = (load_generator(name).get_weights() for name in ("srresnet", "srgan"))
    model = network.generator()
    model.set_weights([(1 - alpha) * start + alpha * end for start, end in zip(*ends, strict=True)])
    return model


def download(source):
    """The local path of a file on the Hugging Face Hub; HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are honoured."""
    match = re.fullmatch(r"hf://([^/@]+/[^/@]+)/([^@]+)(?:@(.+))?", source)
    if match is None:
        raise ValueError(f"{source}: expected hf://OWNER/REPO/FILE[@REVISION]")
    repository, file, revision = match.groups()
    try:
        return hf_hub_download(repository, file, revision=revision)
    except LocalEntryNotFoundError as error:
        raise ConnectionError(f"{source}: the hub does not answer and its cache holds no copy") from error
    except HFValidationError as error:
        raise ValueError(f"{source}: {error}") from error
    except HfHubHTTPError as error:
        raise FileNotFoundError(f"{source}: the hub has no such file: {str(error).splitlines()[0]}") from error


def read_arrays(path, source=None):
    """Arrays of every layer that has any, [[kernel, bias], [slopes], ...], from a Keras 3 or Keras 2 weights file.

    Layers of one class are in the network's order; across classes only Keras 2 files keep it.
    """
    source = source or path
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as member:
                return arrays_of(h5py.File(member))
        with h5py.File(path) as file:
            return arrays_of(file)
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{source}: not a weights file, or a damaged one ({error}): expected .keras, .weights.h5 or Keras 2 .h5"
        ) from error


def arrays_of(file):
    file = file.get("model_weights", file)
    if "layer_names" in file.attrs:
        groups = [file[name] for name in file.attrs["layer_names"]]
        layers = [[group[name][()] for name in group.attrs["weight_names"]] for group in groups]
    else:
        def order(name):
            return int((re.search(r"_(\d+)$", name) or "_0")[1])

        groups = [file["layers"][name]["vars"] for name in sorted(file["layers"], key=order)]
        layers = [[group[str(i)][()] for i in range(len(group))] for group in groups]
    return [arrays for arrays in layers if arrays]


def build(layers, source):
    """The network that holds these arrays, with them in it."""
    convolutions = [arrays for arrays in layers if arrays[0].ndim == 4]
    norms = [arrays for arrays in layers if len(arrays) == 4]
    slopes = [arrays for arrays in layers if len(arrays) == 1]
    if len(convolutions) == 3:
        model = network.srcnn([kernel.shape[-1] for kernel, _ in convolutions[:2]])
    else:
        # The course's files, batch-normalised as the paper has it, also end in the paper's tanh.
        model = network.generator(batch_norm=bool(norms), tanh=bool(norms))
    remaining = {"Conv2D": iter(convolutions), "BatchNormalization": iter(norms), "PReLU": iter(slopes)}
    try:
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(next(remaining[type(layer).__name__]))
        if any(next(rest, None) for rest in remaining.values()):
            raise ValueError("it holds more layers")
    except (ValueError, StopIteration) as error:
        shapes = ", ".join("x".join(map(str, kernel.shape)) for kernel, *_ in convolutions[:3])
        raise ValueError(
            f"{source}: the weights of another network ({len(convolutions)} convolutions: {shapes}, ...): expected "
            "an SRGAN generator (37 convolutions, 16 residual blocks of 64 channels) or an SRCNN 9-5-5"
        ) from error
    return model
