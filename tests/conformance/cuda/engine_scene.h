// Engines on tiny models, and requests for them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/engine/engine_fixture.h"

namespace reprise::test {

Result<std::unique_ptr<Decoder>> TryLoadTinyDecoder(const std::string& name, Backend& backend);
std::unique_ptr<Decoder> LoadTinyDecoder(const std::string& name, Backend& backend);

// Of few sequences and tokens: bits of a row hold for steps of up to 32.
EngineOptions TinyOptions();

struct LoadedTiny : TinyModel {
  using TinyModel::TinyModel;

  std::unique_ptr<EngineCore> Engine(RecycleModule* module = nullptr, Decoder* draft = nullptr,
                                     const EngineOptions& options = TinyOptions());
};

// Greedy and seeded in turn, of prompts of 3 to 62 tokens.
std::vector<std::shared_ptr<Request>> Requests(int count, int max_tokens);

// That ask for all there is to sampling, decoded in every way.
std::vector<std::shared_ptr<Request>> DemandingRequests();

}  // namespace reprise::test
