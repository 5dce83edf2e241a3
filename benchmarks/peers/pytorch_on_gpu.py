"""PyTorch on a GPU, written by hand: channels last, bfloat16, compiled, all images on the GPU.

``mode="reduce-overhead"`` replays CUDA graphs, which saves most with small batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import process
from benchmarks.turns import Turns


def main() -> None:
    """Train, or compute features, in several turns, and print the images per second of each."""
    task = process.read_task()
    speeds = _speeds(task, Turns(task["turns"], task["processes"]))
    process.print_output(images_per_s=speeds)


def _speeds(task: dict[str, Any], turns: Turns) -> list[float]:
    import torch

    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    arrays, batch = np.load(task["arrays"]), task["batch"]
    x = torch.from_numpy(arrays["x_train"]).cuda()
    y = torch.from_numpy(arrays["y_train"]).cuda()
    take = (_features if task["network"] == "scattering" else _training)(task)
    full = len(x) // batch * batch

    def epochs(number: int) -> None:
        for _ in range(number):
            order = torch.randperm(len(x), device="cuda")
            for first in range(0, full, batch):
                rows = order[first : first + batch]
                # As (n, channels, height, width), these are channels last.
                take(x[rows].permute(0, 3, 1, 2), y[rows])
        torch.cuda.synchronize()

    epochs(1)
    turns.ready(task["name"])
    turns.wait()
    seconds = []
    for _ in range(task["repeats"]):
        start = turns.begin()
        epochs(task["epochs"])
        seconds.append(turns.end() - start)
    return [full * task["epochs"] / each for each in seconds]


def _training(task: dict[str, Any]) -> Any:
    import torch
    from torch import nn

    model = _deep(task) if task["network"] == "deep" else _resnet(task)
    model = model.cuda().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    cross_entropy = nn.CrossEntropyLoss()

    def loss_of(pixels: Any, labels: Any) -> Any:
        with torch.autocast("cuda", torch.bfloat16):
            return cross_entropy(model(pixels.float() / 255).float(), labels)

    compiled = torch.compile(loss_of, mode="reduce-overhead", dynamic=False)

    def step(pixels: Any, labels: Any) -> None:
        optimizer.zero_grad()
        compiled(pixels, labels).backward()
        optimizer.step()

    return step


def _deep(task: dict[str, Any]) -> Any:
    from torch import nn

    from benchmarks.peers.script import POOLED

    stack: list[nn.Module] = []
    side, _, channels = task["shape"]
    for number, filters in enumerate((16, 16, 16, 32, 32, 32, 64, 64, 64), start=1):
        stack += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
        if number in POOLED["deep"]:
            stack.append(nn.MaxPool2d(2))
            side //= 2
        channels = filters
    stack += [nn.Flatten(), nn.Linear(64 * side * side, 512), nn.ReLU()]
    return nn.Sequential(*stack, nn.Linear(512, task["classes"]))


def _resnet(task: dict[str, Any]) -> Any:
    """Build cellvision's `resnet` at a reduction of four."""
    from torch import nn

    def convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.BatchNorm2d(inputs, momentum=0.1), nn.ReLU())
            self.shortcut = None
            if stride > 1:
                self.shortcut = nn.Sequential(nn.AvgPool2d(2), convolution(inputs, outputs, 1, 1))
            self.rest = nn.Sequential(
                convolution(inputs, outputs, 3, stride),
                *(nn.BatchNorm2d(outputs, momentum=0.1), nn.ReLU()),
                convolution(outputs, outputs, 3, 1),
            )

        def forward(self, x: Any) -> Any:
            activated = self.first(x)
            return (x if self.shortcut is None else self.shortcut(activated)) + self.rest(activated)

    channels = task["shape"][2]
    stack = [
        nn.BatchNorm2d(channels, affine=False, eps=1e-6),
        convolution(channels, 16, 3, 2),
        *(nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)),
    ]
    inputs = 16
    for stage in range(4):
        for number in range(2):
            stack.append(Block(inputs, 16 * 2**stage, 2 if stage and not number else 1))
            inputs = 16 * 2**stage
    stack += [nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*stack, nn.Linear(inputs, task["classes"]))


def _features(task: dict[str, Any]) -> Any:
    """Compute the texture features of cellvision's `scattering`, in float32 as it does."""
    import torch
    from cellvision_architectures.wavelets import HALF_WIDTH, LOWPASS, kernels, rotation_average
    from torch.nn import functional

    count, side = 6, task["shape"][0]
    scales = side.bit_length() - 2
    wavelets = torch.from_numpy(np.moveaxis(kernels(count), (2, 3), (1, 0)).copy()).cuda()
    lowpass = torch.from_numpy(np.outer(LOWPASS, LOWPASS).astype(np.float32)).cuda()
    average = torch.from_numpy(rotation_average(count)).cuda()

    def mirrored(planes: Any, border: int) -> Any:
        for axis in (2, 3):
            length = planes.shape[axis]
            first = planes.narrow(axis, 0, border).flip(axis)
            last = planes.narrow(axis, length - border, border).flip(axis)
            planes = torch.cat([first, planes, last], axis)
        return planes

    def modulus(planes: Any) -> Any:
        parts = functional.conv2d(mirrored(planes, HALF_WIDTH), wavelets) ** 2
        return torch.sqrt(parts[:, :count] + parts[:, count:])

    def halve(planes: Any) -> Any:
        channels = planes.shape[1]
        kernel = lowpass.expand(channels, 1, *lowpass.shape)
        return functional.conv2d(mirrored(planes, 1), kernel, stride=2, groups=channels)

    def features(pixels: Any) -> Any:
        image = pixels.float() / 255
        level = (image - image.mean((2, 3), keepdim=True)).reshape(-1, 1, side, side)
        averages = []
        for first in range(scales):
            response = modulus(level)
            averages.append(response.mean((1, 2, 3))[:, None])
            for _ in range(first + 1, scales):
                response = halve(response)
                height, width = response.shape[2:]
                pairs = modulus(response.reshape(-1, 1, height, width)).mean((2, 3))
                averages.append(pairs.reshape(-1, count * count) @ average)
            if first + 1 < scales:
                level = halve(level)
        return torch.log(torch.cat(averages, 1).reshape(len(image), -1) + 1e-4)

    compiled = torch.compile(features, mode="reduce-overhead", dynamic=False)

    def step(pixels: Any, _labels: Any) -> None:
        with torch.no_grad():
            compiled(pixels)

    return step


if __name__ == "__main__":
    main()
