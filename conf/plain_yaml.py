"""YAML of people as plain values: no objects, no key twice, no anchors that grow without end or lead back to themselves."""

import re
from typing import Any

import yaml

from conf.errors import InputError

MOST_CHARACTERS = 4 * 2**20
"""Of a file with each alias written out: a few nested ones of ten stand for more than any memory holds."""

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def plain_yaml(text: str, where: str) -> Any:
    """The value of `text`; raises InputError of one line, in which `where` names the file or argument."""
    line, why = "", "its brackets are nested too deep"
    try:
        return yaml.load(text, _PlainLoader)  # noqa: S506 - it constructs what SafeLoader does
    except _RefusedError as error:
        raise InputError(f"{where} is refused{_line_of(error)}: {error.problem}") from None
    except yaml.MarkedYAMLError as error:
        line, why = _line_of(error), str(error.problem or error.context)
    except (yaml.YAMLError, ValueError) as error:
        why = (str(error).splitlines() or ["no value"])[0]
    except RecursionError:
        pass
    raise InputError(f"{where} is not plain YAML{line}: {why}; write 'key: value' lines, and close brackets and quotes") from None


class _RefusedError(yaml.MarkedYAMLError):
    """Sound YAML that settings have no use for; `problem` says what to do instead."""


def _line_of(error: yaml.MarkedYAMLError) -> str:
    return "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"


class _PlainLoader(yaml.SafeLoader):
    """Looks at the document before anything is made of it, while an alias is still a reference."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _written_out(node, {}) > MOST_CHARACTERS:
            raise _wrong(node, f"its aliases stand for more than {MOST_CHARACTERS} characters; write values out where they are used")
        return node

    def construct_scalar(self, node: Any) -> Any:
        if isinstance(node.value, str) and CONTROL.search(node.value):
            raise _wrong(node, "a text holds a control character; leave it out")
        return super().construct_scalar(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise _wrong(key, f"key {key.value} comes twice; keep one")
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def _written_out(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Characters and nodes below `node`, what is named several times counted as often."""
    if id(node) not in sizes:
        sizes[id(node)] = None
        parts = [node.value] if isinstance(node, yaml.ScalarNode) else node.value
        flat = [part for each in parts for part in (each if isinstance(each, tuple) else (each,))]
        sizes[id(node)] = 1 + sum(len(part) if isinstance(part, str) else _written_out(part, sizes) for part in flat)
    size = sizes[id(node)]
    if size is None:
        raise _wrong(node, "an alias leads back to what it stands in; write the value out")
    return size


def _wrong(node: yaml.Node, problem: str) -> _RefusedError:
    return _RefusedError(problem=problem, problem_mark=node.start_mark)
