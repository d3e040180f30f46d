"""The GGUF files that are compared on: the given one, requantised ones, and random weights in other models' shapes.

They are made on first use, by llama.cpp's own quantisation, and kept in the cache folder.
"""

import dataclasses

import llama_cpp
import random_gguf


@dataclasses.dataclass(frozen=True)
class Given:
    """The file of the command line as it is."""

    def path(self, source, programs):
        return source


@dataclasses.dataclass(frozen=True)
class Requantised:
    """The given file with its matrices in another type."""
    kind: str  # as llama-quantize calls it

    def path(self, source, programs):
        target = _folder() / f"{source.stem}-to-{self.kind}.gguf"
        if not target.exists():
            llama_cpp.quantize(programs, source, target, self.kind)
        return target


@dataclasses.dataclass(frozen=True)
class RandomWeights:
    shape: random_gguf.Shape
    kind: str

    def path(self, source, programs):
        target = _folder() / f"random-{self.shape.name}.{self.kind}.gguf"
        if not target.exists():
            wide = target.with_suffix(".wide")
            random_gguf.write(self.shape, wide)
            llama_cpp.quantize(programs, wide, target, self.kind)
            wide.unlink()
        return target


def _folder():
    folder = llama_cpp.cache_folder() / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
