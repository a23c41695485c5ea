"""From a module's text to its facts, in one pass over the syntax tree."""

from __future__ import annotations

import ast
import builtins
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from reactorhub.diagnosis.doctor.facts import BODY, Class, Module, Scope, Use, Value
from reactorhub.model.doctor import SourceFile

SILENCE = re.compile(r"#\s*reactorhub:\s*shared\b")
"""The comment that silences all findings of its line."""

THREADS = frozenset(
    "deferToThread deferToThreadPool callInThread callInThreadWithCallback callMultipleInThread to_thread "
    "run_in_executor run_sync runInteraction runWithConnection submit apply_async Thread Timer Process start_new_thread sync_to_async".split()
)
"""Calls that run in a thread, or elsewhere, what they are handed."""

_BUILTINS = frozenset(dir(builtins))
_CONTAINERS = {
    "builtins.list()": "list",
    "builtins.dict()": "dict",
    "builtins.set()": "set",
    "builtins.bytearray()": "bytearray",
    "collections.deque()": "deque",
    "collections.defaultdict()": "dict",
    "collections.OrderedDict()": "dict",
    "collections.Counter()": "dict",
    "queue.Queue()": "queue",
}
_LITERALS: dict[type[ast.AST], str] = {
    ast.List: "list",
    ast.ListComp: "list",
    ast.Dict: "dict",
    ast.DictComp: "dict",
    ast.Set: "set",
    ast.SetComp: "set",
}

_MAKERS = frozenset({"cls", "super.from_crawler", "super.from_settings", "cls.from_settings"})
"""What makes an object of the class itself in a class method."""

Env = dict[str, str | None]


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
    except RecursionError:
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


