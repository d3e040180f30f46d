// reprise bench: engine speed without the network, beside the machine's own memory bandwidth.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <random>
#include <thread>

#include "cli/bandwidth.h"
#include "cli/command.h"
#include "cli/session.h"
#include "engine/engine.h"

namespace reprise {
namespace {

struct BenchFlags {
  ModelFlags model;
  EngineFlags engine;
  std::string decoding = "auto";
  int prompt_tokens = 128;
  int gen_tokens = 128;
  int repeats = 3;
  std::string concurrency = "1,2,4,8";
  bool json = false;
};

struct Row {
  int concurrency = 0;
  double prefill_tokens_per_second = 0;
  double decode_tokens_per_second = 0;  // all streams together, in the steps that only decode
  double total_tokens_per_second = 0;   // prompts and completions over the whole run
  double ms_per_step = 0;
  double tokens_per_pass = 0;
  double weight_bytes_per_second = 0;  // weights read once a step
  double bandwidth = 0;                // plain reading, measured between the runs
};

double Seconds(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

// Times the steps that only decode, each from the end of the step before it: what happens between two steps
// counts. Read while the engine is idle.
class DecodeTimer final : public EngineObserver {
 public:
  void OnStep(const StepStats& step) override {
    const TimePoint now = Clock::now();
    if (step.num_prompt_tokens == 0) {
      steps += 1;
      seconds += Seconds(last_step_, now);
      for (const StepStats::Emission& emission : step.emissions) tokens += emission.num_tokens;
    }
    last_step_ = now;
  }
  void OnFinished(const Request&, const RequestStats&, FinishReason) override {}

  int steps = 0;
  int tokens = 0;
  double seconds = 0;

 private:
  TimePoint last_step_{};  // a run begins with prefill: set before it is used
};

Result<std::vector<int>> ParseList(const std::string& text) {
  std::vector<int> values;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    int value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 1 || value > 4096 || (next != end && *next != ',')) {
      return InvalidArgument("--concurrency: '" + text +
                             "' is not a list of numbers from 1 to 4096, like 1,2,4,8");
    }
    values.push_back(value);
    at = next == end ? end : next + 1;
  }
  if (values.empty()) return InvalidArgument("--concurrency is empty");
  return values;
}

std::vector<std::shared_ptr<Request>> MakeRequests(const BenchFlags& flags, Engine& engine, int vocab_size,
                                                   int count, std::mt19937& random) {
  std::vector<std::shared_ptr<Request>> requests;
  for (int i = 0; i < count; ++i) {
    auto request = std::make_shared<Request>();
    request->id = request->group = engine.NextRequestId();
    for (int t = 0; t < flags.prompt_tokens; ++t) {
      request->prompt.push_back(static_cast<TokenId>(random() % static_cast<unsigned>(vocab_size)));
    }
    request->max_tokens = flags.gen_tokens;
    request->sampling.temperature = 0;
    request->arrival = Clock::now();
    requests.push_back(std::move(request));
  }
  return requests;
}

Result<Row> RunOnce(const BenchFlags& flags, Engine& engine, const Model& model, DecodeTimer& decode,
                    int concurrency, std::mt19937& random) {
  decode = DecodeTimer();
  const TimePoint start = Clock::now();
  ASSIGN_OR_RETURN(const auto streams, engine.Submit(MakeRequests(flags, engine, model.config().vocab_size,
                                                                  concurrency, random)));
  TimePoint last_first{}, last{};
  int passes = 0, generated = 0;
  for (const auto& stream : streams) {
    for (bool finished = false; !finished;) {
      stream->Wait();
      const TokenBatch batch = stream->Take();
      finished = batch.finished;
      if (!finished) continue;
      RETURN_IF_ERROR(batch.status);
      last_first = std::max(last_first, batch.stats.first_token);
      last = std::max(last, batch.stats.finished);
      passes += batch.stats.num_passes;
      generated += batch.stats.num_generated_tokens;
    }
  }
  // Streams end a moment before the engine has told its observer about the step.
  while (!engine.state().idle) std::this_thread::yield();
  Row row;
  row.concurrency = concurrency;
  row.prefill_tokens_per_second = concurrency * flags.prompt_tokens / Seconds(start, last_first);
  row.total_tokens_per_second = (concurrency * flags.prompt_tokens + generated) / Seconds(start, last);
  if (decode.steps > 0) {
    row.ms_per_step = 1e3 * decode.seconds / decode.steps;
    row.decode_tokens_per_second = decode.tokens / decode.seconds;
    row.weight_bytes_per_second =
        static_cast<double>(model.decoder().weight_bytes()) * decode.steps / decode.seconds;
  }
  row.tokens_per_pass = static_cast<double>(generated) / passes;
  return row;
}

void PrintRow(const Row& row, const BenchFlags& flags, const EngineInfo& info, const Model& model) {
  const double share = row.bandwidth > 0 ? row.weight_bytes_per_second / row.bandwidth : 0;
  if (flags.json) {
    std::printf(
        "{\"model\": \"%s\", \"backend\": \"%s\", \"concurrency\": %d, \"prompt_tokens\": %d, "
        "\"gen_tokens\": %d, "
        "\"prefill_tokens_per_s\": %.1f, \"decode_tokens_per_s\": %.1f, \"total_tokens_per_s\": %.1f, "
        "\"ms_per_step\": %.4f, "
        "\"tokens_per_pass\": %.3f, \"weights_gb_per_s\": %.2f, \"bandwidth_gb_per_s\": %.2f, \"share\": "
        "%.3f}\n",
        model.name().c_str(), info.backend.c_str(), row.concurrency, flags.prompt_tokens, flags.gen_tokens,
        row.prefill_tokens_per_second, row.decode_tokens_per_second, row.total_tokens_per_second,
        row.ms_per_step, row.tokens_per_pass, row.weight_bytes_per_second / 1e9, row.bandwidth / 1e9, share);
  } else {
    std::printf("%11d %11.0f %13.1f %10.3f %11.2f %9.1f %9.1f %7.0f %%\n", row.concurrency,
                row.prefill_tokens_per_second, row.decode_tokens_per_second, row.ms_per_step,
                row.tokens_per_pass, row.weight_bytes_per_second / 1e9, row.bandwidth / 1e9, 100 * share);
  }
  std::fflush(stdout);
}

Status Bench(const BenchFlags& flags) {
  ASSIGN_OR_RETURN(const std::vector<int> levels, ParseList(flags.concurrency));
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadModel(flags.model));
  ASSIGN_OR_RETURN(EngineOptions options, flags.engine.Options());
  RETURN_IF_ERROR(SizeKvCache(*loaded.backend, flags.engine, &options));
  options.enable_prefix_cache = false;
  options.max_num_seqs = std::max(options.max_num_seqs, *std::max_element(levels.begin(), levels.end()));
  options.max_num_batched_tokens = std::max(options.max_num_batched_tokens, options.max_num_seqs);
  options.max_queued_requests = options.max_num_seqs;
  DecodeTimer decode;
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   Engine::Create(*loaded.backend, loaded.models(), options, &decode));
  ASSIGN_OR_RETURN(BandwidthReader reader, BandwidthReader::Create(*loaded.backend, std::size_t{512} << 20));
  std::mt19937 random(1);
  if (!flags.json) {
    std::printf("%s on %s, %d threads; prompt %d, generate %d, best of %d\n", loaded.model().name().c_str(),
                engine->info().backend.c_str(), loaded.backend->num_threads(), flags.prompt_tokens,
                flags.gen_tokens, flags.repeats);
    std::printf(
        "concurrency prefill t/s decode tok/s   ms/step tokens/pass weights GB/s memory GB/s share\n");
  }
  for (int level : levels) {
    Row best;
    // The first run touches memory for the first time; it is not counted.
    RETURN_IF_ERROR(RunOnce(flags, *engine, loaded.model(), decode, level, random).status());
    for (int repeat = 0; repeat < flags.repeats; ++repeat) {
      ASSIGN_OR_RETURN(Row row, RunOnce(flags, *engine, loaded.model(), decode, level, random));
      row.bandwidth = reader.Measure();
      const double bandwidth = std::max(best.bandwidth, row.bandwidth);
      const double prefill = std::max(best.prefill_tokens_per_second, row.prefill_tokens_per_second);
      if (row.decode_tokens_per_second >= best.decode_tokens_per_second) best = row;
      best.bandwidth = bandwidth;
      best.prefill_tokens_per_second = prefill;
    }
    PrintRow(best, flags, engine->info(), loaded.model());
  }
  return OkStatus();
}

}  // namespace

int RunBench(const std::vector<std::string>& arguments) {
  BenchFlags values;
  Flags flags("bench",
              "Measure the engine without the network: prefill and greedy decoding of random prompts");
  values.model.Declare(&flags);
  flags.Choice("decoding", "Decoding method", &values.decoding, {"auto", "plain"});
  flags.Integer("prompt-tokens", "Tokens of each prompt", &values.prompt_tokens, 1, 1 << 20);
  flags.Integer("gen-tokens", "Tokens generated by each stream", &values.gen_tokens, 2, 1 << 20);
  flags.Text("concurrency", "LIST", "Streams at a time, e.g. 1,2,4,8", &values.concurrency);
  flags.Integer("repeats", "Runs of each; the best is printed", &values.repeats, 1, 1000);
  flags.Switch("json", "One JSON object a row", &values.json);
  values.engine.Declare(&flags);
  int exit_code = kExitOk;
  if (!ParseFlags(&flags, arguments, &exit_code)) return exit_code;
  const Status status = Bench(values);
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace reprise
