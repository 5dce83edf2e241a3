"""Verbs of plugins: listed without importing them, imported when called, never in place of ours."""

from __future__ import annotations

import sys

import pytest

from cellvision.cli import main
from cellvision.testing.isolation import Isolation

SOURCE = '''
"""Count the cells of a plate."""

import typer

from cellvision import errors

app = typer.Typer()


@app.command()
def run(plate: str, fail: bool = False) -> None:
    """Count the cells of a plate."""
    if fail:
        raise errors.ExperimentError(f"{plate}: no such plate", "Name another one")
    print(f"counted {plate}")
'''
SEVERAL = (
    SOURCE + '\n\n@app.command()\ndef other() -> None:\n    """Do more."""\n    print("more")\n'
)


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    said = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, said.out, said.err


def install(
    isolation: Isolation, name: str = "count", source: str = SOURCE, lab: str = "lab"
) -> None:
    module = f"{lab}_verb"
    isolation.install(f"{lab}-verb", {"verb": {name: f"{module}:app"}}, {module: source})


def test_help_lists_a_verb_without_importing_it(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    install(isolated_registries)
    code, out, _ = call(capsys, "--help")
    assert code == 0
    assert "count       Count the cells of a plate." in out
    assert "lab_verb" not in sys.modules


def test_a_known_verb_that_is_not_installed_says_how_to_get_it(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "nuclei", "fields")
    assert code == 2
    assert err.splitlines()[-1].strip() == (
        "A plugin provides it: python -m pip install cellvision-nuclei"
    )


def test_a_verb_runs_with_our_exit_codes(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    install(isolated_registries)
    assert call(capsys, "count", "seven") == (0, "counted seven\n", "")
    code, out, err = call(capsys, "count", "seven", "--fail")
    assert (code, out) == (2, "")
    assert err == "error: seven: no such plate\n  Name another one\n"
    code, out, _ = call(capsys, "count", "--help")
    assert code == 0
    assert "Usage: cellvision count [OPTIONS]" in out
    assert "completion" not in out
    assert call(capsys, "count")[0] == 2


def test_a_verb_may_have_subcommands(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    install(isolated_registries, source=SEVERAL)
    assert call(capsys, "count", "other")[:2] == (0, "more\n")


def test_our_verbs_are_not_replaced(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    install(isolated_registries, "train")
    code, out, _ = call(capsys, "train", "--help")
    assert code == 0
    assert "Train a network once." in out
    _, out, _ = call(capsys, "plugins", "--json")
    assert '"status": "broken"' in out
    assert "'train' is a verb of cellvision" in out


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("app = 3", "cannot be used: it is int, not a typer.Typer application"),
        ("import typer\napp = typer.Typer()", "cannot be used: "),
        ("import nowhere_at_all", "cannot be imported: ModuleNotFoundError"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit"),
    ],
)
def test_a_broken_verb_costs_only_who_calls_it(
    source: str, says: str, isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    install(isolated_registries, source=source)
    assert call(capsys, "--help")[0] == 0
    code, out, err = call(capsys, "count")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: verb count (lab-verb 1.0) {says}")


def test_two_verbs_of_one_name(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    install(isolated_registries)
    install(isolated_registries, lab="other")
    code, _, err = call(capsys, "count", "seven")
    assert code == 2
    assert "verb 'count' is provided by lab-verb 1.0 and other-verb 1.0" in err


def test_a_fault_in_a_verb_names_its_distribution(
    isolated_registries: Isolation, capsys: pytest.CaptureFixture[str]
) -> None:
    source = SOURCE.replace('print(f"counted {plate}")', "1 / 0")
    install(isolated_registries, source=source)
    code, _, err = call(capsys, "count", "seven")
    assert code == 1
    assert err.startswith("error: verb 'count' (lab-verb 1.0) failed: ZeroDivisionError: ")
    assert "lab_verb.py, line 16)" in err
