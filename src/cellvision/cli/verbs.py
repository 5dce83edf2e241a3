"""Verbs of plugins: entry points of the group ``cellvision.verbs``, each a Typer application.

``cellvision --help`` lists them with the first line of their module's docstring, read from the
source. One is imported when it is called. A verb of ours is never replaced.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NoReturn

import typer
import typer.core

if TYPE_CHECKING:
    from cellvision.plugin_candidates import PluginCandidate
    from cellvision.plugin_info import PluginInfo

GROUP = "cellvision.verbs"
"""Entry-point group of verbs."""


@functools.cache
def builtin_verbs() -> frozenset[str]:
    """Return the names of cellvision's own verbs."""
    from cellvision.cli.app import command

    return frozenset(command().commands)


def _candidates(group: str = GROUP) -> list[PluginCandidate]:
    from cellvision.plugin_candidates import installed_candidates, is_disabled

    enabled = [c for c in installed_candidates(group) if not is_disabled(c)]
    return sorted(enabled, key=lambda candidate: (candidate.name, candidate.distribution))


def verb_plugins(taken: frozenset[str]) -> list[PluginInfo]:
    """Describe the verbs of plugins, without importing any.

    Parameters
    ----------
    taken
        Names of cellvision's own verbs.
    """
    return _described(GROUP, taken)


def decoder_plugins() -> list[PluginInfo]:
    """Describe the decoders of plugins, without importing any."""
    from cellvision.data.decoder_plugins import GROUP as DECODERS

    return _described(DECODERS, frozenset())


def _described(group: str, taken: frozenset[str]) -> list[PluginInfo]:
    from cellvision import plugin_listing, plugin_source
    from cellvision.plugin_info import PluginInfo

    candidates = _candidates(group)
    described = []
    for candidate in candidates:
        status, reason, text, version = plugin_listing.listing(group, None, candidate)
        if candidate.name in taken:
            status, reason = "broken", f"{candidate.name!r} is a verb of cellvision"
        elif plugin_listing.rivals(candidate, candidates) and status == "ok":
            status, reason = "conflict", "several distributions provide it"
        text = text or f"from {candidate.distribution}"
        described.append(
            PluginInfo(
                group,
                candidate.name,
                candidate.distribution,
                candidate.version,
                candidate.module,
                status,
                reason,
                text,
                version,
            )
        )
    plugin_source.save_cache()
    return described


class VerbGroup(typer.core.TyperGroup):
    """The command ``cellvision``, which finds verbs of plugins when one is called or listed."""

    @functools.cached_property
    def _plugins(self) -> dict[str, PluginInfo]:
        return {info.name: info for info in verb_plugins(frozenset(self.commands))}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all verbs, ours first."""
        own = super().list_commands(ctx)
        return [*own, *sorted({c.name for c in _candidates()} - set(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a verb; one of a plugin is a stand-in that describes it."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        if cmd_name not in self._plugins:
            return None
        info = self._plugins[cmd_name]
        return typer.core.TyperCommand(cmd_name, help=info.description or info.distribution)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the verb that is called."""
        name, verb, rest = super().resolve_command(ctx, args)
        own = typer.core.TyperGroup.get_command(self, ctx, name) if name else None
        return name, verb if own is not None or verb is None else _load(str(name)), rest


def _load(name: str) -> Any:
    """Import a verb of a plugin."""
    from cellvision import errors, interface_versions
    from cellvision.plugin_candidates import preferred
    from cellvision.plugin_errors import conflict

    matching = preferred([candidate for candidate in _candidates() if candidate.name == name])
    if len(matching) > 1:
        raise conflict("verb", name, matching)
    candidate = matching[0]
    refusal = interface_versions.refusal(GROUP, None, candidate.requires)
    if refusal:
        raise errors.PluginContractError(
            f"verb {candidate.full_name} {refusal}", candidate.how_to_update
        )
    try:
        loaded = candidate.load()
    except (Exception, SystemExit) as error:
        raise errors.BrokenPlugin(
            f"verb {candidate.full_name} cannot be imported: {errors.summarize(error)}",
            f"Fix or update it: python -m pip install --upgrade {candidate.distribution}",
        ) from error
    if not isinstance(loaded, typer.Typer):
        _refuse(candidate, f"it is {type(loaded).__name__}, not a typer.Typer application")
    loaded.rich_markup_mode = None
    loaded.pretty_exceptions_enable = loaded._add_completion = False
    try:
        verb = typer.main.get_command(loaded)
    except Exception as error:  # noqa: BLE001 - of an application that Typer cannot use
        _refuse(candidate, errors.summarize(error))
    verb.name = name
    return verb


def _refuse(candidate: PluginCandidate, reason: str) -> NoReturn:
    from cellvision import errors

    raise errors.PluginContractError(
        f"verb {candidate.full_name} cannot be used: {reason}",
        "Its entry point must name a typer.Typer object with at least one command",
    )
