// Builds the pipeline's parts from their descriptions in a tokenizer.json. UNIMPLEMENTED names a component
// that is not supported and lists those that are.
#pragma once

#include <vector>

#include <nlohmann/json.hpp>

#include "base/status.h"
#include "base/types.h"
#include "models/tokenizer/decoder.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/pre_tokenizer.h"

namespace reprise::tokenizer {

// Tokens put around a text.
struct Surroundings {
  std::vector<TokenId> prefix;
  std::vector<TokenId> suffix;
};

Result<NormalizerList> ParseNormalizers(const nlohmann::json& root);
Result<PreTokenizerList> ParsePreTokenizers(const nlohmann::json& root);
// Of the template for a single text. The ids are not checked.
Result<Surroundings> ParsePostProcessor(const nlohmann::json& root);
Result<Decoder> ParseDecoder(const nlohmann::json& root);

}  // namespace reprise::tokenizer
