"""Pictures of balls as a head sees them: maps at four strides, image states, RGB; a mask and a state for each ball."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

SIDE, CHANNELS, STRIDES, LANGUAGE = 64, (4, 6, 8, 10), (4, 8, 16, 32), 12


@dataclass
class Picture:
    maps: list
    states_vchw: torch.Tensor
    image_v3hw: torch.Tensor
    masks: list  # (k, 64, 64) for each image
    boxes: list  # (k, 4) centre x, centre y, width, height in 0..1
    states: list  # (k, LANGUAGE)


def pictures(counts=(2, 0, 3), seed=0, side=SIDE):
    """counts: balls in each image."""
    torch.manual_seed(seed)
    at = (torch.arange(side) + 0.5) / side
    images, masks, boxes, states = [], [], [], []
    for count in counts:
        image, own, around = 0.1 * torch.rand(3, side, side), [], []
        for _ in range(count):
            (x, y), r = 0.2 + 0.6 * torch.rand(2), 0.08 + 0.1 * float(torch.rand(()))
            ball = ((at[None] - x) ** 2 + (at[:, None] - y) ** 2 < r * r).float()
            image = torch.where(ball > 0, torch.rand(3)[:, None, None].expand_as(image), image)
            own.append(ball)
            around.append(torch.tensor([x, y, 2 * r, 2 * r]))
        images.append(image)
        masks.append(torch.stack(own) if own else torch.zeros(0, side, side))
        boxes.append(torch.stack(around) if around else torch.zeros(0, 4))
        states.append(torch.randn(count, LANGUAGE))
    image = torch.stack(images)
    mixed = [torch.randn(c, 3 * s * s) / s for c, s in zip(CHANNELS, STRIDES, strict=True)]
    maps = [torch.einsum("oc,vchw->vohw", m, F.pixel_unshuffle(image, s)) for m, s in zip(mixed, STRIDES, strict=True)]
    return Picture(maps, torch.randn(len(counts), LANGUAGE, side // 32, side // 32), image, masks, boxes, states)


def at_stride(masks_nhw, stride):
    """Masks as shares of cells."""
    return F.avg_pool2d(masks_nhw[:, None], stride)[:, 0] if len(masks_nhw) else masks_nhw[:, ::stride, ::stride]


def untaught(net):
    """Names of the parameters that no gradient has reached."""
    return [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def parameters_of(build):
    """Millions of parameters of what build() makes, on the meta device."""
    with torch.device("meta"):
        return sum(p.numel() for p in build().parameters()) / 1e6


def taught(net, loss, steps, rate=3e-3):
    """Train on one batch; the last loss."""
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.0)
    for _ in range(steps):
        value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return float(value.detach())
