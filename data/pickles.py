"""Pickles, read by an unpickler that makes containers and the objects it is told of, and calls nothing else."""

import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

_NUMBER = re.compile(r"[<>=|]?[fiu][1248]")


class RefusedError(pickle.UnpicklingError):
    """The pickle asks for an object that is not allowed."""


class _Sealed:
    """Stands for a name in a pickle. The pickle may not give it a state, since it outlives the pickle."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise RefusedError("a state for a name")


class _Marker(_Sealed):
    """Stands for numpy.ndarray, and cannot be called."""

    __slots__ = ()


class _Call(_Sealed):
    """Stands for a class or a function, and calls its replacement."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


class _Dtype:
    """Stands for a dtype of numbers: NumPy's own trusts what a pickle says about fields and pointers."""

    __slots__ = ("_name", "_order")

    def __init__(self, name: Any, align: Any = False, copy: Any = True):
        if not isinstance(name, str) or not _NUMBER.fullmatch(name):
            raise RefusedError(f"an array of {name!r}, not of numbers")
        self._name, self._order = name, "="

    def __setstate__(self, state: Any) -> None:
        orders = [order for order in "<>=|" if state == (3, order, None, None, None, -1, -1, 0)]
        if not orders:
            raise RefusedError("numbers of an unknown kind")
        self._order = orders[0]

    def dtype(self) -> np.dtype:
        return np.dtype(self._name).newbyteorder(self._order)


class _Object(_Dtype):
    """Stands for the dtype of arrays whose items are objects in the pickle."""

    __slots__ = ()

    def __init__(self):
        self._name = "O"

    def __setstate__(self, state: Any) -> None:
        if state != (3, "|", None, None, None, -1, -1, 63):
            raise RefusedError("objects of an unknown kind")

    def dtype(self) -> np.dtype:
        return np.dtype(self._name)


class _Array(np.ndarray):
    """An array whose dtype comes from a stand-in."""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise RefusedError("an array of an unknown kind")
        version, shape, kind, by_column, content = state
        super().__setstate__((version, shape, kind.dtype(), by_column, content))


_NDARRAY = _Marker()


def _empty_array(kind: Any, shape: Any, code: Any) -> np.ndarray:
    if kind is not _NDARRAY or shape != (0,):
        raise RefusedError("an array of an unknown kind")
    return _Array(0, dtype=np.int8)


def _dtype_or_object(name: Any, align: Any = False, copy: Any = True) -> _Dtype:
    return _Object() if name == "O8" else _Dtype(name)


def _scalar(kind: Any, content: Any) -> np.generic:
    if not isinstance(kind, _Dtype) or isinstance(kind, _Object) or not isinstance(content, bytes):
        raise RefusedError("a number of an unknown kind")
    return np.frombuffer(content, kind.dtype(), 1)[0]


# Names in the pickle of an array of numbers.
ARRAYS = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Dtype,
}
# Names in the pickle of a NumPy number.
NUMBERS = {
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy", "dtype"): _Dtype,
}
ARRAYS_OF_ARRAYS = ARRAYS | {("numpy", "dtype"): _dtype_or_object}


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, known: Mapping[tuple[str, str], Any]):
        super().__init__(file)
        self._known = known

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            raise RefusedError(f"{module}.{name}")
        known = self._known[module, name]
        return known if isinstance(known, _Marker) else _Call(known)

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedError("a persistent object")


def load_restricted(file: BinaryIO, known: Mapping[tuple[str, str], Any]) -> Any:
    """The next pickle of `file`. known: the replacement of each (module, name) that it may ask for.

    Arrays have a subclass of NumPy's. Raises RefusedError for any other name, and for a state that is not that of an
    array; damaged bytes make pickle and numpy raise a dozen kinds of exception.
    """
    return _RestrictedUnpickler(file, known).load()
