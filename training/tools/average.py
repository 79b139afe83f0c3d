"""Average the weights of networks of one topology (model soup, Wortsman et al. 2022).

python -m training.tools.average OUT.keras A.keras B.keras --weights 0.7 0.3
"""

import argparse
from pathlib import Path

import keras
import numpy as np

from superres.images.files import atomic_write
from superres.network.models import generator
from superres.network.weights import load_generator
from training import errors_in_one_line
from training.initialise import start_from


def average(sources: list[str], weights: list[float]) -> keras.Model:
    """A ``generator`` with the weighted mean of the weights that ``load_generator`` finds at ``sources``.

    Raises its errors, and ValueError for another network or weights that do not add up to 1.
    """
    if len(sources) != len(weights) or abs(sum(weights) - 1) > 1e-6:
        raise ValueError(f"expected {len(sources)} weights that add up to 1, got {', '.join(map(str, weights))}")
    result = generator()
    for source in sources:
        start_from(source, result)
    arrays = zip(*(load_generator(source).get_weights() for source in sources), strict=True)
    result.set_weights([np.tensordot(weights, np.stack(each), 1) for each in arrays])
    return result


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m training.tools.average",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT.keras")
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="whatever srgan.load_generator takes")
    parser.add_argument("--weights", nargs="+", type=float, metavar="W", help="default: equal ones")
    args = parser.parse_args(arguments)
    with errors_in_one_line(parser):
        model = average(args.sources, args.weights or [1 / len(args.sources)] * len(args.sources))
        with atomic_write(args.out) as file:
            model.save(file.name)


if __name__ == "__main__":
    main()
