// A real tiny model and requests for it.
#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/engine_core.h"
#include "kernels/backend.h"
#include "models/config.h"
#include "models/decoder.h"
#include "models/formats/checkpoint.h"

namespace reprise {

struct TinyModel {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Decoder> decoder;

  // A model of tests/data/models, or an absolute path.
  explicit TinyModel(const std::string& name = "smollm2", int threads = 2)
      : TinyModel(MakeBackend(threads), name) {}
  TinyModel(std::unique_ptr<Backend> on, const std::string& name) : backend(std::move(on)) {
    const std::string path = (std::filesystem::path("tests/data/models") / name).string();
    const ModelConfig config = LoadModelConfig(path).value();
    const auto checkpoint = std::move(Checkpoint::Open(path)).value();
    decoder = std::move(Decoder::Load(*checkpoint, config, *backend, config.max_position)).value();
  }

  static std::unique_ptr<Backend> MakeBackend(int threads) {
    if (AvailableCpuIsas().empty()) return MakeReferenceBackend();
    return std::move(MakeCpuBackend({threads, ""})).value();
  }
};

// Prompt token ids that are plain bytes in the tiny models' vocabulary.
inline std::vector<TokenId> RandomPrompt(std::mt19937& random, int length) {
  std::vector<TokenId> prompt(static_cast<std::size_t>(length));
  for (TokenId& token : prompt) token = 5 + static_cast<TokenId>(random() % 250);
  return prompt;
}

inline std::shared_ptr<Request> MakeTestRequest(RequestId id, std::vector<TokenId> prompt, int max_tokens,
                                                float temperature = 0.0f, std::uint64_t seed = 0) {
  auto request = std::make_shared<Request>();
  request->id = request->group = id;
  request->prompt = std::move(prompt);
  request->max_tokens = max_tokens;
  request->sampling.temperature = temperature;
  request->sampling.seed = seed;
  request->sampling.seeded = true;
  request->arrival = Clock::now();
  return request;
}

// Everything one stream delivered.
struct Collected {
  std::vector<TokenId> tokens;
  std::vector<GeneratedToken> generated;
  std::vector<GeneratedToken> prompt;
  bool finished = false;
  FinishReason reason = FinishReason::kNone;
  RequestStats stats;
};

inline void Drain(TokenStream& stream, Collected* out) {
  TokenBatch batch = stream.Take();
  for (GeneratedToken& token : batch.tokens) {
    out->tokens.push_back(token.token);
    out->generated.push_back(std::move(token));
  }
  for (GeneratedToken& token : batch.prompt) out->prompt.push_back(std::move(token));
  if (!batch.finished) return;
  out->finished = true;
  out->reason = batch.finish_reason;
  out->stats = batch.stats;
}

// Adds all requests at once, steps until idle, returns what each got.
inline std::vector<Collected> RunAll(EngineCore& core,
                                     const std::vector<std::shared_ptr<Request>>& requests) {
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (const auto& request : requests) {
    streams.push_back(std::make_shared<TokenStream>(request));
    const Status status = core.Add(request, streams.back());
    INFO(status.ToString());
    REQUIRE(status.ok());
  }
  for (int steps = 0; !core.idle(); ++steps) {
    REQUIRE(steps < 100000);
    const auto stepped = core.Step(nullptr);
    REQUIRE(stepped.ok());
    REQUIRE(*stepped);
  }
  std::vector<Collected> results(streams.size());
  for (std::size_t i = 0; i < streams.size(); ++i) Drain(*streams[i], &results[i]);
  return results;
}

}  // namespace reprise
