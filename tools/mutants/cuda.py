"""Breakages of the CUDA backend, for the tests on the emulated device."""

from functools import partial

from mutant import Mutant

BOTH = ("forward", "reverse")
attention = partial(Mutant, tests="cuda_ops_test", cases="attention is,all legs,chunks", schedules=BOTH)
products = partial(Mutant, tests="cuda_ops_test", cases="cuda: products,cuda: a row's", schedules=BOTH)
rows = partial(Mutant, tests="cuda_ops_test", cases="cuda: embed", schedules=BOTH)
draws = partial(Mutant, tests="cuda_draw_test", schedules=BOTH)
engine = partial(Mutant, tests="cuda_engine_test", cases="cuda engine: drawing,cuda engine: like steps")

MUTANTS = [
    attention("partial results are merged last to first", "kernels/cuda/attention.cu",
              "static_cast<std::int64_t>(part) * item.num_rows + r;",
              "static_cast<std::int64_t>(item.num_partials - 1 - part) * item.num_rows + r;"),
    attention("the next tile of keys overwrites one that is still read", "kernels/cuda/attention.cu",
              "    __syncthreads();  // the queries are there; the last tile is no longer read\n", ""),
    attention("a block table is read one entry too far", "kernels/cuda/attention_tile.h",
              "block_ids[position / kv.block_size] * kv.block_size", "block_ids[(position + 1) / kv.block_size] * kv.block_size"),
    attention("a sliding window is one token wider", "kernels/cuda/attention_tile.h",
              "const int first = p.window > 0 ? last - p.window + 1 : 0;",
              "const int first = p.window > 0 ? last - p.window : 0;"),
    attention("keys behind a sequence's end are read", "kernels/cuda/attention_tile.h",
              "if (position < keys && d < kv.head_dim) {", "if (position <= keys && d < kv.head_dim) {"),
    products("rows g + 8 take the scales of rows g + 7", "kernels/cuda/few_rows_matmul.cu",
             "scale_g8 = LoadScale(p, (row + 8) * kGroups + group);", "scale_g8 = LoadScale(p, (row + 7) * kGroups + group);"),
    products("warps read sums that are not there yet", "kernels/cuda/few_rows_matmul.cu", "  __syncthreads();\n", ""),
    products("the low parts of activations are dropped", "kernels/cuda/few_rows_matmul.cu",
             "out[0] = __fadd_rn(acc[tile][j][0], acc[tile][j][1]);  // of the high and the low part",
             "out[0] = acc[tile][j][0];"),
    rows("a drawn token is the one before", "kernels/cuda/rows.cu",
         "if (token < 0) token = p.drawn[-1 - token];", "if (token < 0) token = p.drawn[-token];"),
    draws("of equals the higher token wins", "kernels/cuda/token_order.h", "(0xffffffffu - column);", "column;"),
    draws("noise belongs to the column, not to the token", "kernels/cuda/sample.cu",
          "GumbelOnDevice(draw.noise_stream, TokenOf(p.ids, i))", "GumbelOnDevice(draw.noise_stream, i)"),
    draws("noise belongs to the row, not to the position", "engine/row_draws.cc",
          "NoiseStreamOf(request, sequence.tokens.size() + ahead, kind)", "NoiseStreamOf(request, rows_.size(), kind)"),
    draws("top-p stops one token early", "kernels/cuda/distribution.cu",
          "    while (static_cast<double>(before + weights[bin]) < target) before += weights[bin++];\n".lstrip(),
          "while (bin < kBins - 1 && static_cast<double>(before + weights[bin]) <= target) before += weights[bin++];\n"),
    draws("top-p weighs what min-p and top-k have dropped", "kernels/cuda/distribution.cu",
          "if (key >= cut) total += weight_of(key);", "total += key != 0 ? weight_of(key) : 0;"),
    draws("bins are counted before all are cleared", "kernels/cuda/distribution.cu",
          "      counts[bin] = 0;\n    }\n    __syncthreads();\n", "      counts[bin] = 0;\n    }\n"),
    draws("a negative logit that is repeated becomes likelier", "kernels/cuda/adjust_logits.cu",
          "logit = logit > 0.0f ? logit / by.repetition", "logit = logit > -1e30f ? logit / by.repetition"),
    draws("rows are adjusted while they are copied", "kernels/cuda/adjust_logits.cu", "  __syncthreads();\n", ""),
    draws("the residual is the target's whole law", "kernels/cuda/rejection.cu", "return p > q ? p - q : 0.0f;", "return p + 0.0f * q;"),
    draws("the coin takes the residual's noise", "kernels/cuda/rejection.cu",
          "UniformOnDevice(draw.accept_stream) * q < bound", "UniformOnDevice(draw.noise_stream) * q < bound"),
    draws("a draft is weighed by the target's row", "kernels/cuda/distribution.cu",
          "    scaled.logits = draw.draft_logits;\n", ""),
    draws("ranks count equals", "kernels/cuda/scores.cu", "logits[i] > own ? 1 : 0", "logits[i] >= own ? 1 : 0"),
    draws("all drafts keep one row", "engine/decoding/draft_draws.cc",
          "kept_ + static_cast<std::ptrdiff_t>(index) * num_columns_", "kept_ + static_cast<std::ptrdiff_t>(0 * index) * num_columns_"),
    draws("a warp's results are read before they are there", "kernels/cuda/device_math.h",
          "  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;\n  __syncthreads();\n",
          "  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;\n"),
    engine("a replayed graph reads the arrays of an older step", "kernels/cuda/stream.cc",
           "    Latch(staging_.Send(stream_), \"copy of a step's arrays\");\n    RunCommands();\n",
           "    if (generation_ < 200) Latch(staging_.Send(stream_), \"copy of a step's arrays\");\n    RunCommands();\n"),
    engine("arrays of an older flush are taken for staged", "kernels/cuda/cuda_backend.cc",
           "device_ != nullptr && generation_ == stream.generation() &&", "device_ != nullptr &&"),
    engine("lists of commands that differ share a graph", "kernels/cuda/graph_cache.cc",
           "if (found == by_hash_.end() || !(found->second->commands == commands)) {", "if (found == by_hash_.end()) {"),
]
