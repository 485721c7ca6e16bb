"""Pickles of arrays: what numpy writes comes back, and nothing else is done, whatever they ask for."""

import io
import pickle

import numpy as np
import pytest

from data.geom_drugs.geom_pickles import MOLECULES
from data.pickles import ARRAYS, ARRAYS_OF_ARRAYS, NUMBERS, RefusedError, load_restricted


def loaded(content: bytes, known=ARRAYS):
    return load_restricted(io.BytesIO(content), known)


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<i8", "<f4", "u1", ">i2"])
def test_arrays_come_back_as_they_were(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    for one in (array, np.asfortranarray(array), array[:0]):
        back = loaded(pickle.dumps(one, 3))
        assert (back.dtype.kind, back.dtype.itemsize) == (one.dtype.kind, one.dtype.itemsize)
        np.testing.assert_array_equal(back, one)


def test_arrays_of_arrays_and_numbers_come_back_as_they_were():
    parts = np.empty(2, dtype=object)
    parts[:] = [np.arange(3), np.arange(4)]
    back = loaded(pickle.dumps(parts, 3), ARRAYS_OF_ARRAYS)
    assert [part.tolist() for part in back] == [[0, 1, 2], [0, 1, 2, 3]]
    assert loaded(pickle.dumps([np.float64(0.1), np.int64(3)], 3), NUMBERS) == [0.1, 3]
    with pytest.raises(RefusedError, match="not of numbers"):
        loaded(pickle.dumps(parts, 3))


@pytest.mark.parametrize(
    "state", [b"(N}S'__defaults__'\nNst", b"}S'__doc__'\nNs", b"}S'_function'\nNs", b"(Nt"]
)
@pytest.mark.parametrize(
    ("name", "known"),
    [
        (b"cnumpy\ndtype\n", ARRAYS),
        (b"cnumpy\nndarray\n", ARRAYS),
        (b"cnumpy._core.multiarray\n_reconstruct\n", ARRAYS),
        (b"cnumpy._core.multiarray\nscalar\n", NUMBERS),
        (b"c_codecs\nencode\n", MOLECULES),
        (b"crdkit.Chem.rdchem\nMol\n", MOLECULES),
    ],
)
def test_a_pickle_cannot_change_what_a_name_stands_for(name, known, state):
    with pytest.raises(RefusedError, match="a state for a name"):
        loaded(name + state + b"b.", known)


@pytest.mark.parametrize(
    "state",
    [
        (3, "<", None, None, None, -1, -1, 1),  # pointers, to wherever the bytes say
        (3, "<", None, ("a",), {"a": 0}, 1000, 1, 0),
        (3, "<", (0, (1000,)), None, None, 8000, 1, 0),
        (4, "<", None, None, None, -1, -1, 0, {}),
        None,
    ],
)
def test_a_dtype_that_numpy_would_believe_is_refused(state):
    class Dtype:
        def __reduce__(self):
            return np.dtype, ("i8", False, True), state or (3, "?")

    with pytest.raises(RefusedError, match="numbers of an unknown kind"):
        loaded(pickle.dumps(Dtype(), 3))


def test_an_array_of_another_dtype_than_a_stand_in_is_refused():
    sound = pickle.dumps(np.arange(3), 3)
    content = sound[: sound.index(b"cnumpy\ndtype")] + b"X\x02\x00\x00\x00i8\x89C\x00tb."
    with pytest.raises(RefusedError, match="an array of an unknown kind"):
        loaded(content)
