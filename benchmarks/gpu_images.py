"""Writes the first 18,000 training and 2,000 test images of MNIST, compressed, for a machine that gets few files.

    python benchmarks/gpu_images.py [--data-root ../shared/data] [--to build/mnist20k]

The four files have the format and the folders of the original ones: `data=mnist data.root=build/mnist20k` reads them.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from pathlib import Path

import numpy as np

from phalanx.core.errors import DataError
from phalanx.data.idx import read_idx

SMALL = Path("build/mnist20k")
N_IMAGES = {"train": 18_000, "t10k": 2_000}


def shortened(values: np.ndarray, n: int) -> bytes:
    """An IDX file of the first `n` of uint8 values, gzip-compressed; the same bytes at each call."""
    header = bytes((0, 0, 8, values.ndim)) + np.array([min(n, len(values)), *values.shape[1:]], ">u4").tobytes()
    return gzip.compress(header + values[:n].tobytes(), mtime=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data"))
    parser.add_argument("--to", type=Path, default=SMALL)
    args = parser.parse_args()
    folder, n_bytes = args.to / "MNIST" / "raw", 0
    for part, n in N_IMAGES.items():
        for kind, n_axes in (("images-idx3", 3), ("labels-idx1", 1)):
            name = f"{part}-{kind}-ubyte"
            try:
                content = shortened(read_idx(args.data_root / "MNIST" / "raw" / name, n_axes), n)
            except DataError as error:
                print(f"{str(error).partition(';')[0]}; --data-root names the folder with MNIST/raw", file=sys.stderr)
                return 2
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.gz").write_bytes(content)
            n_bytes += len(content)
    print(f"{folder}: {sum(N_IMAGES.values()):,} images, {n_bytes / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
