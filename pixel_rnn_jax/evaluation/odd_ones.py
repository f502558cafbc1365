"""How odd images are: the rank and the p-value of their scores, of which a larger one is odder."""

import numpy as np
from jaxtyping import Float, Integer


def ranks(scores: Float[np.ndarray, " N"]) -> Integer[np.ndarray, " N"]:
    """The rank of each score, from 1 for the largest."""
    result = np.empty(len(scores), int)
    result[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return result


def p_values(scores: Float[np.ndarray, " N"], usual: Float[np.ndarray, " M"]) -> Float[np.ndarray, " N"]:
    """The probability that a usual image has a score at least as large, from M usual ones: (1 + their number) / (1 + M).

    A new image of the usual kind gets a p-value of at most α with probability at most α, whatever the distribution of scores:
    its rank among M + 1 scores is uniform. (A conformal p-value, Vovk, Gammerman & Shafer 2005.)
    """
    at_least = len(usual) - np.searchsorted(np.sort(usual), scores, side="left")
    return (1 + at_least) / (1 + len(usual))
