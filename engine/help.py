"""The help text, made from the schema: each option with its default and the comment that stands above its field."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from engine import config
from engine.discovery import members

USAGE = """\
isoloss: a sweep engine for mode connectivity through parameter-space symmetry

  python -m engine +sweep=NAME [OPTION=VALUE …]    run a sweep
  python -m engine resume=DIR                      go on with one that was interrupted
  python -m engine +sweep=NAME dry=true            print its plan: cells, blocks, memory, time
  python -m engine +sweep=NAME --cfg job --resolve print its whole configuration
  python -m engine -m +sweep=NAME shards=4 'shard=range(4)'    deal it to four jobs, one directory
  python -m engine --hydra-help                    the flags of Hydra, which reads the command line
"""
WIDTH = 100
COLUMN = 44  # where the words begin


def listing() -> str:
    """The named sweeps, a line each, and how to run one."""
    known = config.sweeps()
    widest = max(map(len, known))
    lines = [f"  {name:{widest}}  {about}" for name, about in known.items()]
    return "\n".join([
        "Which sweep?",
        *lines,
        "Run one with: python -m engine +sweep=NAME        All options: python -m engine --help",
    ])


def text(chosen: Any = None) -> str:
    """The whole help; ``chosen`` is a sweep's composed configuration whose values are shown instead of defaults."""
    known = config.sweeps()
    parts = [USAGE, "Sweeps", *(_line(f"+sweep={name}", about) for name, about in known.items())]
    values = {"": config.Options()} | ({} if chosen is None else {"sweep": chosen.sweep})
    parts += ["", f"The sweep{'' if chosen is None else ' ' + chosen.sweep.name}: what is varied, related and walked"]
    parts += _options(values.get("sweep", config.Sweep()), "sweep.", skip=("name", "about"))
    parts += ["", "How it runs", *_options(values[""], "", skip=("sweep",))]
    for family in config.CHOSEN:
        parts += ["", f"{family}={' | '.join(members(family))}"]
        for name, module in members(family).items():
            parts.append(_line(f"  {family}={name}", _first_sentence(module)))
            parts += _options(_member(chosen, family, name), f"    {family}.", skip=("name",))
    for family in config.OPTIONS:
        with_options = [name for name, module in members(family).items() if hasattr(module, "Config")]
        parts += ["", f"{family}: {', '.join(members(family))}"]
        for name in with_options:
            parts += _options(_member(chosen, family, name), f"  {family}.{name}.")
    return "\n".join(parts)


def _member(chosen: Any, family: str, name: str) -> Any:
    """The options of a member: of the composed configuration, or as they would be if the member were chosen there."""
    if chosen is None:
        return members(family)[name].Config()
    used = getattr(chosen, family)
    if family in config.OPTIONS:
        return getattr(used, name)
    return used if used.name == name else members(family)[name].Config(**chosen.members.get(family, {}).get(name, {}))


def _first_sentence(module) -> str:
    return " ".join(inspect.getdoc(module).split("\n\n")[0].split())


def _options(instance: Any, prefix: str, skip: tuple[str, ...] = ()) -> list[str]:
    """A line per field of a dataclass and of the dataclasses in it."""
    words, lines = _comments(type(instance)), []
    for field in fields(instance):
        value = getattr(instance, field.name)
        if field.name in skip:
            continue
        if is_dataclass(value):
            lines += _options(value, f"{prefix}{field.name}.")
        else:
            lines.append(_line(f"{prefix}{field.name}={_shown(value)}", words.get(field.name, "")))
    return lines


def _shown(value: Any) -> str:
    if value is None or value is MISSING or value == "???":
        return "null" if value is None else "…"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_shown, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _comments(cls: type) -> dict[str, str]:
    """The comment above each field of a dataclass."""
    found, words = {}, []
    for line in inspect.getsource(cls).splitlines():
        line = line.strip()
        if line.startswith("#"):
            words.append(line.removeprefix("#").strip())
            continue
        if ":" in line and words:
            found[line.split(":")[0]] = " ".join(words)
        words = []
    return found


def _line(option: str, words: str) -> str:
    option = f"  {option}"
    wrapped = textwrap.wrap(words, WIDTH - COLUMN) or [""]
    first = (
        f"{option:{COLUMN - 2}}  {wrapped[0]}" if len(option) < COLUMN - 1 else f"{option}\n{'':{COLUMN}}{wrapped[0]}"
    )
    return "\n".join([first.rstrip(), *(f"{'':{COLUMN}}{more}" for more in wrapped[1:])])
