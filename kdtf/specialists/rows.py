"""Which cases the batches of a training set have, as a function of the place.

Cases are counted over all batches from 0. At place n, case number
floor(n share) of the specialist's own ones comes where that number is about to
grow, else the next of the rest: both kinds are mixed evenly, and where a
training stands tells how many of each it has had.
"""

import functools

import numpy as np

_SHORTEST_ORDER = 4096  # cases; several passes over fewer are drawn at once
_OWN, _REST = 0, 1  # which draws are whose


class Rows:
    """Rows of the data for any stretch of places.

    Both kinds are drawn in passes without replacement. Of the rest no list is
    kept, but the order of the current pass.
    """

    def __init__(
        self, own_rows: np.ndarray, count: int, share: float, seed: int
    ) -> None:
        """Prepares to draw.

        Args:
          own_rows: `[own]` increasing int64 array, rows of the specialist's own
            cases.
          count: int, how many cases there are in all.
          share: float, of the own ones in what is drawn.
          seed: int, not negative.
        """
        self._own_rows = own_rows
        self._rest_before = own_rows - np.arange(len(own_rows))
        self._share = share
        self._own = _Passes(len(own_rows), (seed, _OWN))
        self._rest = _Passes(count - len(own_rows), (seed, _REST))

    def __call__(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows at places `first` to `first + count - 1`.

        Returns:
          Pair of `[count]` arrays: rows, int64, and whether each is one of the
          specialist's own, bool.
        """
        places = np.arange(first, first + count + 1)
        own_before = np.floor(self._share * places).astype(np.int64)
        own = np.diff(own_before) > 0
        rest_before = (places - own_before)[:-1]
        rows = np.empty(count, np.int64)
        rows[own] = self._own_rows[self._own.at(own_before[:-1][own])]
        rest = self._rest.at(rest_before[~own])
        # The row of a number among the rest: as many own ones lie before it.
        before = np.searchsorted(self._rest_before, rest, side="right")
        rows[~own] = rest + before
        return rows, own


class _Passes:
    """Passes over `count` cases, each in an order of its own."""

    def __init__(self, count: int, seed: tuple[int, int]) -> None:
        self._count = count
        self._seed = seed
        self._passes = -(-_SHORTEST_ORDER // count)  # that are drawn at once
        self._order = functools.lru_cache(maxsize=1)(self._draw)

    def at(self, places: np.ndarray) -> np.ndarray:
        """`[n]` int64, the cases at `[n]` places, which are counted from 0."""
        numbers, within = np.divmod(places, self._passes * self._count)
        found = np.empty(len(places), np.int64)
        for number in np.unique(numbers).tolist():
            here = numbers == number
            found[here] = self._order(number)[within[here]]
        return found

    def _draw(self, number: int) -> np.ndarray:
        """`[passes * count]`: one order after the other."""
        rng = np.random.default_rng((*self._seed, number))
        cases = np.arange(
            self._count, dtype=np.min_scalar_type(self._count - 1)
        )
        if self._passes == 1:
            rng.shuffle(cases)
            return cases
        several = np.tile(cases, (self._passes, 1))
        return rng.permuted(several, axis=1).ravel()
