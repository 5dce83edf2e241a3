"""PyTorch, written by hand: the best of default, channels last and bfloat16 autocast."""

from __future__ import annotations

import time

import numpy as np

from benchmarks import process
from benchmarks.peers.script import POOLED


def main() -> None:
    """Train in each of the ways and tell of all."""
    task = process.task()
    import torch
    from torch import nn

    stored = np.load(task["arrays"])
    most = -(-len(stored["y_train"]) // task.get("part", 1))
    x = torch.from_numpy(stored["x_train"][:most]).permute(0, 3, 1, 2).float() / 255
    y = torch.from_numpy(stored["y_train"][:most])

    def network() -> nn.Sequential:
        stack: list[nn.Module] = []
        before, side = task["shape"][2], task["shape"][0]
        for number, filters in enumerate((16, 16, 16, 32, 32, 32, 64, 64, 64), start=1):
            stack += [nn.Conv2d(before, filters, 3, padding=1), nn.ReLU()]
            if number in POOLED[task["network"]]:
                stack.append(nn.MaxPool2d(2))
                side //= 2
            before = filters
        stack += [nn.Flatten(), nn.Linear(64 * side * side, 512), nn.ReLU()]
        width = 512
        if task["network"] == "fmnist_deep":
            stack += [nn.Linear(512, 50), nn.ReLU()]
            width = 50
        return nn.Sequential(*stack, nn.Linear(width, task["classes"]))

    def speed(*, last: bool, half: bool) -> float:
        torch.manual_seed(0)
        model = network()
        pixels = x
        if last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            pixels = x.contiguous(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters())
        loss_of = nn.CrossEntropyLoss()
        seconds = []
        for _ in range(task["epochs"]):
            start = time.perf_counter()
            order = torch.randperm(len(x))
            for begin in range(0, len(x), task["batch"]):
                rows = order[begin : begin + task["batch"]]
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    loss = loss_of(model(pixels[rows]).float(), y[rows])
                loss.backward()
                optimizer.step()
            seconds.append(time.perf_counter() - start)
        return len(x) * (len(seconds) - 1) / sum(seconds[1:])

    ways = {
        "default": speed(last=False, half=False),
        "channels last": speed(last=True, half=False),
        "bfloat16": speed(last=True, half=True),
    }
    process.tell(images_per_s=max(ways.values()), ways=ways)


if __name__ == "__main__":
    main()
