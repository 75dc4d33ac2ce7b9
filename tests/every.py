"""A test of many small cases that is one test: all are tried, and each that does not hold is shown."""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

Test = Callable[..., None]
BROKEN = (Exception, pytest.fail.Exception, pytest.skip.Exception)


class Offenders(BaseExceptionGroup[BaseException]):
    """The cases that did not hold, each under its name."""

    of: dict[str, BaseException]


def every(
    names: str | Sequence[str], values: Iterable[Any], *, ids: Iterable[str] | Callable[[Any], Any] = reprlib.repr
) -> Callable[[Test], Test]:
    """Called as ``pytest.mark.parametrize`` is, for cases that take no time, no process and no folder of their own.

    Fixtures are made once.  May stand on itself, for all pairs.  A case that skips is an offender.
    """
    wanted = names.replace(" ", "").split(",") if isinstance(names, str) else list(names)
    cases = list(values)
    named = [str(ids(case)) for case in cases] if callable(ids) else list(ids)
    assert len(named) == len(cases) > 0, f"{names}: {len(cases)} cases, {len(named)} names"

    def over(test: Test) -> Test:
        assert not inspect.iscoroutinefunction(test)

        @functools.wraps(test)
        def all_of_them(**fixtures: Any) -> None:
            failed: dict[str, BaseException] = {}
            for number, (name, case) in enumerate(zip(named, cases, strict=True)):
                given = dict(zip(wanted, case if len(wanted) > 1 else [case], strict=True))
                name = name if named.count(name) == 1 else f"{name} (number {number})"
                try:
                    test(**given, **fixtures)
                except Offenders as inner:
                    failed |= {f"{name}, {within}": error for within, error in inner.of.items()}
                except BROKEN as error:
                    error.add_note(f"with {', '.join(wanted)} = {name}")
                    failed[name] = error
            if failed:
                found = Offenders(f"{len(failed)} do not hold: {'; '.join(failed)}", list(failed.values()))
                found.of = failed
                raise found

        kept = [
            p.replace(kind=p.KEYWORD_ONLY) for n, p in inspect.signature(test).parameters.items() if n not in wanted
        ]
        all_of_them.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]
        return all_of_them

    return over
