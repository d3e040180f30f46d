// Decoding methods side by side on one engine and real prompts, in interleaved rounds.
//
//   bench_decoding --model PATH --prompts FILE.jsonl [--recycle DIR] [--draft PATH] [--methods LIST]
//                  [--streams LIST] [--categories LIST|all] [--limit N] [--half 0|1] [--max-tokens N]
//                  [--rounds N]
//                  [--temperature T] [--seeded 1] [--threads N]
//
// A method is plain, auto, recycle:K, draft:K, lookup:K or unverified (recycle with lenience 0). A line of
// the file has "category" and "turns" or "prompt". --half takes every second prompt, beginning with the first
// or the second. Prints one JSON row per method, number of streams and round; every round runs all methods,
// each time in another order. A round that is not counted goes first.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/engine_core.h"
#include "models/family.h"

namespace reprise::bench {
namespace {

struct Options {
  std::map<std::string, std::string> values = {
      {"model", ""},    {"recycle", ""},  {"draft", ""},         {"prompts", ""}, {"methods", "plain,auto"},
      {"streams", "1"}, {"limit", "0"},   {"max-tokens", "96"},  {"rounds", "3"}, {"temperature", "0"},
      {"seeded", "0"},  {"threads", "0"}, {"categories", "all"}, {"half", ""}};

  const std::string& Text(const char* name) const { return values.at(name); }
  int Number(const char* name) const { return std::atoi(values.at(name).c_str()); }
  std::vector<std::string> List(const char* name) const {
    std::vector<std::string> items;
    std::stringstream stream(values.at(name));
    for (std::string item; std::getline(stream, item, ',');) items.push_back(item);
    return items;
  }
};

struct Method {
  std::string name;
  DecodingMethod decoding = DecodingMethod::kAuto;
  std::optional<ProposerKind> proposer;
  std::optional<int> length;
  float lenience = 1.0f;
};

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "bench_decoding: %s\n", message.c_str());
  std::exit(1);
}

template <typename T>
T Take(Result<T> result) {
  if (!result.ok()) Fail(result.status().message());
  return std::move(result).value();
}

Method ParseMethod(const std::string& name) {
  const std::string kind = name.substr(0, name.find(':'));
  Method method{name, DecodingMethod::kAuto, std::nullopt, std::nullopt};
  if (name != kind) method.length = std::atoi(name.c_str() + kind.size() + 1);
  if (kind == "plain") {
    method.decoding = DecodingMethod::kPlain;
  } else if (kind == "recycle") {
    method.decoding = DecodingMethod::kRecycle;
  } else if (kind == "unverified") {
    method.decoding = DecodingMethod::kRecycle;
    method.lenience = 0.0f;
  } else if (kind == "draft" || kind == "lookup") {
    method.decoding = DecodingMethod::kSpeculative;
    method.proposer = kind == "draft" ? ProposerKind::kDraftModel : ProposerKind::kPromptLookup;
  } else if (kind != "auto") {
    Fail("unknown method '" + name + "'");
  }
  return method;
}

std::vector<TokenId> Encode(const Model& model, const std::string& text) {
  if (model.chat_template() == nullptr) return Take(model.tokenizer().Encode(text));
  ChatTemplateInput input;
  input.messages.push_back({"user", text, ""});
  input.now = std::time(nullptr);
  const std::string rendered = Take(model.chat_template()->Render(input));
  return Take(
      model.tokenizer().Encode(rendered, {.add_special_tokens = false, .parse_special_tokens = true}));
}

