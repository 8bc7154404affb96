"""The number of requests at once that servers do best with, found while they work.

A vLLM server batches what runs at the same time: its throughput grows with the number of requests until
its batch is full, and then only the waiting grows. So the level rises by half for as long as throughput rises
with it; chance must not end that, so that a measurement that brings no more is made once more. Then it stays,
and looks around from time to time, since load changes: a higher level is kept if it brings more, a lower one
if it brings as much with less waiting. When a server says that it has too much (429, 503), the level falls at
once.

Pure: the clock's times come as arguments.
"""

from __future__ import annotations

from math import ceil

START = 16
"""Requests at once, per server, to begin with: a small batch, or the smallest and what waits for it."""
MOST = 512
"""Requests at once, per server, at the most."""
_STEP = 1.5
_STEP_BACK = 1.2  # a look that is not worth it costs little
_GAIN = 1.03  # throughput that a higher level must bring
_LOSS = 0.98  # throughput that a lower level may cost
_FALL = 0.7  # of the level, after an overload; of the throughput, for a change of the load
_PATIENCE = 6  # measurements at one level before the next look around
_WINDOW = 48  # completions that a measurement takes, at the least: small ones measure chance


class Level:
    """The number of requests that may run at once.

    Args:
        servers: how many servers share them.
        most: the highest level. Default: 512 per server.
        fixed: this level, whatever happens.
        start: the level to begin with, per server.
    """

    def __init__(
        self, servers: int = 1, *, most: int | None = None, fixed: int | None = None, start: int = START
    ) -> None:
        self._most = most or MOST * servers
        self._fixed = fixed
        self.now: int = fixed or min(self._most, start * servers)
        self._base = self.now  # the level that others are compared with
        self._rate = 0.0  # throughput there
        self._is_rising = True
        self._is_doubted = False  # that the rise is at its end, which is measured once more
        self._looks_up = True  # where to look next
        self._measurements = 0  # at the base, since the last look
        self._count = 0
        self._skipped = 0  # completions of requests that began at another level
        self._has_fallen = False  # to this level: one burst of refusals is one overload
        self._began: float | None = None

    def done(self, time: float, *, overloaded: bool = False) -> None:
        """Take note that a request ended.

        Args:
            time: seconds, of any clock that runs evenly.
            overloaded: whether a server had too much to do for it.
        """
        if self._fixed is not None:
            return
        if self._skipped:
            self._skipped -= 1
            if overloaded and not self._has_fallen:
                self._fall(time)
            elif not self._skipped:
                self._began = time
            return
        if overloaded:
            self._fall(time)
            return
        if self._began is None:
            self._began = time
            return
        self._count += 1
        if self._count < max(_WINDOW, 2 * self.now):
            return
        if time > self._began:
            self._measured(self._count / (time - self._began))
        self._count, self._began = 0, time

    def rest(self) -> None:
        """Take note that nothing runs for a while, of which the next measurement must know nothing."""
        self._count, self._skipped, self._began = 0, 0, None

    def _measured(self, rate: float) -> None:
        if self._is_rising and not self._is_doubted and rate <= self._rate * _GAIN:
            self._is_doubted = True
            return
        self._is_doubted = False
        if self._is_rising or self.now > self._base:
            is_better = rate > self._rate * _GAIN
        elif self.now < self._base:
            is_better = rate >= self._rate * _LOSS
        else:
            self._stay(rate)
            return
        if is_better:
            self._base, self._rate = self.now, rate
        self._is_rising = self._is_rising and is_better and self.now < self._most
        if self._is_rising:
            self._move(self._higher)
        else:
            self._measurements = 0
            self._move(self._base)

    def _stay(self, rate: float) -> None:
        """Measure the base once more, or look around."""
        if rate < self._rate * _FALL:
            self._rate, self._measurements = rate, 0
        self._measurements += 1
        self._rate += (rate - self._rate) / self._measurements
        if self._measurements >= _PATIENCE:
            up, self._looks_up = self._looks_up, not self._looks_up
            self._move(self._higher if up else max(1, int(self.now / _STEP_BACK)))

    @property
    def _higher(self) -> int:
        return min(self._most, ceil(self.now * _STEP))

    def _fall(self, time: float) -> None:
        self._base = max(1, int(self.now * _FALL))
        self._rate, self._is_rising, self._looks_up, self._measurements = 0.0, False, False, 0
        self._is_doubted = False
        self._move(self._base)
        self._has_fallen = True
        self._count, self._began = 0, time

    def _move(self, level: int) -> None:
        self._skipped = self.now if level != self.now else 0
        self._has_fallen = False
        self.now = level
