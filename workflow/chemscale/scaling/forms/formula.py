"""A form that its user writes as a formula, such as "E + A*N**-alpha + B*D**-beta".

The formula is read by `ast`, never evaluated as Python, and differentiated exactly by sympy. Names other than those of
variables are parameters. A parameter that only occurs in exponents may have any sign; all others are positive, and are
fitted by their logarithm.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.scaling.forms.terms import Evaluation, Scaling, Term, Variables

VARIABLES = ("x", "N", "D", "U")
FUNCTIONS = ("exp", "log", "sqrt", "min", "max")
LOWEST = 1e-300  # of a loss that a formula gives; below it has no logarithm


def is_formula(name: str) -> bool:
    """Return whether the name of a form is a formula rather than a name."""
    return not re.fullmatch(r"[\w-]+", name.strip())


@dataclass(frozen=True)
class Formula(Term):
    """A whole law as one term: u = log f(θ, x), with f a formula in Python's notation."""

    text: str
    given: tuple[tuple[str, str, tuple[str, ...]], ...] = ()  # name, kind and variables where they do not follow
    tied_inside = True

    @cached_property
    def _body(self) -> ast.expr:
        """The formula as Python reads it; raise ChemscaleError if it is none."""
        source = re.sub(r"^\s*L\s*=", "", self.text).replace("^", "**").strip()
        try:
            return ast.parse(source, mode="eval").body
        except SyntaxError as error:
            raise self._no_formula(f"{error.msg} at character {error.offset}") from None

    def _no_formula(self, detail: str) -> ChemscaleError:
        return ChemscaleError(
            f"form = {self.text!r}: no formula ({detail}); write e.g. E + A*N**-alpha, with the functions "
            f"{', '.join(FUNCTIONS)}"
        )

    @cached_property
    def expression(self) -> Any:
        """The formula as a sympy expression of `variables` and `parameters`."""
        try:
            return _expression(self._body)
        except ValueError as error:
            raise self._no_formula(str(error)) from None

    @cached_property
    def _names(self) -> set[str]:
        called = {id(node.func) for node in ast.walk(self._body) if isinstance(node, ast.Call)}
        return {node.id for node in ast.walk(self._body) if isinstance(node, ast.Name) and id(node) not in called}

    @cached_property
    def variables(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the variables in the formula."""
        names = self._names
        found = tuple(name for name in VARIABLES if name in names)
        if found != ("x",) and found[:2] != ("N", "D"):
            raise ChemscaleError(
                f"form = {self.text!r}: must contain x for a curve, or N and D for a surface; "
                f"it contains {' and '.join(found) or 'neither'}"
            )
        return found

    @cached_property
    def parameters(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the parameters, in the order of the alphabet."""
        found = tuple(sorted(self._names - set(VARIABLES)))
        if not found:
            raise ChemscaleError(f"form = {self.text!r}: has no parameter to fit; write e.g. E + A*x**-alpha")
        return found

    @cached_property
    def kinds(self) -> tuple[str, ...]:  # type: ignore[override]
        """Kind of each parameter: exponent, floor (an irreducible loss) or positive."""
        from sympy import Symbol

        kinds, given = [], {name: kind for name, kind, _ in self.given}
        for name in self.parameters:
            symbol = Symbol(name)
            if name in given:
                kinds.append(given[name])
            elif self._bases.get(name):
                kinds.append("exponent")
            else:
                kinds.append("floor" if self.expression.diff(symbol) == 1 else "positive")
        return tuple(kinds)

    @cached_property
    def linear(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of parameters in which the formula is linear, all at once."""
        from sympy import Symbol

        found: list[Any] = []
        for name, kind in zip(self.parameters, self.kinds, strict=True):
            symbol = Symbol(name)
            slope = self.expression.diff(symbol)
            if kind != "exponent" and not any(slope.has(other) for other in (symbol, *found)):
                found.append(symbol)
        return tuple(symbol.name for symbol in found)

    @cached_property
    def _bases(self) -> dict[str, tuple[str, ...]]:
        """Variables that each parameter is an exponent of; none for one that also occurs elsewhere."""
        from sympy import Dummy, Pow

        bases: dict[str, set[str]] = {}
        for power in self.expression.atoms(Pow):
            for symbol in power.exp.free_symbols:
                bases.setdefault(symbol.name, set()).update(symbol.name for symbol in power.base.free_symbols)
        bare = self.expression.replace(lambda part: isinstance(part, Pow), lambda part: Pow(part.base, Dummy()))
        elsewhere = {symbol.name for symbol in bare.free_symbols}
        return {
            name: tuple(variable for variable in self.variables if variable in of_name)
            for name, of_name in bases.items()
            if name not in elsewhere
        }

    def variables_of(self, exponent: str) -> tuple[str, ...]:
        """Return the variables that an exponent belongs to."""
        return {name: variables for name, _, variables in self.given}.get(exponent) or self._bases[exponent]

    def _units(self, scaling: Scaling) -> np.ndarray:
        """Return by how much θ exceeds each exponent; 0 for a parameter that is fitted by its logarithm."""
        return np.array([
            scaling.unit[self.variables_of(name)[0]] if kind == "exponent" else 0.0
            for name, kind in zip(self.parameters, self.kinds, strict=True)
        ])  # fmt: skip

    @cached_property
    def _compiled(self) -> Callable[..., Any]:
        """A function of θ and the variables that returns f and its first and second derivatives by θ."""
        from sympy import DiracDelta, Integer, Symbol, exp, lambdify

        symbols = [Symbol(f"theta_{name}") for name in self.parameters]
        units = [Symbol(f"unit_{name}") for name in self.parameters]
        inside = [
            theta / unit if kind == "exponent" else exp(theta)
            for theta, unit, kind in zip(symbols, units, self.kinds, strict=True)
        ]
        f = self.expression.subs(
            {Symbol(name): value for name, value in zip(self.parameters, inside, strict=True)}, simultaneous=True
        )
        first = [f.diff(symbol) for symbol in symbols]
        second = [slope.diff(other) for i, slope in enumerate(first) for other in symbols[: i + 1]]
        second = [part.replace(DiracDelta, lambda *_: Integer(0)) for part in second]  # at the kink of min and max
        arguments = [*symbols, *units, *(Symbol(name) for name in self.variables)]
        return lambdify(arguments, [f, *first, *second], "numpy", cse=True)

    def bind(self, scaling: Scaling, x: Variables) -> Callable[[np.ndarray], Evaluation]:
        """Return u = log f, with f at least 1e-300."""
        values = [x[name] for name in self.variables]
        units, count = self._units(scaling), len(self.parameters)

        def evaluate(theta: np.ndarray) -> Evaluation:
            shape = len(theta), len(values[0])
            with np.errstate(all="ignore"):
                found = self._compiled(*theta.T[..., None], *units, *values)
                f, *slopes = (np.nan_to_num(np.broadcast_to(part, shape), posinf=1e300) for part in found)
                inside = f > LOWEST
                safe = np.where(inside, f, 1.0)
                slopes = [np.where(inside, part / safe, 0.0) for part in slopes]
            slope = np.stack(slopes[:count], axis=2)
            bend = np.empty((*shape, count, count))
            rest = iter(slopes[count:])
            for i in range(count):
                for j in range(i + 1):
                    bend[..., i, j] = bend[..., j, i] = next(rest) - slope[..., i] * slope[..., j]
            return np.log(np.maximum(f, LOWEST)), slope, bend

        return evaluate

    def natural(self, scaling: Scaling, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Return the parameters as the formula has them."""
        return {
            name: theta[..., i] / unit if unit else np.exp(theta[..., i])
            for i, (name, unit) in enumerate(zip(self.parameters, self._units(scaling), strict=True))
        }


def _expression(node: ast.AST) -> Any:
    """Return a sympy expression for arithmetic in Python's notation; raise ValueError for anything else."""
    import sympy

    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return sympy.Float(value) if isinstance(value, float) else sympy.Integer(value)
        case ast.Name(id=name):
            return sympy.Symbol(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_expression(operand)
        case ast.BinOp(left=left, op=operator, right=right):
            one, other = _expression(left), _expression(right)
            match operator:
                case ast.Add():
                    return one + other
                case ast.Sub():
                    return one - other
                case ast.Mult():
                    return one * other
                case ast.Div():
                    return one / other
                case ast.Pow():
                    return one**other
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS and arguments:
            function = {"min": sympy.Min, "max": sympy.Max}.get(name) or getattr(sympy, name)
            return function(*map(_expression, arguments))
    raise ValueError(f"{ast.unparse(node)!r} is not arithmetic")
