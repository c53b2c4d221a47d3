"""The product's documents as text: what an operation would do, or did."""

from collections.abc import Iterable
from typing import Any, ClassVar

from sexton.chat.effect import Effect
from sexton.chat.election import name
from sexton.chat.reassign import Reassignment
from sexton.chat.usage import References
from sexton.reporters.text import count
from sexton.text.printable import printable

Row = dict[str, Any]


def deletion(what: Effect, *, done: bool) -> str:
    """What deleting a provider does, or did, in sentences."""
    tense = _Tense(done)
    assert what.provider
    models = len(what.models)
    tombstones = f"{'a tombstone' if models == 1 else 'tombstones'}"
    lines = [
        f"{'deleted' if done else 'would delete'} provider {what.own['provider']}",
        f"  {count(models, 'model')} {tense('became')} {tombstones}; "
        f"{_history(what.references)} stay on {'it' if models == 1 else 'them'}",
        *_pending(what.references),
        *_settings(what.references),
        *_succession(what, tense),
    ]
    if what.provider["has_api_key"]:
        lines.append(f"  for good: the provider's own API key {tense('went')} with it")
    if keys := what.references.user_keys:
        lines.append(f"  for good: {count(keys, 'user key')} {tense('went')} with it")
    for row in what.cascades:
        lines.append(
            f"  for good: {count(row['rows'], 'row')} of {printable(row['table'])} "
            f"{tense('were')} {row['does']}, by the foreign key {printable(row['key'])}"
        )
    if what.cascades and not done:
        lines.append("  refused for that unless you say --allow-cascades")
    return "\n".join(lines)


def switch(what: Effect, *, done: bool) -> str:
    """What enabling or disabling a provider does, or did."""
    tense = _Tense(done)
    enabled = what.own["enabled"]
    verb = "enable" if enabled else "disable"
    effect = "usable if enabled" if enabled else "unusable"
    keys = count(what.references.user_keys, "user key")
    lines = [
        f"{verb + 'd' if done else 'would ' + verb} provider {what.own['provider']}",
        f"  {count(len(what.models), 'live model')} {tense('became')} {effect}; "
        f"{_history(what.references)} belong to "
        f"{'it' if len(what.models) == 1 else 'them'}, {keys} to the provider",
        *_pending(what.references),
    ]
    if not enabled:
        lines += _settings(what.references)
    if what.heir is None and what.stands.default_goes and not enabled:
        lines.append("  warning: the default stays here, unusable; nobody can inherit")
    else:
        lines += _succession(what, tense, goes=not enabled)
    return "\n".join(lines)


def restoration(what: Effect, *, done: bool) -> str:
    """What restoring a provider's models does, or did."""
    tense = _Tense(done)
    models = len(what.models)
    return "\n".join(
        [
            f"{'restored' if done else 'would restore'} "
            f"{count(models, 'model')} of {what.own['provider']}",
            f"  {_history(what.references)} {tense('were')} on "
            f"{'it' if models == 1 else 'them'}",
            *(f"    {id}" for id in what.models),
            *_succession(what, tense, goes=False),
        ]
    )


def removal(what: Effect, *, done: bool) -> str:
    """What deleting a model config does, or did."""
    tense = _Tense(done)
    return "\n".join(
        [
            f"{'deleted' if done else 'would delete'} {_name(what.own['model'])}",
            f"  {_history(what.references)} stay on its tombstone",
            *_pending(what.references),
            *_settings(what.references),
            *_succession(what, tense),
        ]
    )


def reassignment(what: Reassignment, *, done: bool) -> str:
    """What reassigning does, or did."""
    lines = [
        f"{'reassigned' if done else 'would reassign'} from {_name(what.source)}",
        f"  to {_name(what.target)}",
        f"  {count(what.chats, 'open chat')} ({what.in_flight_chats:,} in flight), "
        f"{count(len(what.moving), 'setting')}, "
        f"{count(what.queued_messages, 'queued message')}",
    ]
    if what.kept:
        kept = count(what.kept, "threshold")
        lines.append(f"  {kept} kept: the user has one for the other model too")
    return "\n".join(lines)


class _Tense:
    """Picks the verb for what is done, or would be."""

    FUTURE: ClassVar = {"became": "become", "went": "go", "were": "be"}

    def __init__(self, done: bool) -> None:
        self.done = done

    def __call__(self, verb: str) -> str:
        return verb if self.done else f"would {self.FUTURE[verb]}"


def _name(model: Row) -> str:
    return printable(name(model))


def _history(counts: References) -> str:
    return f"{count(counts.chats, 'chat')} and {count(counts.messages, 'message')}"


def _pending(counts: References) -> Iterable[str]:
    if counts.in_flight_chats:
        yield f"  {count(counts.in_flight_chats, 'of the chats', 'of the chats')} in flight"
    if counts.queued_messages:
        yield f"  {count(counts.queued_messages, 'queued message')} for them"


def _settings(counts: References) -> Iterable[str]:
    if counts.overrides:
        verb = "names" if counts.overrides == 1 else "name"
        yield f"  {count(counts.overrides, 'setting')} still {verb} what goes"


def _succession(what: Effect, tense: _Tense, *, goes: bool = True) -> Iterable[str]:
    heir, before = what.heir, what.stands.default
    enabling = what.own["provider"] if what.own.get("enabled") else None

    def usable(model: Row) -> bool:
        works = model["provider_enabled"] or model["provider"] == enabling
        return bool(model["enabled"] and works)

    if heir:
        yield f"  {_name(heir)} {tense('became')} the default"
        if not usable(heir):
            yield "  warning: it is not usable: it, or its provider, is disabled"
    elif before and not (goes and what.stands.default_goes):
        model, provider = printable(before["model"]), printable(before["provider"])
        unusable = "" if usable(before) else ", NOT USABLE"
        yield f"  the default stays: {model} of {provider}{unusable}"
    else:
        yield "  warning: no default is left; sexton model promote ID"
