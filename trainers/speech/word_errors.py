"""Word error rate, and the errors of each utterance, by jiwer."""

import jiwer
import numpy as np

_KINDS = ("substitutions", "deletions", "insertions")


def count(references, hypotheses):
    """Errors by the fewest edits that turn what was said into what was heard.

    Args:
      references: sequence with a sequence of words for each utterance, what was
        said; one word at least.
      hypotheses: the same of what was heard, which may be nothing.

    Returns:
      Dict: "rate", errors by words said, a float; "errors" and "words",
      `[utterances]` int arrays, for tests on paired utterances; and the total
      "substitutions", "deletions" and "insertions", ints.

    Raises:
      ValueError: if there are not as many of both, or nothing was said.

    Example:
      >>> word_errors.count([("one", "two")], [("one",)])["rate"]
      0.5
    """
    if len(references) != len(hypotheses) or not all(map(len, references)):
        raise ValueError(
            "`references` must be as many as `hypotheses`, of a word at least "
            f"each. Received: {len(references)} and {len(hypotheses)}, "
            f"{sum(not len(r) for r in references)} of them without a word"
        )
    words = np.array([len(reference) for reference in references])
    if not len(words):
        raise ValueError("`references` must hold one. Received: none")
    found = jiwer.process_words(
        [" ".join(reference) for reference in references],
        [" ".join(hypothesis) for hypothesis in hypotheses],
    )
    errors = np.array([_errors(chunks) for chunks in found.alignments])
    return {
        "rate": float(errors.sum() / words.sum()),
        "errors": errors,
        "words": words,
        **{kind: getattr(found, kind) for kind in _KINDS},
    }


def _errors(chunks):
    """The edits of an utterance, from jiwer's runs of one kind each."""
    return sum(
        max(
            chunk.ref_end_idx - chunk.ref_start_idx,
            chunk.hyp_end_idx - chunk.hyp_start_idx,
        )
        for chunk in chunks
        if chunk.type != "equal"
    )
