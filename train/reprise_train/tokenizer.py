"""The byte-level BPE tokenizer of the embedded models: GPT-2's pre-tokenisation, one special token."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from reprise_train.errors import TrainError, UsageError

END_OF_TEXT = "<|endoftext|>"
"""Begins and ends every document: it is both BOS and EOS, and always id 0."""

_BYTES = 256


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learns a tokenizer of exactly `vocab_size` entries: END_OF_TEXT, 256 bytes, then merges by frequency.

    Encoding adds no special token by itself: whoever wants BOS puts it there, as the chat template does.
    Raises UsageError when vocab_size has no room for the bytes, TrainError when the texts hold too few
    different words for that many merges.
    """
    if vocab_size < _BYTES + 1:
        raise UsageError(f"a byte-level vocabulary needs at least {_BYTES + 1} entries, not {vocab_size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learnt = tokenizer.get_vocab_size()
    if learnt != vocab_size:
        raise TrainError(
            f"the text yields only {learnt} of {vocab_size} vocabulary entries: "
            "give more text or a smaller --vocab-size"
        )
    return tokenizer


def end_of_text_id(tokenizer: Tokenizer) -> int:
    """The id of END_OF_TEXT. Raises TrainError when the tokenizer does not have it."""
    token = tokenizer.token_to_id(END_OF_TEXT)
    if token is None:
        raise TrainError(f"the tokenizer has no {END_OF_TEXT} token")
    return token
