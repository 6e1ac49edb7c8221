"""Strategies for messages of the contract: any field, any value, and some that are nearly right."""

from __future__ import annotations

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

INTERESTING = {
    FieldDescriptor.TYPE_DOUBLE: st.floats() | st.sampled_from([0.0, 1.0, 0.5, -1.0]),
    FieldDescriptor.TYPE_UINT32: st.sampled_from([0, 1, 7, 2**31, 2**32 - 1]),
    FieldDescriptor.TYPE_UINT64: st.sampled_from([0, 1, 7, 2**63, 2**64 - 1]),
    FieldDescriptor.TYPE_INT64: st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]),
    FieldDescriptor.TYPE_INT32: st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)]),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_STRING: st.sampled_from(["gate", "", "../x", "default"]) | st.text(),
}


def messages(kind, blobs, depth=4):
    """Return a strategy for messages of a class.

    Args:
        kind: the class.
        blobs: what fields of bytes hold, besides any bytes.
        depth: how many messages may lie inside of one another.
    """
    fields = {}
    for field in kind.DESCRIPTOR.fields:
        if field.message_type is not None and depth == 0:
            continue
        value = _value(field, blobs, depth)
        fields[field.name] = st.lists(value, max_size=3) if field.is_repeated else value
    return st.fixed_dictionaries({}, optional=fields).map(lambda chosen: kind(**chosen))


def _value(field, blobs, depth):
    if field.message_type is not None:
        return messages(field.message_type._concrete_class, blobs, depth - 1)
    if field.enum_type is not None:
        known = [value.number for value in field.enum_type.values]
        return st.sampled_from([*known, 99, -1])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.sampled_from(blobs) | st.binary(max_size=64)
    return INTERESTING[field.type]


def damaged(data):
    """Return a strategy for bytes that differ from ``data`` in a few places, or are cut off."""
    changes = st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=4)

    def change(drawn):
        positions, length = drawn
        changed = bytearray(data)
        for position, value in positions:
            changed[position] = value
        return bytes(changed[:length])

    return st.tuples(changes, st.integers(0, len(data))).map(change)
