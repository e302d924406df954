"""An exact solver of late Connect Four positions in plain Python, to compare recorded values with."""

COLUMNS = (3, 2, 4, 1, 5, 0, 6)  # the center first: good moves early cut more
BOTTOM = [1 << 7 * column for column in range(7)]
CELLS = [0b111111 << 7 * column for column in range(7)]


def move_values(moves):
    """Return {legal column: value for the player to move after these moves}: 1 win, 0 draw, -1 loss."""
    mover, occupied = 0, 0
    for column in moves:
        disc = drop(occupied, column)
        mover, occupied = occupied ^ mover, occupied | disc
    table = {}
    values = {}
    for column in range(7):
        if disc := drop(occupied, column):
            won = has_four(mover | disc)
            values[column] = 1 if won else -negamax(occupied ^ mover, occupied | disc, -1, 1, table)
    return values


def negamax(mover, occupied, alpha, beta, table):
    """Return the value for the player whose discs are `mover`, as far as it lies between alpha and beta."""
    discs = [disc for column in COLUMNS if (disc := drop(occupied, column))]
    if not discs:
        return 0
    if any(has_four(mover | disc) for disc in discs):
        return 1
    other = occupied ^ mover
    threats = [disc for disc in discs if has_four(other | disc)]
    if len(threats) > 1:
        return -1  # only one of them can be blocked
    key = (mover, occupied)
    low, high = table.get(key, (-1, 1))
    alpha, beta = max(alpha, low), min(beta, high)
    if alpha >= beta:
        return alpha
    first, best = alpha, -1
    for disc in threats or discs:
        best = max(best, -negamax(other, occupied | disc, -beta, -alpha, table))
        alpha = max(alpha, best)
        if alpha >= beta:
            break
    # A search that was cut off by beta gives a lower bound, one below alpha an upper bound.
    table[key] = (best if best > first else low, best if best < beta else high)
    return best


def drop(occupied, column):
    """Return the cell that the next disc of a column falls into, as a board; 0 if the column is full."""
    return (occupied + BOTTOM[column]) & CELLS[column]


def has_four(board):
    """Return whether a bitboard has four discs in a row."""
    for shift in (1, 6, 7, 8):
        pairs = board & (board >> shift)
        if pairs & (pairs >> 2 * shift):
            return True
    return False
