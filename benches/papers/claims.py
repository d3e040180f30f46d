"""What the three papers claim, and what is done about each claim here. Our figures are in docs/results/papers.json."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Claim:
    id: str     # as in the page
    paper: str  # the claim and its setting
    ours: str   # what is measured instead, or why nothing is
    word: str   # how far the two can be set side by side


RECYCLE = "RecycleGPT (arXiv 2308.03421)"
DISTIL = "DistillSpec (arXiv 2310.08461)"
SLICE = "SliceGPT (arXiv 2401.15024)"
OWN = "Of our own"

CLAIMS = {
    RECYCLE: [
        Claim("R1", "1.40× with a KV cache: 13.4 against 18.7 ms a token; 1.3 B model, module of six layers, "
              "unverified, batch 1, lengths 64 to 1,024",
              "SmolLM2-135M at 4 bits on two CPU cores, module of one layer, one stream, greedy",
              "A model a tenth of the size, and a module that is 4 of 135 M parameters instead of 15 %: a draft costs "
              "less, and guesses less well."),
        Claim("R1v", "(not in the paper: verified, so that the output is the model's own)", "the same, verified",
              "Acceptance is the module's weak side: it was trained on 1.2 M tokens, the paper's with its model from "
              "scratch. The first 64 tokens of an answer are the hardest: of answers up to 256 tokens 49 % stood."),
        Claim("R2", "1.34× without a KV cache", "–", "Not measured: the engine has no mode without a cache."),
        Claim("R3", "15 % more parameters", "parameters of the module over those of the model", ""),
        Claim("R4", "no loss of quality (MMLU, common sense), unverified",
              "verified decoding has to give the same tokens, bit for bit; the share of the module's guesses that are "
              "the model's own, on held-out answers",
              "Benchmarks of knowledge say nothing about a model of 135 M parameters; they were not run, and what "
              "unverified text is worth was not measured."),
        Claim("R5", "one full pass for two tokens", "tokens a pass, unverified and verified",
              "Below 2: the pass over the prompt gives one token, and the last one may."),
        Claim("R6", "module and model trained jointly from scratch, on the sum of both cross-entropies",
              "the embedded family, trained so: how often the module's best token is the model's own",
              "A module for the finished model, which learnt from that model's own text alone, ends level, at 90.4 %."),
    ],
    DISTIL: [
        Claim("D1", "+10 to 45 % speed over the same draft before distillation (XSum, GSM8K, CNN/DM, WMT), T5, at "
              "temperature 0 and 1",
              "tokens a target pass (block efficiency) at 4 drafted, against the same draft trained by cross-entropy on "
              "the target's text for as many tokens; the embedded family",
              "The paper's drafts before distillation are fine-tuned on the task's text; ours on the target's own, which "
              "is the stronger baseline. The target has 5.5 M parameters. [distillspec.md](distillspec.md) has what "
              "was tried, what changes when a third of the text is greedy, and drafts for SmolLM2, one seed: "
              "+10.1 % and +11.8 % by one draft, +11.4 % and +13.1 % by one for each temperature."),
        Claim("D2", "26 % on 23 tasks that were not distilled on (also 1.93 → 2.21 and 1.78 → 2.02)",
              "the same on categories held out by name: five whole books, WikiText-2, GSM8K questions",
              "Other tasks than the paper's; a teller of tales continues questions as tales. SmolLM2's draft on BIG-Bench "
              "Hard, 13 tasks, one seed: +11.2 % and +11.6 %, no task below zero ([distillspec.md](distillspec.md))."),
        Claim("D3", "+7 to 37 % with a larger target than was distilled from", "–",
              "Not measured: one target of each kind."),
        Claim("D4", "6 to 10× latency with little loss, target distilled too", "–", "Not measured."),
        Claim("D5", "lossy verification trades quality for latency",
              "speed by lenience, recycled decoding of SmolLM2",
              "Speed only; the quality of lenient text was not measured."),
    ],
    SLICE: [
        Claim("S1", "25 % slicing keeps 90 to 99 % of zero-shot accuracy (Llama-2-70B, OPT-66B, Phi-2)",
              "perplexity of SmolLM2-135M on WikiText-2 (tokenised copy), dense, sliced, and recovered by LoRA from "
              "the dense model",
              "A small model of the Llama family slices badly, as the paper's appendix says of its own; no large model "
              "was at hand. See slicing.md."),
        Claim("S2", "OPT-125M at 20 %: 34.26 perplexity, 147,250,880 parameters", "parameter counts, from shapes",
              "Equal; no OPT weights were at hand, so no perplexity."),
        Claim("S3", "at 25 %, 16–17 % (RTX 6000) and 11–13 % (A100) faster at batch 1",
              "one step of the Llama-2-7B shape, 4 bits, random weights, positions 128 to 255, two CPU cores",
              "The ceiling is the ratio of the bytes that a step reads, keys and values among them."),
        Claim("S4", "total compute 64 % and 66 % of the dense 70 B model's", "–", "Not measured: no such model fits."),
        Claim("S5", "1.55× throughput at 25 % on an H100", "–", "Not measured: needs a GPU."),
        Claim("S6", "Phi-2 at 25 %: 2.2 B parameters, with fine-tuning 90.3 % of its accuracy",
              "Phi-2 at 20 %: 2,391,772,160 parameters, as the authors' tests say",
              "Equal; recovery fine-tuning was measured on SmolLM2, see S1."),
        Claim("S7", "slicing takes 1 to 3 hours on a GPU, up to 70 B", "CPU time for SmolLM2-135M, 112 × 2,048 tokens",
              "A five-hundredth of the size."),
        Claim("S8", "better perplexity than SparseGPT 2:4 at 25 %", "–", "Cited, not reproduced."),
    ],
    OWN: [
        Claim("C1", "a recycle module trained for a sliced model keeps 0.9 of the product of the two speed-ups",
              "the embedded model sliced by 25 %, one greedy stream; token ids compared with plain decoding's",
              "The goal is reached. Both modules learnt from half a million tokens of their model's own text at "
              "temperatures 0, 0.8 and 1, the dense model's after it had been trained with its model. The model is so "
              "small that slicing alone gains little."),
        Claim("C2", "auto is never worse than plain", "see decoding.md", ""),
    ],
}
