"""Trains the embedded target model from scratch: tokenizer, then a small Llama-architecture decoder.

    python -m reprise_train.base --data tales.txt.xz --out run --minutes 120

The run directory holds the prepared text, `checkpoint.pt`, `log.jsonl`, `loss.svg` and, at the end, `model/`,
the exported Hugging Face directory; with `--recycle-layers` also `recycle/`, a recycle module trained with
the model. A run that was stopped or killed goes on with `--resume`.

Log records (`log.jsonl`): `start` and `resume` carry the settings; `step` has step, tokens, loss (nats a
token, mean since the last record), lr, grad_norm, seq_len, tokens_per_second; `eval` has step, tokens,
loss, perplexity; `end` has what the model card says.
"""

from __future__ import annotations

import math
import sys

from reprise_train import checkpoint
from reprise_train.card import Results, model_card
from reprise_train.cli import exit_on_error
from reprise_train.data import build_corpus, load_corpus, save_corpus
from reprise_train.errors import Stopped
from reprise_train.evaluate import held_out_loss, sample
from reprise_train.export import export, load_exported
from reprise_train.joint import JointModel, export_joint_module
from reprise_train.report import PLOT_NAME, show_progress, write_plot
from reprise_train.settings import build_parser, command_line, settings_from
from reprise_train.tokenizer import end_of_text_id
from reprise_train.trainer import Trainer

_SAMPLE_PROMPT = "Once upon a time there was a poor woodcutter who"
_SAMPLE_TOKENS = 160


def main(arguments: list[str] | None = None) -> None:
    """Parses, trains, exports. Raises UsageError or TrainError; exits with 130 if a signal stops the run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = build_parser().parse_args(arguments)
    settings = settings_from(options)
    checkpoint.check_resume(options.out, options.resume)

    if options.resume:
        trainer = Trainer(settings, load_corpus(options.out), options.out)
        trainer.resume()
    else:
        vocab_size = settings.model.vocab_size
        corpus = build_corpus(options.data, vocab_size, settings.held_out_share, settings.seed)
        trainer = Trainer(settings, corpus, options.out)
        save_corpus(corpus, options.out)
        trainer.log.path.unlink(missing_ok=True)
    trainer.log.add(
        "resume" if options.resume else "start",
        step=trainer.position.step,
        **settings.identity(),
        parameters=trainer.model.num_parameters(),
        train_tokens=len(trainer.corpus.train),
        held_out_tokens=len(trainer.corpus.held_out),
    )
    try:
        trainer.run()
    except Stopped:
        print(f"\nstopped after step {trainer.position.step}; go on with --resume", file=sys.stderr)
        sys.exit(130)
    results = finish(trainer, command_line(arguments))
    show_progress(
        f"{options.out / 'model'}: {results.tokens / 1e6:.1f} M tokens, "
        f"held-out loss {results.held_out_loss:.3f}, perplexity {results.perplexity:.2f}"
    )


def finish(trainer: Trainer, command: str) -> Results:
    """Exports the model, measures what was exported, writes its card. Returns the results."""
    folder = trainer.folder / "model"
    settings, position, corpus = trainer.settings, trainer.position, trainer.corpus
    export(trainer.decoder, corpus.tokenizer, folder, card="")
    model = load_exported(folder)
    window = settings.lengths.longest
    result = held_out_loss(model, corpus.held_out, window, settings.test_tokens)
    tokens_per_byte = len(corpus.held_out) / corpus.facts["held_out_bytes"]
    end = end_of_text_id(corpus.tokenizer)
    results = Results(
        parameters=model.num_parameters(),
        steps=position.step,
        tokens=position.tokens,
        epochs=position.step / trainer.batches.batches_in_epoch,
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
    card = model_card(settings.identity(), corpus.facts, results, command)
    export(trainer.decoder, corpus.tokenizer, folder, card)
    if isinstance(trainer.model, JointModel):
        export_joint_module(
            trainer.model,
            corpus,
            folder,
            trainer.folder / "recycle",
            settings.recycle_vocab,
            window,
            command,
        )
    trainer.log.add("end", step=position.step, **results.to_dict())
    write_plot(trainer.folder / PLOT_NAME, trainer.log.read())
    return results


if __name__ == "__main__":
    exit_on_error(main)
