"""Divides loops among PyTorch's own OpenMP threads.

Those spin for a while after each of PyTorch's operations, so that threads of any other kind would
have to share processors with them. Where PyTorch has no such library, the caller runs loops alone.
"""
# mypy: disable-error-code="no-untyped-def, attr-defined, call-arg, var-annotated"

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from numba.core import types
from numba.extending import intrinsic

from ugicm_codec.threads import openmp

__all__ = ["arguments", "array", "loop", "next_block", "run"]


def run(body: Any, blocks: int, arguments: Sequence[torch.Tensor | int]) -> None:
    """Run a ``loop`` over some blocks, on as many threads as PyTorch uses.

    Args:
        arguments: integers, and contiguous tensors in the processor's memory.
    """
    numbers = [each if isinstance(each, int) else each.data_ptr() for each in arguments]
    shared = np.array([0, blocks, *numbers], np.int64)
    threads = min(torch.get_num_threads(), blocks)
    library = openmp()
    if threads > 1 and library is not None:
        address, data = ctypes.c_void_p(body.address), ctypes.c_void_p(shared.ctypes.data)
        library.GOMP_parallel(address, data, ctypes.c_uint(threads), ctypes.c_uint(0))
    elif blocks:
        body.ctypes(shared.ctypes.data)


def loop(function: Any) -> Any:
    """Compile the body of a loop, which every thread runs with the same ``address``.

    It takes arguments by ``array(address, ...)`` and blocks by ``next_block(address)``.
    """
    compiled = numba.cfunc("void(intp)", cache=True, error_model="numpy")
    return compiled(function)


@intrinsic
def _as_pointer(typing_context, address):
    def code(context, builder, signature, arguments):
        pointer = context.get_value_type(types.voidptr)
        return builder.inttoptr(arguments[0], pointer)

    return types.voidptr(types.intp), code


@intrinsic
def _take(typing_context, address):
    """Return the integer at an address, and count it up before another thread does."""

    def code(context, builder, signature, arguments):
        integer = context.get_value_type(types.int64)
        place = builder.inttoptr(arguments[0], integer.as_pointer())
        return builder.atomic_rmw("add", place, integer(1), "monotonic")

    return types.int64(types.intp), code


@numba.njit(inline="always")
def array(address, shape, dtype):
    """Return the array at an address."""
    return numba.carray(_as_pointer(address), shape, dtype)


@numba.njit(inline="always")
def arguments(address, count):
    """Return what ``run`` was given, arrays by their addresses."""
    return array(address + 16, count, np.int64)


@numba.njit(inline="always")
def next_block(address):
    """Return the number of a block that no thread has taken, or -1 if there is none."""
    block = _take(address)
    return block if block < array(address, 2, np.int64)[1] else -1
