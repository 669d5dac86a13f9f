"""First word vectors from co-occurrence: what a small pre-training budget cannot afford to learn by gradient.

Positive pointwise mutual information of tokens that stand near each other, factorised: as good as word2vec's vectors
(Levy, Goldberg & Dagan 2015, "Improving Distributional Similarity with Lessons Learned from Word Embeddings"), and made
in two minutes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

_WINDOW = 4
"""Tokens on each side that count as near."""
_SMOOTHING = 0.75
"""Exponent of context counts, so that rare contexts do not outweigh frequent ones (Levy et al., context smoothing)."""
_EIGENVALUE_WEIGHT = 0.5
"""Exponent of the singular values (Levy et al.: 0.5 or 0, never 1)."""
_SEQUENCES_AT_ONCE = 8192


def static_vectors(sequences: NDArray[np.int32], tokens: int, size: int, seed: int) -> NDArray[np.float32]:
    """Vectors of unit variance, (tokens, size), out of packed sequences of token ids, (sequences, length)."""
    counts = sparse.csr_matrix((tokens, tokens), dtype=np.float32)
    for start in range(0, len(sequences), _SEQUENCES_AT_ONCE):
        counts += _near(np.asarray(sequences[start : start + _SEQUENCES_AT_ONCE]), tokens)
    u, s, _ = randomized_svd(_ppmi(counts + counts.T), size, n_iter=3, random_state=seed)
    vectors = u * s**_EIGENVALUE_WEIGHT
    return np.asarray(vectors / vectors.std(), np.float32)


def _near(ids: NDArray[np.int32], tokens: int) -> sparse.csr_matrix:
    counts = sparse.csr_matrix((tokens, tokens), dtype=np.float32)
    for distance in range(1, _WINDOW + 1):
        pair = ids[:, :-distance].ravel(), ids[:, distance:].ravel()
        weight = np.full(len(pair[0]), 1 / distance, np.float32)
        counts += sparse.coo_matrix((weight, pair), (tokens, tokens)).tocsr()
    return counts


def _ppmi(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    table = counts.tocoo()
    rows = np.asarray(counts.sum(axis=1)).ravel()
    contexts = rows**_SMOOTHING
    pmi = np.log(table.data * contexts.sum() / (rows[table.row] * contexts[table.col]))
    kept = pmi > 0
    return sparse.csr_matrix((pmi[kept].astype(np.float32), (table.row[kept], table.col[kept])), counts.shape)
