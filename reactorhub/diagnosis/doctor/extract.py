"""From a module's text to its facts, in one pass over the syntax tree."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable
from typing import Any

from reactorhub.diagnosis.doctor.expressions import Expressions, handlers, use_of
from reactorhub.diagnosis.doctor.facts import BODY, Class, Module, Scope, Value
from reactorhub.diagnosis.doctor.naming import last
from reactorhub.model.doctor import SourceFile

SILENCE = re.compile(r"#\s*reactorhub:\s*shared\b")
"""The comment that silences all findings of its line."""


def facts_of(source: SourceFile) -> Module:
    """Return what there is to know of a module. Never raises: what cannot be parsed has its ``error``."""
    module = Module(name=source.module, file=source.file)
    try:
        tree = ast.parse(source.code, source.file)
        module.silenced = _silenced(source.code)
        _Reader(module, is_package=source.is_package).read(tree)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        return Module(source.module, source.file, line, f"{type(error).__name__}: {_brief(error)}")
    except (RecursionError, MemoryError):
        return Module(source.module, source.file)  # Python may import it all the same; nothing is known of it
    return module


def _brief(error: Exception) -> str:
    return getattr(error, "msg", None) or str(error)


def _silenced(code: bytes) -> frozenset[int]:
    if b"reactorhub:" not in code:
        return frozenset()
    tokens = tokenize.tokenize(io.BytesIO(code).readline)
    return frozenset(
        token.start[0] for token in tokens if token.type == tokenize.COMMENT and SILENCE.search(token.string)
    )


class _Reader(Expressions):
    """Reads the body of the module first, and the functions once all names of the module are known."""

    def __init__(self, module: Module, *, is_package: bool) -> None:
        super().__init__(module)
        self._package = module.name if is_package else module.name.rpartition(".")[0]

    def read(self, tree: ast.Module) -> None:
        """Fill in the module's facts."""
        self.module.scopes[BODY] = self._scope
        self._declare(tree.body)
        self._block(tree.body)
        while self._later:
            self._later.pop()()
        self.module.imports = {
            name: path
            for name, path in self._globals.items()
            if path and path != f"{self.module.name}.{name}" and name not in self.module.values
        }

    def _declare(self, body: list[ast.stmt]) -> None:
        """Functions and classes may be named before the line that makes them."""
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self._globals[node.name] = f"{self.module.name}.{node.name}"

    def _block(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            handler = _STATEMENTS.get(type(node))
            if handler is None:
                self._children(node)
            else:
                handler(self, node)

    def _do_expr(self, node: ast.Expr) -> None:
        self._seen(node.value)

    def _do_return(self, node: ast.Return) -> None:
        if node.value is not None:
            self._seen(node.value)

    def _do_import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.module.imported.add(alias.name)
            self._env[alias.asname or alias.name.partition(".")[0]] = (
                alias.name if alias.asname else alias.name.partition(".")[0]
            )

    def _do_importfrom(self, node: ast.ImportFrom) -> None:
        origin = self._origin(node)
        self.module.imported.add(origin)
        for alias in node.names:
            if alias.name == "*":
                self.module.stars.append(origin)
            else:
                self.module.imported.add(f"{origin}.{alias.name}")
                self._env[alias.asname or alias.name] = f"{origin}.{alias.name}"

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self._package.split(".") if self._package else []
        kept = parts[: len(parts) - (node.level - 1)]
        return ".".join([*kept, *([node.module] if node.module else [])])

    def _do_functiondef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        name = f"{self._prefix}{node.name}"
        scope = Scope(name, node.lineno, owner=self._class.name if self._class else None)
        scope.in_thread = any("thread" in last(self._seen(each)).lower() for each in node.decorator_list)
        args = node.args
        with self._calls_into(scope.defaults):
            for default in [*args.defaults, *filter(None, args.kw_defaults)]:
                self._seen(default)
        self.module.scopes[name] = scope
        if self._in_class_body and self._class is not None:
            self._class.methods[node.name] = name
        else:
            self._env[node.name] = f"{self.module.name}.{name}"
        first = self._receiver(node)
        self._postpone(scope, args, node.body, first)

    _do_asyncfunctiondef = _do_functiondef

    def _receiver(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[str, str] | None:
        """The name of the first argument of a method, and the path that it stands for."""
        arguments = [*node.args.posonlyargs, *node.args.args]
        if not self._in_class_body or not arguments:
            return None
        marks = {last(self._path(each)) for each in node.decorator_list}
        if "staticmethod" in marks:
            return None
        is_class = "classmethod" in marks or node.name in (
            "__new__",
            "__init_subclass__",
            "__class_getitem__",
        )
        return arguments[0].arg, "cls" if is_class else "self"

    def _do_classdef(self, node: ast.ClassDef) -> None:
        name = f"{self._prefix}{node.name}"
        bases = tuple(self._seen(base) or "?" for base in node.bases)
        for each in [*node.decorator_list, *(keyword.value for keyword in node.keywords)]:
            self._seen(each)
        made = self.module.classes[name] = Class(name, node.lineno, bases)
        self._env[node.name] = f"{self.module.name}.{name}"
        kept = self._env, self._class, self._prefix, self._in_class_body
        self._env, self._class, self._prefix = dict(self._env), made, f"{name}."
        self._in_class_body = True
        self._block(node.body)
        self._env, self._class, self._prefix, self._in_class_body = kept

    def _do_global(self, node: ast.Global) -> None:
        self._declared.update(node.names)
        for name in node.names:
            self._env[name] = self._globals.get(name) or f"{self.module.name}.{name}"

    def _do_if(self, node: ast.If) -> None:
        if _is_type_checking(node.test) or _is_main(node.test):
            self._block(node.orelse)
            return
        before = self._scope.names
        self._scope.names = set()
        self._seen(node.test)
        self._tested |= self._scope.names
        before |= self._scope.names
        self._scope.names = before
        self._block(node.body)
        self._block(node.orelse)

    def _do_for(self, node: ast.For | ast.AsyncFor) -> None:
        path = self._seen(node.iter)
        self._bind(node.target, f"{path}[]" if path else None)
        self._block(node.body)
        self._block(node.orelse)

    _do_asyncfor = _do_for

    def _do_with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            path = self._seen(item.context_expr)
            if item.optional_vars is not None:
                self._bind(item.optional_vars, path)
        self._block(node.body)

    _do_asyncwith = _do_with

    def _do_excepthandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self._env[node.name] = None
        self._block(node.body)

    def _do_try(self, node: Any) -> None:
        self._block(node.body)
        for handler in node.handlers:
            self._do_excepthandler(handler)
        self._block(node.orelse)
        self._block(node.finalbody)

    _do_trystar = _do_try

    def _do_assign(self, node: ast.Assign) -> None:
        value = self._value(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name) and self._is_local(target.id):
                self._local_texts[target.id] = self._text(node.value)
            self._assign(target, value, node)

    def _do_annassign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assign(node.target, self._value(node.value), node)

    def _do_augassign(self, node: ast.AugAssign) -> None:
        self._seen(node.value)
        path = self._path(node.target)
        if isinstance(node.target, ast.Name) and self._is_local(node.target.id):
            return
        if path:
            self._scope.writes.append(use_of(node, f"{path}+="))

    def _do_delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._seen(target)
            if isinstance(target, ast.Subscript) and (path := self._path(target)):
                self._scope.writes.append(use_of(node, path))

    def _is_local(self, name: str) -> bool:
        return self._scope.name != BODY and name not in self._declared

    def _assign(self, target: ast.expr, value: Value, node: ast.stmt) -> None:
        match target:
            case ast.Name(id=name):
                self._assign_name(name, value, node)
            case ast.Attribute():
                self._assign_attribute(target, value, node)
            case ast.Subscript():
                self._seen(target.slice)
                if path := self._path(target):
                    self._scope.writes.append(use_of(node, path))
                    if _last_name(path) and self._is_tested(path[:-2]) and value.literal is ...:
                        self._scope.kept.add(path)
            case ast.Tuple() | ast.List():
                for part in target.elts:
                    self._bind(part, None)
            case _:
                self._bind(target, None)

    def _assign_name(self, name: str, value: Value, node: ast.stmt) -> None:
        if self._scope.name == BODY:
            own = f"{self.module.name}.{self._prefix}{name}"
            if value.literal is None and self._env.get(name, own) != own:
                return  # what stands below `except ImportError:`; the import is what matters
            self._env[name] = own
            kept = (
                self.module.values
                if not self._in_class_body or self._class is None
                else self._class.attributes
            )
            kept[name] = value
        elif name in self._declared:
            path = self._env.get(name) or f"{self.module.name}.{name}"
            self._scope.writes.append(use_of(node, f"{path}="))
            if self._is_tested(path):
                self._scope.kept.add(f"{path}=")
            self.module.values.setdefault(name, value)
        else:
            self._env[name] = value.path

    def _is_tested(self, path: str) -> bool:
        return path in self._tested

    def _assign_attribute(self, target: ast.Attribute, value: Value, node: ast.stmt) -> None:
        path = self._path(target)
        if path is None:
            return
        receiver, _, attribute = path.partition(".")
        if receiver == "self" and self._class is not None and attribute.isidentifier():
            known = self._class.assigned.get(attribute)
            if known is None or known.path is None:
                self._class.assigned[attribute] = value
        else:
            self._scope.writes.append(use_of(node, f"{path}="))
            if self._is_tested(path):
                self._scope.kept.add(f"{path}=")

    def _bind(self, target: ast.expr, path: str | None) -> None:
        match target:
            case ast.Name(id=name):
                if self._scope.name == BODY and not self._in_class_body:
                    self._env[name] = f"{self.module.name}.{name}"
                    self.module.values.setdefault(name, Value(line=target.lineno))
                else:
                    self._env[name] = path
            case ast.Tuple() | ast.List():
                for part in target.elts:
                    self._bind(part, None)
            case ast.Starred():
                self._bind(target.value, None)
            case ast.Attribute():
                self._assign_attribute(target, Value(line=target.lineno, path=path), _statement(target))
            case ast.Subscript():
                self._seen(target.value)


_STATEMENTS: dict[type[ast.AST], Callable[[_Reader, Any], Any]] = handlers(_Reader, "_do_")


def _statement(target: ast.expr) -> ast.stmt:
    return ast.copy_location(ast.Pass(), target)


def _last_name(path: str) -> bool:
    return path.endswith("[]") and not path[:-2].endswith(("[]", "()"))


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and any(
        isinstance(part, ast.Name) and part.id == "__name__" for part in [test.left, *test.comparators]
    )


def _is_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))