class _Reader:
    """Reads the body of the module first, and the functions once all names of the module are known."""

    def __init__(self, module: Module, *, is_package: bool) -> None:
        self.module = module
        self._package = module.name if is_package else module.name.rpartition(".")[0]
        self._globals: Env = {}
        self._env: Env = self._globals
        self._scope = Scope(BODY, 1)
        self._class: Class | None = None
        self._prefix = ""
        self._in_class_body = False
        self._in_thread = False
        self._declared: set[str] = set()
        self._tested: set[str] = set()
        self._local_texts: dict[str, str | None] = {}
        self._later: list[Callable[[], None]] = []

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

    # -- statements

    def _block(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            handler = _STATEMENTS.get(type(node))
            if handler is None:
                self._children(node)
            else:
                handler(self, node)

    def _children(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._seen(child)
            elif isinstance(child, ast.stmt):
                self._block([child])
            else:
                self._children(child)

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
        scope.in_thread = any("thread" in _last(self._seen(each)).lower() for each in node.decorator_list)
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
        marks = {_last(self._path(each)) for each in node.decorator_list}
        if "staticmethod" in marks:
            return None
        is_class = "classmethod" in marks or node.name in (
            "__new__",
            "__init_subclass__",
            "__class_getitem__",
        )
        return arguments[0].arg, "cls" if is_class else "self"

    def _postpone(
        self,
        scope: Scope,
        args: ast.arguments,
        body: list[ast.stmt] | ast.expr,
        first: tuple[str, str] | None,
    ) -> None:
        outer, owner, in_class = self._env, self._class, self._in_class_body

        def read() -> None:
            env = dict(self._globals if in_class else outer)
            for each in _parameters(args):
                env[each] = None
            if first is not None:
                env[first[0]] = first[1]
            self._env, self._scope, self._class = env, scope, owner
            self._prefix, self._in_class_body, self._in_thread = f"{scope.name}.", False, False
            self._declared, self._tested, self._local_texts = set(), set(), {}
            if isinstance(body, ast.expr):
                self._seen(body)
            else:
                self._block(body)

        self._later.append(read)

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
            self._scope.writes.append(_use(node, f"{path}+="))

    def _do_delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Subscript) and (path := self._path(target)):
                self._scope.writes.append(_use(node, path))

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
                    self._scope.writes.append(_use(node, path))
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
            path = self._env[name] or ""
            self._scope.writes.append(_use(node, f"{path}="))
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
            self._scope.writes.append(_use(node, f"{path}="))
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

    def _value(self, node: ast.expr) -> Value:
        """See an expression that is assigned, and remember what it is made of."""
        calls, names = len(self._scope.calls), self._scope.names
        self._scope.names = set()
        path = self._seen(node)
        found = self._scope.names
        self._scope.names = names | found
        if path and not path.endswith(("()", "[]")):
            found = found | {path}
        at_rest = self._scope.name == BODY
        return Value(
            line=node.lineno,
            path=path,
            container=_LITERALS.get(type(node)) or _CONTAINERS.get(path or "", ""),
            calls=tuple(self._scope.calls[calls:]) if at_rest else (),
            names=tuple(sorted(found)) if at_rest else (),
            texts=tuple(_texts(node)) if at_rest else (),
            literal=_literal(node),
            entries=self._entries(node) if at_rest else {},
        )

    def _entries(self, node: ast.expr) -> dict[str, Value]:
        if not isinstance(node, ast.Dict):
            return {}
        return {
            key.value: Value(
                line=key.lineno,
                texts=tuple(_texts(value)),
                literal=_literal(value),
                names=tuple(sorted(self._named_in(value))),
            )
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }

    def _named_in(self, node: ast.expr) -> Iterator[str]:
        for part in ast.walk(node):
            if isinstance(part, ast.Name | ast.Attribute) and (path := self._path(part)):
                yield path

    # -- expressions

    def _seen(self, node: ast.expr) -> str | None:
        """See an expression with all that is in it, and return its path."""
        handler = _EXPRESSIONS.get(type(node))
        if handler is not None:
            found: str | None = handler(self, node)
            return found
        self._children(node)
        return None

    def _see_name(self, node: ast.Name) -> str | None:
        path = self._path(node)
        if path:
            self._named(path)
        return path

    def _see_constant(self, _: ast.Constant) -> None:
        return None

    def _see_attribute(self, node: ast.Attribute) -> str | None:
        path = self._path(node)
        if path:
            self._named(path)
        else:
            self._seen(node.value)
        return path

    def _see_subscript(self, node: ast.Subscript) -> str | None:
        path = self._seen(node.value)
        self._seen(node.slice)
        return f"{path}[]" if path else None

    def _see_binop(self, node: ast.BinOp) -> str | None:
        self._seen(node.left)
        self._seen(node.right)
        return self._path(node)

    def _see_await(self, node: ast.Await) -> None:
        self._seen(node.value)

    def _see_call(self, node: ast.Call) -> str | None:
        func = self._callee(node.func)
        last = _last(func) if func else getattr(node.func, "attr", getattr(node.func, "id", ""))
        was, self._in_thread = self._in_thread, self._in_thread or last in THREADS
        for argument in node.args:
            self._seen(argument)
        for keyword in node.keywords:
            self._seen(keyword.value)
        self._in_thread = was
        if func is None:
            return None
        if func == "builtins.getattr" and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant):
            self._scope.any_method = True
        if func.startswith("builtins.super"):
            return "super"
        if func == "builtins.type" and len(node.args) == 1 and self._path(node.args[0]) == "self":
            return "cls"
        path = _SPECIAL[func](node) if func in _SPECIAL else f"{func}()"
        self._scope.calls.append(_use(node, path, self._argument(node)))
        return "self" if func in _MAKERS else path

    def _callee(self, node: ast.expr) -> str | None:
        """The path of what is called. Where a part of it is a call or an entry itself, that is seen, too."""
        match node:
            case ast.Attribute(value=ast.Name()) | ast.Name():
                return self._path(node)
            case ast.Attribute(value=value, attr=attr):
                inner = self._callee(value)
                return _member(inner, attr)
            case ast.Subscript(value=value, slice=index):
                inner = self._callee(value)
                self._seen(index)
                return f"{inner}[]" if inner else None
        return self._seen(node)

    def _see_lambda(self, node: ast.Lambda) -> str:
        name = f"{self._prefix}<lambda {node.lineno}:{node.col_offset}>"
        scope = Scope(name, node.lineno, owner=self._class.name if self._class else None)
        scope.in_thread = self._in_thread
        self.module.scopes[name] = scope
        self._postpone(scope, node.args, node.body, None)
        path = f"{self.module.name}.{name}"
        self._named(path)
        return path

    def _comprehension(self, node: Any) -> None:
        kept, self._env = self._env, dict(self._env)
        for generator in node.generators:
            path = self._seen(generator.iter)
            self._bind_inside(generator.target, f"{path}[]" if path else None)
            for condition in generator.ifs:
                self._seen(condition)
        for part in ("elt", "key", "value"):
            if (inner := getattr(node, part, None)) is not None:
                self._seen(inner)
        self._env = kept

    _see_listcomp = _see_setcomp = _see_dictcomp = _see_generatorexp = _comprehension

    def _bind_inside(self, target: ast.expr, path: str | None) -> None:
        for part in ast.walk(target):
            if isinstance(part, ast.Name):
                self._env[part.id] = path if part is target else None

    def _see_namedexpr(self, node: ast.NamedExpr) -> str | None:
        path = self._seen(node.value)
        self._bind(node.target, path)
        return path

    def _named(self, path: str) -> None:
        if not self._in_thread:
            self._scope.names.add(path)
            return
        receiver, _, name = path.partition(".")
        if receiver in ("self", "cls") and self._class is not None:
            self._class.threaded.add(name)

    def _path(self, node: ast.expr) -> str | None:
        """The path of a name with its attributes; nothing in it is recorded."""
        match node:
            case ast.Name(id=name):
                if name in self._env:
                    return self._env[name]
                if name in _BUILTINS:
                    return f"builtins.{name}"
                return f"{self.module.name}.{name}" if self.module.stars else None
            case ast.Attribute(value=value, attr=attr):
                return _member(self._path(value), attr)
            case ast.Subscript(value=value):
                inner = self._path(value)
                return f"{inner}[]" if inner else None
            case ast.BinOp(left=left, op=ast.Div()):
                inner = self._path(left)
                return inner if inner and inner.startswith("pathlib.") else None
            case ast.Call(func=func):
                inner = self._path(func)
                if inner == "builtins.super":
                    return "super"
                if inner == "builtins.type":
                    return "cls" if len(node.args) == 1 and self._path(node.args[0]) == "self" else None
                if inner in _MAKERS:
                    return "self"
                return f"{inner}()" if inner else None
        return None

    def _argument(self, node: ast.Call) -> str | None:
        """The text of the first argument, or what it begins with; None if the code does not tell."""
        match node.func:
            case ast.Attribute(value=ast.Call() | ast.BinOp() as made) if self._is_path(made):
                return self._text(made)
        return self._text(node.args[0]) if node.args else None

    def _is_path(self, node: ast.expr) -> bool:
        while isinstance(node, ast.BinOp):
            node = node.left
        return (self._path(node) or "").startswith("pathlib.")

    def _text(self, node: ast.expr) -> str | None:
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
                return text
            case ast.BinOp(left=left, op=ast.Add() | ast.Mod() | ast.Div()):
                return self._text(left)
            case ast.Call(func=func, args=[first, *_]) if _last(self._path(func)) in (
                "join",
                "format",
                "Path",
            ):
                if isinstance(func, ast.Attribute) and func.attr == "format":
                    return self._text(func.value)
                return self._text(first)
            case ast.Name(id=name):
                if self._local_texts.get(name) is not None:
                    return self._local_texts[name]
                path = self._path(node)
                value = self.module.values.get(_last(path)) if path else None
                if value and path == f"{self.module.name}.{_last(path)}" and isinstance(value.literal, str):
                    return value.literal
        return None

    @contextmanager
    def _calls_into(self, calls: list[Use]) -> Iterator[None]:
        before = len(self._scope.calls)
        yield
        calls.extend(self._scope.calls[before:])


