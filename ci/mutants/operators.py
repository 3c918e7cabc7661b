"""The mutations: each comparison turned round, each `and` and `or` exchanged, each `not` dropped, each gate
left out.

A mutation is one changed node of a module's syntax tree; `mutations` lists them in the order of the source, so
that the same source gives the same list.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
EDGE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}


@dataclass(frozen=True)
class Mutation:
    """The `which`-th change of the `node`-th node of the file's tree."""

    file: str
    line: int
    what: str
    node: int
    which: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.what}"


def mutations(file: str, source: str) -> Iterator[Mutation]:
    """All of them. Asserts and the text of reasons are left alone: they decide nothing."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    order = sorted(
        (node.lineno, node.col_offset, i)
        for i, node in enumerate(nodes)
        if isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.If)
    )
    for line, _, i in order:
        for which, (what, _change) in enumerate(_changes(nodes[i])):
            yield Mutation(file, line, what, i, which)


def mutated(mutation: Mutation, source: str) -> str:
    """The whole module with this one change."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[mutation.node]
    change = list(_changes(node))[mutation.which][1]
    change(node)
    return ast.unparse(ast.fix_missing_locations(tree))


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], object]]]:
    """(what it is called, what it does to that node)."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        said = ast.unparse(node)
        kind = type(node.ops[0])
        yield f"turns round `{said}`", lambda n: n.ops.__setitem__(0, TURNED[kind]())
        if kind in EDGE:
            yield f"shifts the edge of `{said}`", lambda n: n.ops.__setitem__(0, EDGE[kind]())
    elif isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield f"exchanges and/or in `{_short(node)}`", lambda n: setattr(n, "op", other())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield f"drops the not of `{_short(node)}`", _drop_not
    elif isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return) and not node.orelse:
        yield (
            f"leaves out the gate `if {_short(node.test)}`",
            lambda n: setattr(n, "test", ast.Constant(False)),
        )


def _drop_not(node: ast.UnaryOp) -> None:
    node.op = ast.UAdd()
    inner = node.operand
    node.operand = ast.Call(ast.Name("bool", ast.Load()), [inner], [])


def _short(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 80 else text[:79] + "…"
