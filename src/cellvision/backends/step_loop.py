"""Many training steps as one program (JAX)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def compiled_loop(step: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """Compile a loop over the batches of several steps.

    Parameters
    ----------
    step
        Keras' training step: takes a state and a batch, and returns logs and the new state.

    Returns
    -------
    callable
        Takes a state, whose memory it reuses, and a sequence of batches of equal shapes. Returns
        the logs of the last step and the new state.
    """
    import jax

    def swapped(state: Any, batch: Any) -> tuple[Any, Any]:
        logs, state = step(state, batch)
        return state, logs

    def loop(state: Any, batches: Sequence[Any]) -> tuple[Any, Any]:
        stacked = jax.tree.map(lambda *arrays: jax.numpy.stack(arrays), *batches)
        state, logs = jax.lax.scan(swapped, state, stacked)
        return jax.tree.map(lambda values: values[-1], logs), state

    program: Callable[..., tuple[Any, Any]] = jax.jit(loop, donate_argnums=0)
    return program
