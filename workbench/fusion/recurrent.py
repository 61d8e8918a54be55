"""Recurrences over whole sequences, time first: a scan of gates, and an LSTM that also gives the memory c of every step.

Both have a gradient written by hand (a loop of a few operations a step instead of autograd's many) and a double backward.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional


def linear_scan(decay: Float[Tensor, "time *rest"], new: Float[Tensor, "time *rest"]) -> Float[Tensor, "time *rest"]:
    """x_t = decay_t * x_{t-1} + new_t for every step t, from x before the first step = 0.

    Args:
        decay: what is kept of the step before; the first step's has no effect.
        new: what each step adds.
    """
    return _LinearScan.apply(decay, new)


class _LinearScan(Function):
    """The gradient of a scan is a scan backwards in time, so it can be differentiated again and again."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, new: Tensor) -> Tensor:
        x = torch.empty_like(new)
        x[0] = new[0]
        for t in range(1, len(new)):
            torch.addcmul(new[t], decay[t], x[t - 1], out=x[t])
        ctx.save_for_backward(decay, x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        decay, x = ctx.saved_tensors
        of_new = linear_scan(_delayed(decay[1:].flip(0), first=decay[:1]), gradient.flip(0)).flip(0)
        return of_new * _delayed(x[:-1], first=torch.zeros_like(x[:1])), of_new


def _delayed(values: Tensor, *, first: Tensor) -> Tensor:
    """The values one step later, after `first`."""
    return torch.cat([first, values])


class LSTMMemories(nn.Module):
    """A one-directional LSTM that gives its output h and its memory c at every step.

        i, f, g, o = W x_t + U h_{t-1} + b;  c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g);  h_t = sigmoid(o) tanh(c_t)

    torch's own gives c of the last step only. Decides: on a GPU, where every small operation costs a launch, h comes from the fused layer and c from
    the gates computed again for all steps at once; elsewhere, where the products count, both come from a loop that computes each product once.

    Args:
        input_size: features of a step.
        hidden_size: width of h and c.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size)

    def forward(self, x: Float[Tensor, "time batch feature"]) -> tuple[Float[Tensor, "time batch size"], Float[Tensor, "time batch size"]]:
        with torch.autocast(x.device.type, enabled=False):  # sums over many steps keep their precision
            x = x.to(self.lstm.weight_hh_l0.dtype)
            return self._from_outputs(x) if x.is_cuda else self._in_a_loop(x)

    def _in_a_loop(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs' products of all steps at once, then step by step."""
        lstm = self.lstm
        return _Recurrence.apply(functional.linear(x, lstm.weight_ih_l0, lstm.bias_ih_l0 + lstm.bias_hh_l0), lstm.weight_hh_l0)

    def _from_outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """H by the fused layer; then the gates i, f and g of all steps at once from h of the step before."""
        lstm, kept = self.lstm, 3 * self.lstm.hidden_size
        h = lstm(x)[0]
        before = _delayed(h[:-1], first=torch.zeros_like(h[:1]))
        bias = (lstm.bias_ih_l0 + lstm.bias_hh_l0)[:kept]
        gates = functional.linear(x, lstm.weight_ih_l0[:kept], bias) + functional.linear(before, lstm.weight_hh_l0[:kept])
        i, f, g = gates.chunk(3, dim=-1)
        return h, linear_scan(f.sigmoid(), i.sigmoid() * g.tanh())


class _Recurrence(Function):
    """h and c of all steps from the inputs' products `time batch 4*size` (gates in torch's order i, f, g, o) and U `4*size size`."""

    @staticmethod
    def forward(ctx: Any, products: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        size, turned = weight.shape[1], weight.t()
        gates = products.clone()
        h, c, squashed = (products.new_empty(*products.shape[:2], size) for _ in range(3))
        for t, gate in enumerate(gates):
            if t:
                gate.addmm_(h[t - 1], turned)
            i, f, g, o = gate.chunk(4, dim=1)
            gate[:, : 2 * size].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.mul(i, g, out=c[t])
            if t:
                c[t].addcmul_(f, c[t - 1])
            torch.mul(o, torch.tanh(c[t], out=squashed[t]), out=h[t])
        ctx.save_for_backward(products, weight, gates, h, c, squashed)
        return h, c

    @staticmethod
    def backward(ctx: Any, of_h: Tensor, of_c: Tensor) -> tuple[Tensor, Tensor]:
        products, weight, *seen = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted: autograd's own, from plain operations
            states = _plain_recurrence(products, weight)
            return torch.autograd.grad(states, (products, weight), (of_h, of_c), create_graph=True)
        of_gates = _gradient_of_gates(of_h, of_c, weight, *seen)
        h = seen[1]
        return of_gates, of_gates[1:].flatten(0, 1).t() @ h[:-1].flatten(0, 1)


def _plain_recurrence(products: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The same by operations that autograd knows."""
    h = c = products.new_zeros(products.shape[1], weight.shape[1])
    states = []
    for product in products:
        i, f, g, o = torch.addmm(product, h, weight.t()).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append((h, c))
    return torch.stack([h for h, _ in states]), torch.stack([c for _, c in states])


def _gradient_of_gates(of_h: Tensor, of_c: Tensor, weight: Tensor, gates: Tensor, h: Tensor, c: Tensor, squashed: Tensor) -> Tensor:
    """Back through time: the gradient of the gates before their sigmoid and tanh, `time batch 4*size`.

    Each gate's own factor is there for all steps at once, so a step is one product and a few sums.

    Args:
        of_h, of_c: gradient of the outputs.
        weight: U.
        gates: sigmoid(i), sigmoid(f), tanh(g), sigmoid(o).
        squashed: tanh(c).
    """
    i, f, g, o = gates.chunk(4, dim=2)
    result = torch.empty_like(gates)
    into_i, into_f, into_g, into_o = result.chunk(4, dim=2)
    torch.mul(g * i, 1 - i, out=into_i)
    into_f[0] = 0
    torch.mul(c[:-1] * f[1:], 1 - f[1:], out=into_f[1:])
    torch.mul(i, 1 - g * g, out=into_g)
    torch.mul(squashed * o, 1 - o, out=into_o)
    into_c = o * (1 - squashed * squashed)
    parts, later = result.unflatten(2, (4, -1)), None
    for t in reversed(range(len(h))):
        here = of_h[t] if later is None else torch.addmm(of_h[t], result[t + 1], weight)
        memory = torch.addcmul(of_c[t], here, into_c[t])
        if later is not None:
            memory.addcmul_(later, f[t + 1])
        parts[t, :, :3] *= memory[:, None]
        parts[t, :, 3] *= here
        later = memory
    return result
