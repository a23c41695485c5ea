"""Sees expressions: which calls they make, which names they read or hand on, and what they stand for."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from reactorhub.diagnosis.doctor.facts import BODY, Module, Scope, Use, Value
from reactorhub.diagnosis.doctor.kinds import words
from reactorhub.diagnosis.doctor.naming import Naming, last, member

THREADS = words(
    "deferToThread deferToThreadPool callInThread callInThreadWithCallback callMultipleInThread to_thread "
    "run_in_executor run_sync runInteraction runWithConnection submit apply_async Thread Timer Process "
    "start_new_thread sync_to_async"
)
"""Calls that run in a thread, or elsewhere, what they are handed."""

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


class Expressions(Naming):
    """Writes down what expressions do, in the scope at hand."""

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self._scope = Scope(BODY, 1)
        self._prefix = ""
        self._in_class_body = False
        self._in_thread = False
        self._declared: set[str] = set()
        self._tested: set[str] = set()
        self._later: list[Callable[[], None]] = []

    def _block(self, body: Iterable[ast.stmt]) -> None:
        raise NotImplementedError

    def _bind(self, target: ast.expr, path: str | None) -> None:
        raise NotImplementedError

    def _seen(self, node: ast.expr) -> str | None:
        """See an expression with all that is in it, and return its path."""
        handler = _EXPRESSIONS.get(type(node))
        if handler is not None:
            found: str | None = handler(self, node)
            return found
        self._children(node)
        return None

    def _children(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._seen(child)
            elif isinstance(child, ast.stmt):
                self._block([child])
            else:
                self._children(child)

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

    def _see_ifexp(self, node: ast.IfExp) -> str | None:
        self._seen(node.test)
        body, orelse = self._seen(node.body), self._seen(node.orelse)
        return body or orelse

    def _see_boolop(self, node: ast.BoolOp) -> str | None:
        paths = [self._seen(value) for value in node.values]
        return next(filter(None, paths), None)

    def _see_await(self, node: ast.Await) -> None:
        self._seen(node.value)

    def _see_call(self, node: ast.Call) -> str | None:
        func = self._callee(node.func)
        name = last(func) if func else getattr(node.func, "attr", getattr(node.func, "id", ""))
        was, self._in_thread = self._in_thread, self._in_thread or name in THREADS
        for argument in node.args:
            self._seen(argument)
        for keyword in node.keywords:
            self._seen(keyword.value)
        self._in_thread = was
        if func is None:
            return None
        if func == "builtins.getattr" and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant):
            self._scope.any_method = True
        result = self._result(func, node.args)
        if result not in ("super", "cls"):
            path = _SPECIAL[func](node) if func in _SPECIAL else f"{func}()"
            self._scope.calls.append(use_of(node, path, self._argument(node)))
            return path if func in _SPECIAL else result
        return result

    def _callee(self, node: ast.expr) -> str | None:
        """The path of what is called. Where a part of it is a call or an entry itself, that is seen, too."""
        match node:
            case ast.Attribute(value=ast.Name()) | ast.Name():
                return self._path(node)
            case ast.Attribute(value=value, attr=attr):
                inner = self._callee(value)
                return member(inner, attr)
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

    @contextmanager
    def _calls_into(self, calls: list[Use]) -> Iterator[None]:
        before = len(self._scope.calls)
        yield
        calls.extend(self._scope.calls[before:])


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


def use_of(node: ast.stmt | ast.expr, path: str, argument: str | None = None) -> Use:
    return Use(node.lineno, path, argument, node.end_lineno or node.lineno)


def _parameters(args: ast.arguments) -> Iterator[str]:
    for each in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
        if each is not None:
            yield each.arg


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


def handlers(reader: type[Expressions], prefix: str) -> dict[type[ast.AST], Callable[[Any, Any], Any]]:
    """Return a handler for each type of syntax node: the method of its name."""
    kinds = {name.lower(): kind for name, kind in vars(ast).items() if isinstance(kind, type)}
    names = (name for name in vars(reader) if name.startswith(prefix))
    return {kinds[name.removeprefix(prefix)]: getattr(reader, name) for name in names}


_EXPRESSIONS = handlers(Expressions, "_see_")
