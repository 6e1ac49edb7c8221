"""Write small networks as ONNX files."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

_OPSET, _IR = 17, 9


def write(path, nodes, inputs, outputs, constants=(), metadata=None):
    """Write a graph; ``inputs`` and ``outputs`` are triples of name, type and shape."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = _IR
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def steady(path, shape, outputs, *, sizes=None, sizes_of_outputs=None, metadata=None):
    """Write a network that answers every picture with the same arrays, by name."""
    inputs = [("pictures", onnx.TensorProto.FLOAT, shape)]
    if sizes is not None:
        inputs.append((sizes, onnx.TensorProto.INT64, [1, 2]))
    constants = [(f"{name}_constant", value) for name, value in outputs.items()]
    nodes = [helper.make_node("Identity", [f"{name}_constant"], [name]) for name in outputs]
    answers = [
        (name, helper.np_dtype_to_tensor_dtype(value.dtype), sizes_of_outputs or value.shape)
        for name, value in outputs.items()
    ]
    return write(path, nodes, inputs, answers, constants, metadata)


def classifier(path, *, batch, side, classes, softmax):
    """Write a network that weighs the mean colour; return it with its weights."""
    weights = np.random.default_rng(0).normal(0, 2, (3, classes)).astype(np.float32)
    last = ["Softmax"] if softmax else ["Identity"]
    nodes = [
        helper.make_node("GlobalAveragePool", ["pictures"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node(last[0], ["logits"], ["answer"]),
    ]
    write(
        path,
        nodes,
        [("pictures", onnx.TensorProto.FLOAT, [batch, 3, side, side])],
        [("answer", onnx.TensorProto.FLOAT, [batch, classes])],
        [("weights", weights)],
    )
    return weights
