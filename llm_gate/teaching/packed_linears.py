"""A model's matrices in the form that oneDNN multiplies fastest, for as long as cases are read on a CPU.

PyTorch multiplies float32 by MKL, which on a processor that is not Intel's leaves half of its speed unused. oneDNN,
which PyTorch brings as well, does not. The numbers stay float32; only the order of the sums is another.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def packed_linears(model: Any) -> Iterator[None]:
    """``model``, a module on a CPU, reads through packed copies of its matrices; afterwards it is as it was.

    For inference alone: no gradient goes through them. Where this PyTorch has no oneDNN, nothing changes.
    """
    import torch

    if not torch.backends.mkldnn.is_available():
        yield
        return
    linears = [module for module in model.modules() if type(module) is torch.nn.Linear]
    for linear in linears:
        linear.forward = _packed(linear)  # covers the class's own, for this object alone
    try:
        yield
    finally:
        for linear in linears:
            del linear.forward


def _packed(linear: Any) -> Any:
    import torch

    weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())

    def forward(told: Any) -> Any:
        return torch.ops.mkldnn._linear_pointwise(told, weight, linear.bias, "none", [], "")

    return forward
