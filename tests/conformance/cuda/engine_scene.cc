#include "tests/conformance/cuda/engine_scene.h"

#include <array>
#include <catch2/catch.hpp>
#include <random>

namespace reprise::test {

Result<std::unique_ptr<Decoder>> TryLoadTinyDecoder(const std::string& name, Backend& backend) {
  const std::string path = "tests/data/models/" + name;
  const ModelConfig config = LoadModelConfig(path).value();
  const auto checkpoint = std::move(Checkpoint::Open(path)).value();
  return Decoder::Load(*checkpoint, config, backend, config.max_position);
}

std::unique_ptr<Decoder> LoadTinyDecoder(const std::string& name, Backend& backend) {
  return std::move(TryLoadTinyDecoder(name, backend)).value();
}

EngineOptions TinyOptions() {
  EngineOptions options;
  options.kv_cache_bytes = 4 << 20;
  options.max_num_seqs = 8;
  options.max_num_batched_tokens = 32;
  options.profile = false;
  options.poison_kv = true;
  return options;
}

std::unique_ptr<EngineCore> LoadedTiny::Engine(RecycleModule* module, Decoder* draft,
                                               const EngineOptions& options) {
  EngineModels models(*decoder);
  models.recycle = module;
  models.draft = draft;
  auto core = EngineCore::Create(*backend, models, options);
  INFO(core.status().ToString());
  REQUIRE(core.ok());
  return std::move(core).value();
}

std::vector<std::shared_ptr<Request>> Requests(int count, int max_tokens) {
  std::mt19937 random(7);
  std::vector<std::shared_ptr<Request>> requests;
  for (int i = 0; i < count; ++i) {
    const float temperature = i % 2 == 0 ? 0.0f : 0.8f;
    requests.push_back(
        MakeTestRequest(i + 1, RandomPrompt(random, 3 + i * 7 % 60), max_tokens, temperature, 100 + i));
  }
  return requests;
}

std::vector<std::shared_ptr<Request>> DemandingRequests() {
  std::vector<std::shared_ptr<Request>> requests = Requests(16, 14);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Request& request = *requests[i];
    SamplingParams& params = request.sampling;
    params.seeded = i % 3 != 0;
    if (i % 2 == 0) params.top_k = 20;
    if (i % 3 == 1) params.top_p = 0.8f;
    if (i % 5 == 2) params.min_p = 0.05f;
    if (i % 4 == 3) params.repetition_penalty = 1.4f;
    if (i % 4 == 3) params.frequency_penalty = 0.3f;
    if (i % 6 == 1) params.logit_bias = {{20, 4.0f}, {21, -4.0f}};
    if (i % 4 < 2) params.num_logprobs = static_cast<int>(i % 4) * 3;
    if (i % 7 == 3) request.prompt_logprobs = 2;
    if (i % 5 == 4) request.lenience = 0.7f;
    if (i == 15) request.lenience = 0.0f;
    request.min_tokens = i % 3 == 0 ? 6 : 0;
    request.stop_token_ids = {30, 31, 32, 33};
    constexpr std::array kMethods = {DecodingMethod::kRecycle, DecodingMethod::kSpeculative,
                                     DecodingMethod::kPlain};
    request.decoding = i == 15 ? DecodingMethod::kRecycle : kMethods[i % 3];
    if (i % 6 == 4) request.proposer = ProposerKind::kPromptLookup;
    request.max_draft_tokens = 3;
  }
  return requests;
}

}  // namespace reprise::test
