// Turns what a client asked for into what the engine takes, or says which field is wrong, its value, and what
// is allowed. The ranges are those of interfaces and of scheduler/request.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "models/config.h"
#include "scheduler/request.h"
#include "server/api.h"
#include "server/text_stream.h"

namespace reprise {

inline constexpr int kMaxChoices = 128;
inline constexpr std::size_t kMaxStopStrings = 16;
inline constexpr std::size_t kMaxStopTokenIds = 1024;

// What the answer depends on besides the request.
struct ValidationContext {
  int vocab_size = 0;
  GenerationDefaults defaults;         // of the model
  std::vector<TokenId> eos_token_ids;  // of the model
  DecodingMethod default_decoding = DecodingMethod::kAuto;
  std::vector<ProposerKind> proposers;  // that are loaded
};

struct ValidatedFields {
  SamplingParams sampling;
  int n = 1;
  std::optional<int> max_tokens;  // unset: the caller's default
  int min_tokens = 0;
  std::vector<TokenId> stop_token_ids;      // asked for
  std::vector<TokenId> all_stop_token_ids;  // those and, unless ignored, the model's
  TextStreamOptions text;
  DecodingMethod decoding = DecodingMethod::kAuto;
  std::optional<ProposerKind> proposer;
  std::optional<int> max_draft_tokens;
  float lenience = 1.0f;
  int priority = 0;
  std::optional<double> timeout_s;
  bool return_token_ids = false;
};

Result<ValidatedFields> ValidateFields(const GenerationFields& fields, const ValidationContext& context);

// INVALID_ARGUMENT names the field and the first id outside [0, vocab_size).
Result<std::vector<TokenId>> ValidateTokenIds(std::span<const std::int64_t> ids, int vocab_size,
                                              const std::string& field);

}  // namespace reprise
