// D1 on trained models: the embedded family. Here modules and drafts are right about as often as in real use.
#include "models/family.h"
#include "tests/unit/engine/engine_fixture.h"

namespace reprise {
namespace {

struct Embedded {
  std::unique_ptr<Backend> backend;
  ModelFamily family;

  Embedded() {
    backend =
        AvailableCpuIsas().empty() ? MakeReferenceBackend() : std::move(MakeCpuBackend({2, ""})).value();
    const FamilyPaths paths = ResolveFamily({"assets", "", ""}).value();
    auto loaded = ModelFamily::Load(paths, *backend);
    INFO(loaded.status().ToString());
    REQUIRE(loaded.ok());
    family = std::move(loaded).value();
    REQUIRE(family.recycle != nullptr);
    REQUIRE(family.draft != nullptr);
  }

  std::unique_ptr<EngineCore> MakeCore(int max_num_seqs, bool poison = true) {
    EngineModels models(family.target->decoder());
    models.recycle = family.recycle.get();
    models.draft = family.draft.get();
    EngineOptions options;
    options.kv_cache_bytes = std::uint64_t{64} << 20;
    options.max_num_seqs = max_num_seqs;
    options.poison_kv = poison;
    auto core = EngineCore::Create(*backend, models, options);
    INFO(core.status().ToString());
    REQUIRE(core.ok());
    return std::move(core).value();
  }

  std::vector<std::shared_ptr<Request>> Requests(float temperature, int max_tokens) const {
    const char* beginnings[] = {"Once upon a time there was a ", "The old woman went into the ",
                                "In a deep forest lived ",       "The king said to his daughter, ",
                                "When the fox saw the ",         "There were three brothers who "};
    const char* who[] = {"miller", "poor tailor", "wolf", "princess"};
    std::vector<std::shared_ptr<Request>> requests;
    RequestId id = 1;
    for (const char* beginning : beginnings) {
      for (const char* one : who) {
        auto prompt = family.target->tokenizer().Encode(std::string(beginning) + one);
        REQUIRE(prompt.ok());
        requests.push_back(MakeTestRequest(id, *prompt, max_tokens, temperature, 500 + id));
        ++id;
      }
    }
    return requests;
  }
};

struct Method {
  const char* name;
  DecodingMethod decoding;
  std::optional<ProposerKind> proposer;
  std::optional<int> length;
};

struct Outcome {
  std::vector<std::vector<TokenId>> tokens;
  int drafted = 0, accepted = 0;
};

Outcome Run(EngineCore& core, const std::vector<std::shared_ptr<Request>>& templates, const Method& method,
            RequestId first_id) {
  std::vector<std::shared_ptr<Request>> requests;
  for (const auto& original : templates) {
    auto request = std::make_shared<Request>(*original);
    request->id = request->group = first_id++;
    request->decoding = method.decoding;
    request->proposer = method.proposer;
    request->max_draft_tokens = method.length;
    requests.push_back(std::move(request));
  }
  Outcome outcome;
  for (const Collected& result : RunAll(core, requests)) {
    outcome.tokens.push_back(result.tokens);
    outcome.drafted += result.stats.num_draft_tokens;
    outcome.accepted += result.stats.num_accepted_draft_tokens;
  }
  return outcome;
}

}  // namespace

TEST_CASE("D1: the embedded family tells the same tales under every method", "[decoding]") {
  Embedded embedded;
  const float temperature = GENERATE(0.0f, 0.7f, 1.0f);
  const int batch = GENERATE(1, 16);
  const auto requests = embedded.Requests(temperature, batch == 1 ? 40 : 80);
  const auto core = embedded.MakeCore(batch);
  const Outcome plain = Run(*core, requests, {"plain", DecodingMethod::kPlain, {}, {}}, 1000);
  RequestId id = 2000;
  for (const Method& method :
       {Method{"auto", DecodingMethod::kAuto, {}, {}}, Method{"recycle 1", DecodingMethod::kRecycle, {}, 1},
        Method{"recycle 2", DecodingMethod::kRecycle, {}, 2},
        Method{"recycle 4", DecodingMethod::kRecycle, {}, 4},
        Method{"draft 2", DecodingMethod::kSpeculative, ProposerKind::kDraftModel, 2},
        Method{"draft 5", DecodingMethod::kSpeculative, ProposerKind::kDraftModel, 5},
        Method{"look-up 6", DecodingMethod::kSpeculative, ProposerKind::kPromptLookup, 6}}) {
    INFO(method.name);
    const Outcome outcome = Run(*core, requests, method, id);
    id += 1000;
    CHECK(outcome.tokens == plain.tokens);
    if (method.length == 1) CHECK(outcome.accepted > 0.2 * outcome.drafted);
  }
}

TEST_CASE("D7: the embedded module is as often right after a prefix hit as without", "[decoding]") {
  Embedded embedded;
  const auto requests = embedded.Requests(0.0f, 60);
  const auto core = embedded.MakeCore(8, false);
  const Method recycle{"recycle", DecodingMethod::kRecycle, {}, 1};
  const Outcome first = Run(*core, requests, recycle, 1000);
  // The same again, now behind what the first run computed: prompts with half of the tale.
  std::vector<std::shared_ptr<Request>> longer;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    auto request = std::make_shared<Request>(*requests[i]);
    request->prompt.insert(request->prompt.end(), first.tokens[i].begin(), first.tokens[i].begin() + 30);
    request->max_tokens = 30;
    longer.push_back(std::move(request));
  }
  const Outcome cached = Run(*core, longer, recycle, 2000);
  const Outcome fresh = Run(*embedded.MakeCore(8, false), longer, recycle, 3000);
  CHECK(cached.tokens == fresh.tokens);
  CHECK(cached.drafted == fresh.drafted);
  CHECK(cached.accepted == fresh.accepted);
}

}  // namespace reprise
