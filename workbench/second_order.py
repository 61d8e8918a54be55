"""A gradient of a gradient: fused attention kernels and fused recurrent layers have none, their plain forms do.

    with second_order(balance.is_second_order):
        fused, losses = fusion(...)

What is computed inside can be differentiated twice; it is slower, so it is asked for (exact B-fusion), not the rule.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def second_order(is_on: bool = True) -> Iterator[None]:
    """Plain attention (math) and plain recurrent layers (neither cuDNN nor oneDNN) inside the block."""
    if not is_on:
        yield
        return
    was_on = torch.backends.mkldnn.enabled
    # Not `mkldnn.flags`: it sets more than it is asked for, and warns.
    torch.backends.mkldnn.enabled = False
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        torch.backends.mkldnn.enabled = was_on