def _handlers(prefix: str) -> dict[type[ast.AST], Callable[[_Reader, Any], Any]]:
    """A handler for each type of node: the method of its name."""
    kinds = {name.lower(): kind for name, kind in vars(ast).items() if isinstance(kind, type)}
    names = (name for name in vars(_Reader) if name.startswith(prefix))
    return {kinds[name.removeprefix(prefix)]: getattr(_Reader, name) for name in names}


_STATEMENTS = _handlers("_do_")
_EXPRESSIONS = _handlers("_see_")


def _logger(node: ast.Call) -> str:
    """Tell the root logger, which belongs to all, from others, and from that of the module itself."""
    match node.args:
        case []:
            return "logging.getLogger()"
        case [ast.Name(id="__name__")]:
            return "logging.getLogger.own()"
    return "logging.getLogger.named()"


def _locale(node: ast.Call) -> str:
    """Tell a question, which has one argument, from an order."""
    return "locale.setlocale()" if len(node.args) + len(node.keywords) > 1 else "locale.getlocale()"


_SPECIAL: dict[str, Callable[[ast.Call], str]] = {"logging.getLogger": _logger, "locale.setlocale": _locale}
"""Functions of which one has to know how they are called."""


def _use(node: ast.stmt | ast.expr, path: str, argument: str | None = None) -> Use:
    return Use(node.lineno, path, argument, node.end_lineno or node.lineno)


def _statement(target: ast.expr) -> ast.stmt:
    return ast.copy_location(ast.Pass(), target)


def _member(path: str | None, attribute: str) -> str | None:
    if path is None:
        return None
    return "cls" if path == "self" and attribute == "__class__" else f"{path}.{attribute}"


def _last(path: str | None) -> str:
    """The last name of a path."""
    return (path or "").removesuffix("()").rpartition(".")[2]


def _last_name(path: str) -> bool:
    return path.endswith("[]") and not path[:-2].endswith(("[]", "()"))


def _parameters(args: ast.arguments) -> Iterator[str]:
    for each in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
        if each is not None:
            yield each.arg


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and any(
        isinstance(part, ast.Name) and part.id == "__name__" for part in [test.left, *test.comparators]
    )


def _is_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def _texts(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if not (isinstance(value, ast.Constant) and value.value is None):
                    yield from _texts(key) if key is not None else ()
                yield from _texts(value)
        case ast.List() | ast.Tuple() | ast.Set():
            for part in node.elts:
                yield from _texts(part)
        case ast.BinOp(left=left, right=right):
            yield from _texts(left)
            yield from _texts(right)
        case ast.Call(args=args, keywords=keywords):
            for part in [*args, *(keyword.value for keyword in keywords)]:
                yield from _texts(part)


def _literal(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else ...
