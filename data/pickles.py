"""Pickles, read by an unpickler that makes containers and what it is told of, and calls nothing else."""

import pickle
import re
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

_NUMBER = re.compile(r"[<>=|]?[fiu][1248]")


class RefusedError(pickle.UnpicklingError):
    """The pickle asks for something that it may not have."""


class _Marker:
    """Stands for numpy.ndarray, and cannot be called."""


_NDARRAY = _Marker()


def _empty_array(kind: Any, shape: Any, code: Any) -> np.ndarray:
    if kind is not _NDARRAY or shape != (0,):
        raise RefusedError("an array of an unknown kind")
    return np.empty(0, dtype=np.int8)


def _dtype(name: Any, align: Any = False, copy: Any = True) -> np.dtype:
    if not isinstance(name, str) or not _NUMBER.fullmatch(name):
        raise RefusedError(f"an array of {name!r}, not of numbers")
    return np.dtype(name, False, True)  # a copy: unpickling sets its byte order


def _dtype_or_object(name: Any, align: Any = False, copy: Any = True) -> np.dtype:
    return np.dtype(object) if name == "O8" else _dtype(name, align, copy)


def _scalar(dtype: Any, content: Any) -> np.generic:
    if not isinstance(dtype, np.dtype) or not isinstance(content, bytes):
        raise RefusedError("a number of an unknown kind")
    return np.frombuffer(content, dtype, 1)[0]


# The names that an array of numbers is pickled with.
ARRAYS = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _dtype,
}
# The same of a number that has NumPy's type.
NUMBERS = {
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy", "dtype"): _dtype,
}
ARRAYS_OF_ARRAYS = ARRAYS | {("numpy", "dtype"): _dtype_or_object}


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, known: Mapping[tuple[str, str], Any]):
        super().__init__(file)
        self._known = known

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            raise RefusedError(f"{module}.{name}")
        return self._known[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedError("a persistent object")


def load_restricted(file: BinaryIO, known: Mapping[tuple[str, str], Any]) -> Any:
    """The next pickle of `file`. known: what stands for each (module, name) that it may ask for.

    Raises RefusedError for any other name; damaged bytes make pickle and numpy raise a dozen kinds of exception.
    """
    return _RestrictedUnpickler(file, known).load()
