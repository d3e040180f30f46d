"""The flags of a base-model run and what they mean."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from reprise_train.budget import LengthSchedule
from reprise_train.cli import command_parser
from reprise_train.errors import UsageError
from reprise_train.loop_flags import add_loop_flags, pick_device
from reprise_train.model import ModelConfig

PROGRAM = "python -m reprise_train.base"


@dataclass(frozen=True)
class Settings:
    """One run's choices, checked, but for those of every run (`loop_flags.loop_settings`)."""

    model: ModelConfig
    lengths: LengthSchedule
    batch_tokens: int
    optimiser: str
    lr: float
    weight_decay: float
    held_out_share: float
    seed: int
    test_tokens: int | None
    bf16: bool
    compile: bool
    device: torch.device = torch.device("cpu")
    recycle_layers: int = 0  # of a module trained with the model; 0: none
    recycle_weight: float = 1.0  # of the module's loss
    recycle_vocab: int = 0  # ids that the module can draft; 0: all

    def __post_init__(self) -> None:
        """Raises UsageError for choices that cannot work."""
        longest = self.lengths.longest
        if self.batch_tokens < longest or self.batch_tokens % longest:
            raise UsageError(
                f"--batch-tokens {self.batch_tokens} is not a multiple of {longest}, the longest sequence"
            )
        if self.model.max_positions < longest:
            raise UsageError(
                f"--max-positions {self.model.max_positions} is below {longest}, the longest sequence"
            )
        if self.model.vocab_size > 65536:
            raise UsageError("--vocab-size must be at most 65536: tokens are stored in 16 bits")
        if not 0 < self.held_out_share < 1:
            raise UsageError("--held-out must be between 0 and 1")
        if self.recycle_layers < 0 or self.recycle_weight < 0 or self.recycle_vocab < 0:
            raise UsageError("--recycle-layers, --recycle-weight and --recycle-vocab must be at least 0")
        if self.test_tokens is not None and self.test_tokens < 1:
            raise UsageError("--test-tokens must be at least 1")

    def identity(self) -> dict:
        """What a resumed run must agree on; plain values only."""
        return {
            "model": self.model.to_dict(),
            "held_out_share": self.held_out_share,
            "recycle_layers": self.recycle_layers,
            "recycle_weight": self.recycle_weight,
            "seq_len": ",".join(f"{length}@{share:g}" for length, share in self.lengths.stages),
        }


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        PROGRAM, "Train a small Llama-architecture model and its tokenizer from scratch on one text file."
    )
    add = parser.add_argument_group("input and output").add_argument
    add(
        "--data",
        type=Path,
        required=True,
        metavar="FILE",
        help="UTF-8 text, .txt or .xz; books separated by <|endoftext|>, paragraphs by a blank line",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="checkpoints, log, plot; at the end model/")
    add("--resume", action="store_true", help="continue the run in --out")
    add("--held-out", type=float, default=0.015, help="share of the text, in whole books, only tested on")

    model = ModelConfig()
    add = parser.add_argument_group("model").add_argument
    add("--vocab-size", type=int, default=model.vocab_size, help="entries of the tokenizer, exactly")
    add("--hidden", type=int, default=model.hidden_size, help="width of the residual stream")
    add("--layers", type=int, default=model.num_layers, help="decoder layers")
    add("--heads", type=int, default=model.num_heads, help="query heads")
    add("--kv-heads", type=int, default=model.num_kv_heads, help="key-value heads")
    add("--ffn", type=int, default=model.ffn_size, help="width inside the feed-forward blocks")
    add(
        "--max-positions", type=int, help="longest context served; if not given, the longest sequence trained"
    )

    add = parser.add_argument_group("recycle module, trained jointly").add_argument
    add("--recycle-layers", type=int, default=0, help="decoder layers of the module; 0: no module")
    add("--recycle-weight", type=float, default=1.0, help="of the module's loss beside the model's")
    add("--recycle-vocab", type=int, default=2048, help="most frequent ids that it can draft; 0: all")

    add = parser.add_argument_group("text").add_argument
    add(
        "--seq-len",
        default="256@0,512@0.4,1024@0.8",
        help="a length, or lengths with the share of the budget at which each starts",
    )
    add("--compile", action="store_true", help="use torch.compile, which wants a C++ compiler")
    add("--test-tokens", type=int, metavar="N", help="held-out tokens of the final figures; all if not given")
    add_loop_flags(parser, lr=6e-3, batch_tokens=8192)
    parser.set_defaults(min_lr=3e-5, warmup_steps=60, weight_decay=0.1, log_steps=20, eval_steps=200)
    return parser


def settings_from(options: argparse.Namespace) -> Settings:
    """Raises UsageError for flags that do not fit together."""
    lengths = LengthSchedule.parse(options.seq_len)
    return Settings(
        model=ModelConfig(
            vocab_size=options.vocab_size,
            hidden_size=options.hidden,
            num_layers=options.layers,
            num_heads=options.heads,
            num_kv_heads=options.kv_heads,
            ffn_size=options.ffn,
            max_positions=lengths.longest if options.max_positions is None else options.max_positions,
        ),
        lengths=lengths,
        batch_tokens=options.batch_tokens,
        optimiser=options.optimiser,
        lr=options.lr,
        weight_decay=options.weight_decay,
        held_out_share=options.held_out,
        seed=options.seed,
        test_tokens=options.test_tokens,
        bf16=not options.fp32,
        compile=options.compile,
        device=pick_device(options),
        recycle_layers=options.recycle_layers,
        recycle_weight=options.recycle_weight,
        recycle_vocab=options.recycle_vocab,
    )
