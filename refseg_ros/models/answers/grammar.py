"""Answer grammars as terms with derivatives: step(symbol) is the term for what may still follow.

A symbol is a byte (int) or the name of a special token (str). Terms are immutable and hashable, so that whatever is
computed for one can be kept. J. Brzozowski, "Derivatives of Regular Expressions", 1964; Integer may hand its value on,
so that a box's second corner is bounded by its first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

Symbol = int | str
BYTES = frozenset(range(256))


@dataclass(frozen=True)
class Term(ABC):
    """nullable: the answer may end here."""

    @property
    def nullable(self) -> bool:
        return False

    @abstractmethod
    def step(self, symbol: Symbol) -> Term:
        """What may follow `symbol`; NOTHING when it may not stand here."""

    @abstractmethod
    def first(self) -> frozenset[Symbol]:
        """The symbols that may stand here."""

    @abstractmethod
    def shortest(self) -> tuple[Symbol, ...]:
        """A shortest way to a complete answer."""


@dataclass(frozen=True)
class _Nothing(Term):
    def step(self, symbol: Symbol) -> Term:
        return self

    def first(self) -> frozenset[Symbol]:
        return frozenset()

    def shortest(self) -> tuple[Symbol, ...]:
        raise ValueError("what can never be said has no shortest form")


@dataclass(frozen=True)
class _End(Term):
    @property
    def nullable(self) -> bool:
        return True

    def step(self, symbol: Symbol) -> Term:
        return NOTHING

    def first(self) -> frozenset[Symbol]:
        return frozenset()

    def shortest(self) -> tuple[Symbol, ...]:
        return ()


NOTHING: Term = _Nothing()
END: Term = _End()


@dataclass(frozen=True)
class _Literal(Term):
    symbols: tuple[Symbol, ...]
    at: int = 0

    def step(self, symbol: Symbol) -> Term:
        if symbol != self.symbols[self.at]:
            return NOTHING
        return _Literal(self.symbols, self.at + 1) if self.at + 1 < len(self.symbols) else END

    def first(self) -> frozenset[Symbol]:
        return frozenset([self.symbols[self.at]])

    def shortest(self) -> tuple[Symbol, ...]:
        return self.symbols[self.at :]


def literal(*parts: str | tuple[str]) -> Term:
    """Fixed text; a special token is given as a tuple of its name: literal("mask: ", ("<mask_token>",))."""
    symbols = spelled(*parts)
    return _Literal(symbols) if symbols else END


def spelled(*parts: str | tuple[str]) -> tuple[Symbol, ...]:
    """The symbols of text and special tokens, as in literal()."""
    out: list[Symbol] = []
    for part in parts:
        out.extend(part if isinstance(part, tuple) else part.encode())
    return tuple(out)


@dataclass(frozen=True)
class Text(Term):
    """Any run of bytes without the forbidden ones, of at least `least` bytes."""

    forbidden: frozenset[int]
    least: int = 0

    @property
    def nullable(self) -> bool:
        return self.least == 0

    def step(self, symbol: Symbol) -> Term:
        if not isinstance(symbol, int) or symbol in self.forbidden:
            return NOTHING
        return Text(self.forbidden, self.least - 1) if self.least else self

    def first(self) -> frozenset[Symbol]:
        return BYTES - self.forbidden

    def shortest(self) -> tuple[Symbol, ...]:
        return (max(set(range(32, 127)) - self.forbidden),) * self.least


@dataclass(frozen=True)
class Anything(Term):
    """No form at all: any bytes and any of these special tokens. For measuring what a model says unconstrained."""

    specials: tuple[str, ...]

    @property
    def nullable(self) -> bool:
        return True

    def step(self, symbol: Symbol) -> Term:
        return self if isinstance(symbol, int) or symbol in self.specials else NOTHING

    def first(self) -> frozenset[Symbol]:
        return BYTES | frozenset(self.specials)

    def shortest(self) -> tuple[Symbol, ...]:
        return ()


@dataclass(frozen=True)
class Integer(Term):
    """A decimal number in [low, high] without leading zeros; then(value) is what follows it."""

    low: int
    high: int
    then: Callable[[int], Term]
    digits: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"Integer needs 0 <= low <= high, not {self.low} and {self.high}")

    def _reachable(self, digits: str) -> bool:
        """Some number in the range starts with these digits."""
        if len(digits) > 1 and digits[0] == "0":
            return False
        least = most = int(digits)
        while least <= self.high:
            if most >= self.low:
                return True
            if least == 0:
                return False
            least, most = least * 10, most * 10 + 9
        return False

    @cached_property
    def _rest(self) -> Term:
        """What may follow if the number ends here."""
        ended = self.digits and self.low <= int(self.digits) <= self.high
        return self.then(int(self.digits)) if ended else NOTHING

    @property
    def nullable(self) -> bool:
        return self._rest.nullable

    def step(self, symbol: Symbol) -> Term:
        longer: Term = NOTHING
        if isinstance(symbol, int) and 48 <= symbol <= 57 and self._reachable(self.digits + chr(symbol)):
            longer = Integer(self.low, self.high, self.then, self.digits + chr(symbol))
        return either(longer, self._rest.step(symbol))

    def first(self) -> frozenset[Symbol]:
        more = [48 + d for d in range(10) if self._reachable(self.digits + str(d))]
        return frozenset(more) | self._rest.first()

    def shortest(self) -> tuple[Symbol, ...]:
        if self._rest is not NOTHING:
            return self._rest.shortest()
        low = str(self.low)
        digits = low[len(self.digits) :] if low.startswith(self.digits) else None
        if digits is None:  # an upper prefix of the lowest number that can still be reached
            number = int(self.digits)
            while number < self.low:
                number *= 10
            digits = str(number)[len(self.digits) :]
        return (*digits.encode(), *self.then(int(self.digits + digits)).shortest())


@dataclass(frozen=True)
class _Either(Term):
    options: tuple[Term, ...]

    @property
    def nullable(self) -> bool:
        return any(t.nullable for t in self.options)

    def step(self, symbol: Symbol) -> Term:
        return either(*(t.step(symbol) for t in self.options))

    def first(self) -> frozenset[Symbol]:
        return frozenset().union(*(t.first() for t in self.options))

    def shortest(self) -> tuple[Symbol, ...]:
        return min((t.shortest() for t in self.options), key=len)


def either(*options: Term) -> Term:
    """One of the terms."""
    flat: dict[Term, None] = {}
    for option in options:
        for term in option.options if isinstance(option, _Either) else (option,):
            if term is not NOTHING:
                flat[term] = None
    terms = tuple(flat)
    return NOTHING if not terms else terms[0] if len(terms) == 1 else _Either(terms)


@dataclass(frozen=True)
class _Then(Term):
    head: Term
    tail: Term

    @cached_property
    def nullable(self) -> bool:
        return self.head.nullable and self.tail.nullable

    def step(self, symbol: Symbol) -> Term:
        inside = chain(self.head.step(symbol), self.tail)
        return either(inside, self.tail.step(symbol)) if self.head.nullable else inside

    def first(self) -> frozenset[Symbol]:
        return self.head.first() | self.tail.first() if self.head.nullable else self.head.first()

    def shortest(self) -> tuple[Symbol, ...]:
        return self.head.shortest() + self.tail.shortest()


def chain(*terms: Term) -> Term:
    """The terms, one after the other."""
    result = END
    for term in reversed(terms):
        if term is NOTHING:
            return NOTHING
        result = result if term is END else term if result is END else _Then(term, result)
    return result


def repeated(item: Term, separator: Term, most: int) -> Term:
    """One to `most` items with separators between them."""
    result = item
    for _ in range(most - 1):
        result = chain(item, either(END, chain(separator, result)))
    return result


def accepts(term: Term, symbols: Iterable[Symbol]) -> bool:
    """Whether the whole sequence is an answer."""
    for symbol in symbols:
        term = term.step(symbol)
        if term is NOTHING:
            return False
    return term.nullable


def forced(term: Term) -> tuple[tuple[Symbol, ...], Term]:
    """The symbols that must follow whatever the model says, and what comes after them."""
    run: list[Symbol] = []
    while not term.nullable:
        options = term.first()
        if len(options) != 1:
            break
        (symbol,) = options
        run.append(symbol)
        term = term.step(symbol)
    return tuple(run), term


def texts(symbols: Sequence[Symbol]) -> list[bytes | str]:
    """Runs of bytes, and special tokens by name between them."""
    out: list[bytes | str] = []
    for symbol in symbols:
        if isinstance(symbol, str):
            out.append(symbol)
        elif out and isinstance(out[-1], bytes):
            out[-1] += bytes([symbol])
        else:
            out.append(bytes([symbol]))
    return out
