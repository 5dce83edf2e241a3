"""Entry point of the command ``cellvision``: Ctrl-C ends it quietly even while it starts.

A package beside cellvision that imports nothing at first, because an interrupt during
``import cellvision`` would otherwise print a traceback.
"""


def main() -> None:
    """Run the command line and exit, with code 130 if it is interrupted; see `cellvision.cli`."""
    try:
        from cellvision.cli import main as run

        run()
    except KeyboardInterrupt:
        import sys

        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
