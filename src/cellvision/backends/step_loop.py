"""Many training steps as one program (JAX)."""

from __future__ import annotations

from collections.abc import Callable
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
        Takes a state, whose memory it reuses, and the batches of the steps, stacked. Returns the
        logs of the last step and the new state.
    """
    import jax

    def swapped(state: Any, batch: Any) -> tuple[Any, Any]:
        logs, state = step(state, batch)
        return state, logs

    def loop(state: Any, batches: Any) -> tuple[Any, Any]:
        state, logs = jax.lax.scan(swapped, state, batches)
        return jax.tree.map(lambda values: values[-1], logs), state

    program: Callable[..., tuple[Any, Any]] = jax.jit(loop, donate_argnums=0)
    return program
