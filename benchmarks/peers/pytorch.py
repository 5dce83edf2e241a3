"""PyTorch, written by hand: the best of default, channels last and bfloat16 autocast."""

from __future__ import annotations

import time

import numpy as np

from benchmarks import process
from benchmarks.peers.script import POOLED


def main() -> None:
    """Train in each of the three modes and print all speeds."""
    task = process.read_task()
    import torch
    from torch import nn

    arrays = np.load(task["arrays"])
    count = -(-len(arrays["y_train"]) // task.get("part", 1))
    x = torch.from_numpy(arrays["x_train"][:count]).permute(0, 3, 1, 2).float() / 255
    y = torch.from_numpy(arrays["y_train"][:count])

    def network() -> nn.Sequential:
        stack: list[nn.Module] = []
        channels, side = task["shape"][2], task["shape"][0]
        for number, filters in enumerate((16, 16, 16, 32, 32, 32, 64, 64, 64), start=1):
            stack += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
            if number in POOLED[task["network"]]:
                stack.append(nn.MaxPool2d(2))
                side //= 2
            channels = filters
        stack += [nn.Flatten(), nn.Linear(64 * side * side, 512), nn.ReLU()]
        width = 512
        if task["network"] == "fmnist_deep":
            stack += [nn.Linear(512, 50), nn.ReLU()]
            width = 50
        return nn.Sequential(*stack, nn.Linear(width, task["classes"]))

    def speed(*, channels_last: bool, bfloat16: bool) -> float:
        torch.manual_seed(0)
        model = network()
        pixels = x
        if channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            pixels = x.contiguous(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters())
        cross_entropy = nn.CrossEntropyLoss()
        seconds = []
        for _ in range(task["epochs"]):
            start = time.perf_counter()
            order = torch.randperm(len(x))
            for first in range(0, len(x), task["batch"]):
                rows = order[first : first + task["batch"]]
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                    loss = cross_entropy(model(pixels[rows]).float(), y[rows])
                loss.backward()
                optimizer.step()
            seconds.append(time.perf_counter() - start)
        return len(x) * (len(seconds) - 1) / sum(seconds[1:])

    speeds = {
        "default": speed(channels_last=False, bfloat16=False),
        "channels last": speed(channels_last=True, bfloat16=False),
        "bfloat16": speed(channels_last=True, bfloat16=True),
    }
    process.print_output(images_per_s=max(speeds.values()), speeds=speeds)


if __name__ == "__main__":
    main()
