"""What a name, an attribute or a text in the code stands for."""

from __future__ import annotations

import ast
import builtins

from reactorhub.diagnosis.doctor.facts import Class, Module

MAKERS = frozenset({"cls", "super.from_crawler", "super.from_settings", "cls.from_settings"})
"""What makes an object of the class itself in a class method."""

Env = dict[str, str | None]
"""Names and the paths they stand for; None for a name whose value is not known."""

_BUILTINS = frozenset(dir(builtins))
_JOINERS = ("join", "Path")


class Naming:
    """Knows what the names at the present place in a module stand for."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self._globals: Env = {}
        self._env: Env = self._globals
        self._local_texts: dict[str, str | None] = {}
        self._class: Class | None = None

    def _path(self, node: ast.expr) -> str | None:
        """The path of a name with its attributes; nothing in it is recorded."""
        found: str | None = None
        match node:
            case ast.Name(id=name):
                found = self._name(name)
            case ast.Attribute(value=value, attr=attr):
                found = member(self._path(value), attr)
            case ast.Subscript(value=value):
                inner = self._path(value)
                found = f"{inner}[]" if inner else None
            case ast.BinOp(left=left, op=ast.Div()):
                inner = self._path(left)
                found = inner if inner and inner.startswith("pathlib.") else None
            case ast.Call(func=func, args=args):
                found = self._result(self._path(func), args)
        return found

    def _name(self, name: str) -> str | None:
        if name in self._env:
            return self._env[name]
        if name in _BUILTINS:
            return f"builtins.{name}"
        return f"{self.module.name}.{name}" if self.module.stars else None

    def _result(self, func: str | None, args: list[ast.expr]) -> str | None:
        """The path of what a call of this path gives back."""
        match func:
            case None:
                return None
            case "builtins.super":
                return "super"
            case "builtins.type" if len(args) == 1 and self._path(args[0]) == "self":
                return "cls"
        return "self" if func in MAKERS else f"{func}()"

    def _argument(self, node: ast.Call) -> str | None:
        """The text of the first argument, or what it begins with; None if the code does not tell."""
        match node.func:
            case ast.Attribute(value=made) if self._is_path(made):
                return None if isinstance(made, ast.Name) else self._text(made)
        return self._text(node.args[0]) if node.args else None

    def _is_path(self, node: ast.expr) -> bool:
        while isinstance(node, ast.BinOp):
            node = node.left
        return (self._path(node) or "").startswith("pathlib.")

    def _text(self, node: ast.expr) -> str | None:
        """The text that an expression begins with, or None if the code does not tell."""
        found: str | None = None
        match node:
            case ast.Constant(value=str(text)):
                found = text
            case ast.JoinedStr(values=parts):
                found = self._joined(parts)
            case ast.FormattedValue(value=value, format_spec=None):
                found = self._text(value)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                found = self._joined([left, right])
            case ast.BinOp(left=left, op=ast.Mod(), right=ast.Tuple(elts=[right, *_]) | right):
                found = self._filled(left, "%s", right)
            case ast.BinOp(left=left, op=ast.Div()):
                found = self._text(left)
            case ast.Attribute(value=owner, attr="name"):
                found = self._name_of_spider(owner)
            case ast.Call(func=ast.Attribute(value=value, attr="format"), args=[first, *_]):
                found = self._filled(value, "{}", first)
            case ast.Call(func=ast.Attribute(value=value, attr="format")):
                found = self._text(value)
            case ast.Call(func=func, args=[first, *_]) if last(self._path(func)) in _JOINERS:
                found = self._text(first)
            case ast.Name(id=name):
                found = self._text_of_name(name, self._path(node))
        return found

    def _joined(self, parts: list[ast.expr]) -> str | None:
        """The text of the first parts, as far as the code tells; None if it does not tell the very first."""
        found = None
        for part in parts:
            text = self._text(part)
            if text is None:
                break
            found = (found or "") + text
        return found

    def _filled(self, template: ast.expr, gap: str, value: ast.expr) -> str | None:
        """The text of a template; where it begins with a gap, what fills it, if the code tells that."""
        text = self._text(template)
        filling = self._text(value) if text is not None and text.startswith(gap) else None
        return text if text is None or filling is None else filling + text.removeprefix(gap)

    def _name_of_spider(self, owner: ast.expr) -> str | None:
        """The name of the spider itself, or what stands for it. Elsewhere a name may be anything."""
        if self._path(owner) in ("self", "cls"):
            value = self._class.attributes.get("name") if self._class else None
            return value.literal if value and isinstance(value.literal, str) else None
        return "<name>" if isinstance(owner, ast.Name) and owner.id == "spider" else None

    def _text_of_name(self, name: str, path: str | None) -> str | None:
        known = self._local_texts.get(name)
        if known is not None or path is None:
            return known
        value = self.module.values.get(last(path))
        is_own = path == f"{self.module.name}.{last(path)}"
        return value.literal if value and is_own and isinstance(value.literal, str) else None


def member(path: str | None, attribute: str) -> str | None:
    if path is None:
        return None
    return "cls" if path == "self" and attribute == "__class__" else f"{path}.{attribute}"


def last(path: str | None) -> str:
    """The last name of a path."""
    return (path or "").removesuffix("()").rpartition(".")[2]
