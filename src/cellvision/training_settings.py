"""Settings of a training: how long, how fast, on which devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cellvision.component import FormerSetting, Settings

Count = Annotated[int, Field(gt=0)]


class Training(Settings):
    """How a network is trained: how long, how fast, on which devices."""

    former_settings: ClassVar[Mapping[str, FormerSetting]] = {
        "together": FormerSetting("vectorize", "2027-12-31"),
    }

    epochs: Count = 9
    """Number of passes over the training images."""

    batch_size: Count = 20
    """Number of images per step."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the initial weights, the order of the images, augmentation and dropout."""

    optimizer: str | None = None
    """Keras optimizer, by name. None: that of the architecture's recipe."""

    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Highest learning rate; without `schedule`, that of the recipe is scaled to it. None: that of
    the architecture's recipe."""

    schedule: Literal["constant", "cosine"] | None = None
    """Learning-rate schedule after the warm-up: ``"constant"``, or ``"cosine"`` decay to 0 at the
    last epoch. None: that of the architecture's recipe."""

    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Epochs in which the learning rate rises linearly to its highest value; needs `schedule`."""

    weight_decay: Annotated[float, Field(ge=0)] | None = None
    """Decoupled weight decay per step, times the learning rate. None: that of the recipe."""

    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Scale gradients down to this norm over all weights. None: no clipping."""

    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Momentum of an exponential moving average of the weights, such as 0.99. The averages become
    the weights at the end of the training. None: no averaging."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Label smoothing of the cross-entropy. None: that of the architecture's recipe."""

    class_weights: Literal["balanced"] | dict[str, float] | None = None
    """Weight of each class in the loss: ``"balanced"`` gives every class the same total weight.
    None: every image weighs the same."""

    refresh_batch_norm: bool = True
    """Recompute the statistics of batch normalization on the training images at the end.
    Running averages lag behind in short trainings; with few steps per epoch, their momentum is
    lowered, so that validation describes the network of its epoch."""

    restarts: Annotated[int, Field(ge=0)] = 3
    """How often to draw new weights if the network outputs the same for every image after the
    warm-up. Every restart is recorded."""

    tta: bool = False
    """Also score test and validation images by the mean over their flips and quarter turns
    (test-time augmentation), which ``predict --tta`` computes."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the network's arithmetic. ``"auto"``: bfloat16 if the processor or GPU
    computes in it, else float32. Weights and probabilities are always float32."""

    devices: Literal["auto", "cpu"] | Count = "auto"
    """Devices that train the network. ``"auto"`` uses all GPUs, or the CPU if there is none. An
    integer is the number of devices to use. Each device gets an equal share of every batch."""

    steps_per_execution: Literal["auto"] | Count = "auto"
    """Number of steps that run without returning to Python. ``"auto"``: by the size of the images;
    with images on the device up to 200, which need not divide the steps of an epoch."""

    vectorize: Literal["auto"] | bool = "auto"
    """Whether the runs of a study train together in one program, which needs the JAX backend.
    ``"auto"``: on a GPU, if a short trial shows that it is faster; true: also on a CPU."""

    images_on_device: Literal["auto"] | bool = "auto"
    """Whether all training images lie in the memory of the device, which needs the JAX backend
    and one device. ``"auto"``: on a GPU, if they take at most half of its free memory; true: also
    on a CPU."""

    early_stopping: Count | None = None
    """Stop if the validation loss has not decreased for this many epochs; None never stops."""

    keep: Literal["auto", "last", "best"] = "last"
    """Which weights to keep: those of the last epoch, or those with the lowest validation loss.
    ``"auto"``: the last, but the best if the training was stopped early or collapsed, that is if
    validation accuracy ended far below that of the best; without a validation split the last,
    without early stopping and with a warning."""

    checkpoints: bool = False
    """Save the model of every epoch in the run's folder ``checkpoints``."""
