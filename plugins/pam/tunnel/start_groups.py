"""In which order the tunnels of a file are opened: those that wait for none together, then the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class OrderBroken(Exception):
    """Some wait for each other; `names` is one such circle, the first name again at its end."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(" after ".join(names))
        self.names = tuple(names)


def start_groups(after: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """
    Groups of names, each as early as those before it allow, names in the order they were given.

    `after` tells for each name which must be open before; all of them must be names themselves.
    Raises OrderBroken for a circle.
    """
    left = dict(after)
    groups: list[tuple[str, ...]] = []
    done: set[str] = set()
    while left:
        group = tuple(name for name, needed in left.items() if done.issuperset(needed))
        if not group:
            raise OrderBroken(_circle(left))
        groups.append(group)
        done.update(group)
        for name in group:
            del left[name]
    return tuple(groups)


def _circle(left: Mapping[str, Sequence[str]]) -> list[str]:
    """Follow what is waited for until a name comes again."""
    way = [next(iter(left))]
    while True:
        following = next(name for name in left[way[-1]] if name in left)
        if following in way:
            return [*way[way.index(following) :], following]
        way.append(following)
