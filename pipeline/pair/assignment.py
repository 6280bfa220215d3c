"""The assignment of rows to columns with the greatest total weight; rows and columns may stay without a partner."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def best_partners(weights: Weights) -> dict[int, int]:
    """Return row to column of the assignment with the greatest total weight.

    Parameters
    ----------
    weights
        (N, M). Only a row and a column of positive weight become partners.

    Notes
    -----
    The Hungarian method with shortest augmenting paths (Kuhn 1955, doi:10.1002/nav.3800020109; Jonker and Volgenant
    1987, doi:10.1007/BF02278710), in O(N^2 (N + M)). Each row has an extra column of weight 0, so that it can stay
    alone.

    """
    rows, columns = weights.shape
    costs = np.hstack([-np.maximum(weights, 0), np.zeros((rows, rows))])
    row_of = np.full(rows + columns, -1)
    row_price, column_price = np.zeros(rows), np.zeros(rows + columns)
    for row in range(rows):
        _augment(costs, row, row_of, row_price, column_price)
    return {int(row_of[column]): int(column) for column in range(columns) if _is_worth(weights, row_of, column)}


def _is_worth(weights: Weights, row_of: Indices, column: int) -> bool:
    return row_of[column] >= 0 and bool(weights[row_of[column], column] > 0)


def _augment(costs: Weights, start: int, row_of: Indices, row_price: Weights, column_price: Weights) -> None:
    """Give `start` a column by the cheapest chain of rows that change columns; prices keep all reduced costs >= 0."""
    distance = np.full(costs.shape[1], np.inf)
    came_from = np.full(costs.shape[1], -1)
    is_done = np.zeros(costs.shape[1], bool)
    row, column, so_far = start, -1, 0.0
    while row >= 0:
        through = so_far + costs[row] - row_price[row] - column_price
        nearer = ~is_done & (through < distance)
        distance[nearer], came_from[nearer] = through[nearer], column
        column = int(np.argmin(np.where(is_done, np.inf, distance)))
        so_far, row = float(distance[column]), int(row_of[column])
        is_done[column] = True
    settled = np.flatnonzero(is_done)
    reached = row_of[settled] >= 0
    row_price[row_of[settled[reached]]] += so_far - distance[settled[reached]]
    column_price[settled] += distance[settled] - so_far
    row_price[start] += so_far
    while column >= 0:
        before = int(came_from[column])
        row_of[column] = row_of[before] if before >= 0 else start
        column = before
