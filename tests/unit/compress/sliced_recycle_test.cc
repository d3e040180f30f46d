// A recycle module on a sliced target reads its narrow embedding, and its drafts change no token.
#include "models/family.h"
#include "tests/unit/compress/sliced_models.h"
#include "tests/unit/engine/engine_fixture.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise::compress {
namespace {

using Catch::Matchers::Contains;

std::vector<Collected> Generate(Backend& backend, const ModelFamily& family, DecodingMethod method) {
  EngineOptions options;
  options.kv_cache_bytes = std::uint64_t{4} << 20;
  options.profile = false;
  options.poison_kv = true;
  EngineModels models(family.target->decoder());
  models.recycle = family.recycle.get();
  const auto core = std::move(EngineCore::Create(backend, models, options)).value();
  std::mt19937 random(3);
  std::vector<std::shared_ptr<Request>> requests;
  for (RequestId id = 1; id <= 4; ++id) {
    requests.push_back(MakeTestRequest(id, RandomPrompt(random, 5 + static_cast<int>(id)), 24));
    requests.back()->decoding = method;
  }
  return RunAll(*core, requests);
}

TEST_CASE("slice: a recycle module drafts for a sliced target", "[compress]") {
  const TempDir dir;
  const std::string sliced = dir.path() + "/sliced";
  const auto backend = MakeReferenceBackend();
  REQUIRE(SliceModel(TinyOptions("smollm2", sliced, 0.25), *backend, nullptr).ok());
  const ModelConfig config = LoadModelConfig(sliced).value();
  REQUIRE(config.embedding_width() < config.hidden_size);
  const TempDir module;
  WriteModule(module.path(), **Checkpoint::Open(sliced), config, {ModuleKind::kCopy});

  const auto family = ModelFamily::Load({sliced, module.path(), ""}, *backend);
  INFO(family.status().ToString());
  REQUIRE(family.ok());
  const std::vector<Collected> plain = Generate(*backend, *family, DecodingMethod::kPlain);
  const std::vector<Collected> recycled = Generate(*backend, *family, DecodingMethod::kRecycle);
  int drafted = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    CHECK(recycled[i].tokens == plain[i].tokens);
    drafted += recycled[i].stats.num_draft_tokens;
  }
  CHECK(drafted > 0);

  // The width of the dense embedding, which the sliced one no longer has.
  const std::string text = ReadWholeFile(module.path() + "/config.json");
  const std::string own = "\"embedding_size\":" + std::to_string(config.embedding_width());
  std::string edited = text;
  edited.replace(text.find(own), own.size(), "\"embedding_size\":96");
  module.Write("config.json", edited);
  const Status refused = ModelFamily::Load({sliced, module.path(), ""}, *backend).status();
  CHECK_THAT(refused.message(), Contains("width 96") && Contains(std::to_string(config.embedding_width())));
}

}  // namespace
}  // namespace reprise::compress
