"""Trains the embedded target model from scratch: tokenizer, then a small Llama-architecture decoder.

    python -m reprise_train.base --data tales.txt.xz --out run --minutes 120

The run directory holds the prepared text, `checkpoint.pt`, `log.jsonl`, `loss.svg` and, at the end, `model/`,
the exported Hugging Face directory; with `--recycle-layers` also `recycle/`, a recycle module trained with
the model. A run that was stopped or killed goes on with `--resume`.

Log records (`log.jsonl`): `start` and `resume` carry the settings; `step` has step, tokens, loss (nats a
token, mean since the last record), lr, grad_norm, tokens_per_second; `eval` has step, tokens,
loss, perplexity; `end` has what the model card says.
"""

from __future__ import annotations

import math
import sys

from reprise_train import checkpoint
from reprise_train.base_model import load_base
from reprise_train.base_task import BaseTask
from reprise_train.card import Results, model_card
from reprise_train.cli import exit_on_error
from reprise_train.data import build_corpus, load_corpus, save_corpus
from reprise_train.evaluate import held_out_loss, sample
from reprise_train.export import export
from reprise_train.joint import JointModel, export_joint_module
from reprise_train.loop import Loop
from reprise_train.loop_flags import loop_settings, run_loop, shown_command
from reprise_train.report import show_progress
from reprise_train.settings import PROGRAM, build_parser, settings_from
from reprise_train.tokenizer import end_of_text_id

_SAMPLE_PROMPT = "Once upon a time there was a poor woodcutter who"
_SAMPLE_TOKENS = 160


def main(arguments: list[str] | None = None) -> None:
    """Parses, trains, exports. Raises UsageError or TrainError; exits with 130 if a signal stops the run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = build_parser().parse_args(arguments)
    settings = settings_from(options)
    identity = settings.identity()
    loop_settings(options, identity)  # refuses impossible flags before the text is read
    checkpoint.check_resume(options.out, options.resume)

    if options.resume:
        task = BaseTask(settings, load_corpus(options.out))
    else:
        vocab_size = settings.model.vocab_size
        corpus = build_corpus(options.data, vocab_size, settings.held_out_share, settings.seed)
        task = BaseTask(settings, corpus)
        save_corpus(corpus, options.out)
    loop = run_loop(
        task,
        options,
        identity,
        parameters=task.model.num_parameters(),
        train_tokens=len(task.corpus.train),
        held_out_tokens=len(task.corpus.held_out),
    )
    results = finish(loop, shown_command(PROGRAM, arguments))
    show_progress(
        f"{options.out / 'model'}: {results.tokens / 1e6:.1f} M tokens, "
        f"held-out loss {results.held_out_loss:.3f}, perplexity {results.perplexity:.2f}"
    )


def finish(loop: Loop, command: str) -> Results:
    """Exports the model, measures what was exported, writes its card. Returns the results."""
    task, position, folder = loop.task, loop.position, loop.folder / "model"
    settings, corpus = task.settings, task.corpus
    export(task.decoder, corpus.tokenizer, folder, card="")
    model = load_base(folder).decoder()
    window = settings.lengths.longest
    result = held_out_loss(model, corpus.held_out, window, settings.test_tokens)
    tokens_per_byte = len(corpus.held_out) / corpus.facts["held_out_bytes"]
    end = end_of_text_id(corpus.tokenizer)
    results = Results(
        parameters=model.num_parameters(),
        steps=position.step,
        tokens=position.tokens,
        epochs=position.step / task.batches.batches_in_epoch,
        active_seconds=position.active_seconds,
        window=window,
        held_out_tokens=len(corpus.held_out),
        tested_tokens=result.tokens,
        held_out_loss=result.loss,
        perplexity=result.perplexity,
        bits_per_byte=result.loss * tokens_per_byte / math.log(2),
        loss_by_position=result.by_position,
        prompt=_SAMPLE_PROMPT,
        sample=sample(model, corpus.tokenizer, _SAMPLE_PROMPT, _SAMPLE_TOKENS, end, seed=settings.seed),
    )
    card = model_card(loop.settings.identity, corpus.facts, results, command)
    export(task.decoder, corpus.tokenizer, folder, card)
    if isinstance(task.model, JointModel):
        export_joint_module(
            task.model,
            corpus,
            folder,
            loop.folder / "recycle",
            settings.recycle_vocab,
            window,
            command,
        )
    loop.log.add("end", step=position.step, **results.to_dict())
    return results


if __name__ == "__main__":
    exit_on_error(main)
