"""Fuzz the image decoders: ``python -m fuzz [--mutants N] [--seed S]``.

Valid small files of every format are damaged at random and read in subprocesses with limits of
time and memory. A mutant must be read cleanly or refused with `UnreadableImage`.
"""