std::vector<std::vector<TokenId>> ReadPrompts(const Options& options, const Model& model, int max_tokens,
                                              int max_model_len) {
  std::ifstream file(options.Text("prompts"));
  if (!file) Fail("cannot read " + options.Text("prompts"));
  const std::vector<std::string> categories = options.List("categories");
  std::vector<std::vector<TokenId>> prompts;
  int index = 0;
  for (std::string line; std::getline(file, line);) {
    const auto object = nlohmann::json::parse(line, nullptr, false);
    if (object.is_discarded()) Fail(options.Text("prompts") + " has a line that is not JSON");
    const bool wanted = options.Text("categories") == "all" ||
                        std::ranges::find(categories, object.value("category", "")) != categories.end();
    if (!wanted) continue;
    const std::string& half = options.Text("half");
    if (!half.empty() && index++ % 2 != options.Number("half")) continue;
    std::vector<TokenId> tokens = Encode(
        model, object.contains("turns") ? object["turns"][0].get<std::string>() : object.value("prompt", ""));
    if (static_cast<int>(tokens.size()) + max_tokens <= max_model_len) prompts.push_back(std::move(tokens));
  }
  std::mt19937 random(1);  // the categories mixed, always alike
  std::shuffle(prompts.begin(), prompts.end(), random);
  const auto limit = static_cast<std::size_t>(options.Number("limit"));
  if (limit > 0 && prompts.size() > limit) prompts.resize(limit);
  if (prompts.empty()) Fail("no prompts");
  return prompts;
}

struct Totals {
  double seconds = 0;
  int tokens = 0;
  int passes = 0;
  int drafted = 0, accepted = 0, draft_steps = 0;
  std::array<int, kMaxDraftTokens + 1> histogram = {};
};

class Runner {
 public:
  Runner(EngineCore& core, const Options& options, const Model& model,
         const std::vector<std::vector<TokenId>>& prompts)
      : core_(core), options_(options), model_(model), prompts_(prompts) {}

  // All prompts, `streams` of them at a time.
  Totals Run(const Method& method, int streams) {
    Totals totals;
    std::vector<std::shared_ptr<TokenStream>> live;
    std::size_t next = 0;
    const TimePoint begin = Clock::now();
    while (next < prompts_.size() || !live.empty()) {
      while (live.size() < static_cast<std::size_t>(streams) && next < prompts_.size()) {
        live.push_back(Start(method, prompts_[next++]));
      }
      if (!Take(core_.Step(nullptr))) Fail("the engine has nothing to do");
      std::erase_if(live, [&](const auto& stream) { return Collect(*stream, &totals); });
    }
    totals.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return totals;
  }

 private:
  std::shared_ptr<TokenStream> Start(const Method& method, const std::vector<TokenId>& prompt) {
    auto request = std::make_shared<Request>();
    request->id = request->group = ++last_id_;
    request->prompt = prompt;
    request->max_tokens = options_.Number("max-tokens");
    request->sampling.temperature = static_cast<float>(std::atof(options_.Text("temperature").c_str()));
    request->sampling.seed = 0x9e3779b9 * last_id_;
    request->sampling.seeded = options_.Number("seeded") != 0;
    request->stop_token_ids = model_.eos_token_ids();
    request->decoding = method.decoding;
    request->proposer = method.proposer;
    request->max_draft_tokens = method.length;
    request->lenience = method.lenience;
    request->arrival = Clock::now();
    auto stream = std::make_shared<TokenStream>(request);
    if (const Status status = core_.Add(request, stream); !status.ok()) Fail(status.message());
    return stream;
  }

  static bool Collect(TokenStream& stream, Totals* totals) {
    const TokenBatch batch = stream.Take();
    if (!batch.finished) return false;
    const RequestStats& stats = batch.stats;
    totals->tokens += stats.num_generated_tokens;
    totals->passes += stats.num_passes;
    totals->drafted += stats.num_draft_tokens;
    totals->accepted += stats.num_accepted_draft_tokens;
    totals->draft_steps += stats.num_draft_steps;
    for (std::size_t k = 0; k < stats.acceptance_histogram.size(); ++k) {
      totals->histogram[k] += stats.acceptance_histogram[k];
    }
    return true;
  }

