"""The two ways in which things go wrong: the whole command cannot run, or one item cannot be used."""


class DpedtoolError(Exception):
    """The command cannot go on. The message is one sentence for the user: what, where, and what to do."""

    exit_code = 1


class ParamsError(DpedtoolError):
    """A parameter is unknown, of the wrong type or out of range."""

    exit_code = 2


class Rejection(Exception):  # noqa: N818 - it is an outcome of one item, not an error of the program
    """One photo, pair or window cannot be used; it becomes a row of its table and the run goes on.

    Parameters
    ----------
    reason
        A short word from the documented set of its table, the same for all items that fail in the same way.
    detail
        One sentence for the user, with the figures of this item.

    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