  EngineCore& core_;
  const Options& options_;
  const Model& model_;
  const std::vector<std::vector<TokenId>>& prompts_;
  RequestId last_id_ = 0;
};

void Print(const Options& options, const Method& method, int streams, int round, const Totals& totals) {
  nlohmann::ordered_json row = {{"method", method.name},
                                {"streams", streams},
                                {"round", round},
                                {"categories", options.Text("categories")},
                                {"temperature", std::atof(options.Text("temperature").c_str())},
                                {"seeded", options.Number("seeded") != 0},
                                {"tokens", totals.tokens},
                                {"seconds", totals.seconds},
                                {"tokens_per_second", totals.tokens / totals.seconds},
                                {"tokens_per_pass", static_cast<double>(totals.tokens) / totals.passes},
                                {"drafted", totals.drafted},
                                {"accepted", totals.accepted},
                                {"draft_steps", totals.draft_steps},
                                {"acceptance_histogram", totals.histogram}};
  std::printf("%s\n", row.dump().c_str());
  std::fflush(stdout);
}

// What the engine measured at start, in passes over one token: v_n, a pass over n tokens, and c_n, a
// proposer's pass over n.
void PrintCosts(const EngineCore& core) {
  const StepCosts& costs = core.costs();
  const double one = costs.step.At(1);
  nlohmann::ordered_json row = {{"pass_ms", 1e3 * one}};
  for (const int n : {2, 3, 4, 5, 6, 8, 9, 10, 12, 16, 32, 64})
    row["v"][std::to_string(n)] = costs.step.At(n) / one;
  for (const ProposerKind kind : core.info().proposers) {
    const CostCurve& curve = costs.proposer[IndexOf(kind)];
    for (const int n : {1, 2, 8, 32})
      row["c"][std::string(ProposerName(kind))][std::to_string(n)] = curve.At(n) / one;
  }
  std::printf("%s\n", row.dump().c_str());
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = std::string(argv[i]).substr(std::min<std::size_t>(2, std::strlen(argv[i])));
    if (i + 1 == argc || !options.values.contains(name)) {
      Fail("'" + std::string(argv[i]) +
           "' is not a flag with a value; see the head of benches/decoding/main.cc");
    }
    options.values[name] = argv[i + 1];
  }
  const auto backend = Take(MakeCpuBackend({options.Number("threads"), ""}));
  const FamilyPaths paths =
      Take(ResolveFamily({options.Text("model"), options.Text("recycle"), options.Text("draft")}));
  const ModelFamily family = Take(ModelFamily::Load(paths, *backend));
  EngineModels models(family.target->decoder());
  models.recycle = family.recycle.get();
  models.draft = family.draft.get();
  EngineOptions engine_options;
  // The round that is not counted reads the prompts; those that count find all but their last block cached.
  engine_options.enable_prefix_cache = true;
  engine_options.kv_cache_bytes = std::uint64_t{3} << 30;
  const auto core = Take(EngineCore::Create(*backend, models, engine_options));
  const auto prompts =
      ReadPrompts(options, *family.target, options.Number("max-tokens"), core->info().max_model_len);
  PrintCosts(*core);
  std::vector<Method> methods;
  for (const std::string& name : options.List("methods")) methods.push_back(ParseMethod(name));
  Runner runner(*core, options, *family.target, prompts);
  for (const std::string& level : options.List("streams")) {
    const int streams = std::atoi(level.c_str());
    if (streams < 1) Fail("--streams: '" + level + "' is not a positive number");
    for (int round = 0; round <= options.Number("rounds"); ++round) {
      for (std::size_t i = 0; i < methods.size(); ++i) {
        const Method& method = methods[(i + static_cast<std::size_t>(round)) % methods.size()];
        const Totals totals = runner.Run(method, streams);
        if (round > 0) Print(options, method, streams, round, totals);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace reprise::bench

int main(int argc, char** argv) {
  return reprise::bench::Main(argc, argv);
}
