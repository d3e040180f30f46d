#include "server/validation.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "engine/decoding/methods.h"

namespace reprise {
namespace {

std::string Format(double value) {
  if (std::isnan(value)) return "NaN";
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
  return error == std::errc() ? std::string(digits, end) : "?";
}
std::string Format(std::int64_t value) {
  return std::to_string(value);
}

struct Range {
  double low;
  double high;
  bool low_open = false;

  bool Contains(double value) const {
    return std::isfinite(value) && (low_open ? value > low : value >= low) && value <= high;
  }
  std::string Describe() const {
    if (std::isinf(high)) return (low_open ? "above " : "at least ") + Format(low);
    return low_open ? "above " + Format(low) + " and at most " + Format(high)
                    : "between " + Format(low) + " and " + Format(high);
  }
};

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

// Sets `out` when `value` is given and allowed.
template <typename In, typename Out>
Status Check(const char* field, const std::optional<In>& value, const Range& range, Out* out) {
  if (!value) return OkStatus();
  if (!range.Contains(static_cast<double>(*value))) {
    return InvalidArgument(
        "'" + std::string(field) + "' must be " + range.Describe() + ", got " + Format(*value), field);
  }
  using Value = std::remove_reference_t<decltype(*out)>;
  if constexpr (std::is_same_v<Value, std::optional<int>>) {
    *out = static_cast<int>(*value);
  } else {
    *out = static_cast<Value>(*value);
  }
  return OkStatus();
}

constexpr double kMaxInt = std::numeric_limits<int>::max();

Status CheckSampling(const GenerationFields& fields, const ValidationContext& context, SamplingParams* out) {
  const GenerationDefaults& defaults = context.defaults;
  if (defaults.temperature >= 0) out->temperature = std::min(defaults.temperature, 2.0f);
  if (defaults.top_p > 0) out->top_p = std::min(defaults.top_p, 1.0f);
  if (defaults.top_k >= 0) out->top_k = defaults.top_k;
  if (defaults.min_p >= 0) out->min_p = std::min(defaults.min_p, 1.0f);
  if (defaults.repetition_penalty > 0) out->repetition_penalty = std::min(defaults.repetition_penalty, 2.0f);

  RETURN_IF_ERROR(Check("temperature", fields.temperature, {0, 2}, &out->temperature));
  RETURN_IF_ERROR(Check("top_p", fields.top_p, {0, 1, true}, &out->top_p));
  RETURN_IF_ERROR(Check("top_k", fields.top_k, {-1, kMaxInt}, &out->top_k));
  out->top_k = std::max(out->top_k, 0);
  RETURN_IF_ERROR(Check("min_p", fields.min_p, {0, 1}, &out->min_p));
  RETURN_IF_ERROR(Check("presence_penalty", fields.presence_penalty, {-2, 2}, &out->presence_penalty));
  RETURN_IF_ERROR(Check("frequency_penalty", fields.frequency_penalty, {-2, 2}, &out->frequency_penalty));
  RETURN_IF_ERROR(
      Check("repetition_penalty", fields.repetition_penalty, {0, 2, true}, &out->repetition_penalty));
  if (fields.seed) {
    out->seed = static_cast<std::uint64_t>(*fields.seed);
    out->seeded = true;
  }
  return Check(fields.logprobs_field.c_str(), fields.logprobs, {0, kMaxLogprobs}, &out->num_logprobs);
}

Status CheckLogitBias(const GenerationFields& fields, int vocab_size, SamplingParams* out) {
  std::set<std::int64_t> seen;
  for (const auto& [id, bias] : fields.logit_bias) {
    if (!seen.insert(id).second) {  // "7" and "07" are two keys
      return InvalidArgument("'logit_bias' has token id " + std::to_string(id) + " twice", "logit_bias");
    }
    if (id < 0 || id >= vocab_size) {
      return InvalidArgument("'logit_bias' has token id " + std::to_string(id) +
                                 ", outside the vocabulary of " + std::to_string(vocab_size),
                             "logit_bias");
    }
    constexpr Range kBias{-100, 100};
    if (!kBias.Contains(bias)) {
      return InvalidArgument("'logit_bias' of token " + std::to_string(id) + " must be " + kBias.Describe() +
                                 ", got " + Format(bias),
                             "logit_bias");
    }
    out->logit_bias.emplace_back(static_cast<TokenId>(id), static_cast<float>(bias));
  }
  return OkStatus();
}

Status CheckLengths(const GenerationFields& fields, ValidatedFields* out) {
  RETURN_IF_ERROR(Check("max_tokens", fields.max_tokens, {0, kMaxInt}, &out->max_tokens));
  RETURN_IF_ERROR(Check("min_tokens", fields.min_tokens, {0, kMaxInt}, &out->min_tokens));
  if (out->max_tokens && out->min_tokens > *out->max_tokens) {
    return InvalidArgument("'min_tokens' must be at most 'max_tokens' (" + std::to_string(*out->max_tokens) +
                               "), got " + std::to_string(out->min_tokens),
                           "min_tokens");
  }
  RETURN_IF_ERROR(Check("n", fields.n, {1, kMaxChoices}, &out->n));
  if (fields.best_of && *fields.best_of != out->n) {
    return InvalidArgument(
        "'best_of' must equal 'n' (" + std::to_string(out->n) + "), got " + std::to_string(*fields.best_of),
        "best_of");
  }
  RETURN_IF_ERROR(
      Check("priority", fields.priority, {std::numeric_limits<int>::min(), kMaxInt}, &out->priority));
  double timeout = 0;
  // Bounded so that no addition to a time overflows: ten years are as good as none.
  RETURN_IF_ERROR(Check("timeout_s", fields.timeout_s, {0, 315360000, true}, &timeout));
  if (fields.timeout_s) out->timeout_s = timeout;
  return OkStatus();
}

Status CheckStops(const GenerationFields& fields, const ValidationContext& context, ValidatedFields* out) {
  if (fields.stop.size() > kMaxStopStrings) {
    return InvalidArgument("'stop' may have at most " + std::to_string(kMaxStopStrings) + " strings, got " +
                               std::to_string(fields.stop.size()),
                           "stop");
  }
  for (std::size_t i = 0; i < fields.stop.size(); ++i) {
    if (!fields.stop[i].empty()) continue;
    return InvalidArgument("'stop' must not have an empty string; number " + std::to_string(i) + " is one",
                           "stop");
  }
  out->text.stop = fields.stop;
  out->text.include_stop = fields.include_stop_str_in_output;
  out->text.skip_special_tokens = fields.skip_special_tokens.value_or(true);
  out->text.min_tokens = out->min_tokens;
  if (fields.stop_token_ids.size() > kMaxStopTokenIds) {
    return InvalidArgument("'stop_token_ids' may have at most " + std::to_string(kMaxStopTokenIds) +
                               " ids, got " + std::to_string(fields.stop_token_ids.size()),
                           "stop_token_ids");
  }
  ASSIGN_OR_RETURN(out->stop_token_ids,
                   ValidateTokenIds(fields.stop_token_ids, context.vocab_size, "stop_token_ids"));
  out->all_stop_token_ids = out->stop_token_ids;
  if (!fields.ignore_eos) {
    out->all_stop_token_ids.insert(out->all_stop_token_ids.end(), context.eos_token_ids.begin(),
                                   context.eos_token_ids.end());
  }
  return OkStatus();
}

Result<DecodingMethod> ParseMethod(const std::string& name, std::span<const ProposerKind> loaded) {
  const std::optional<DecodingMethod> method = FindDecodingMethod(name);
  if (!method) {
    return InvalidArgument("'decoding' must be one of auto, plain, recycle, speculative, got '" + name +
                               "'; loaded: " + ListMethods(loaded),
                           "decoding");
  }
  if (IsLoaded(*method, loaded)) return *method;
  return InvalidArgument("'decoding' method '" + name + "' is not loaded; loaded: " + ListMethods(loaded),
                         "decoding");
}

// `method` is the one that holds for the request, be it named or the server's default.
Result<ProposerKind> ParseProposer(const std::string& name, DecodingMethod method,
                                   std::span<const ProposerKind> loaded) {
  constexpr char kField[] = "decoding.proposer";
  const std::optional<ProposerKind> kind = FindProposer(name);
  if (!kind || MethodOf(*kind) != DecodingMethod::kSpeculative) {
    return InvalidArgument("'decoding.proposer' must be draft_model or prompt_lookup, got '" + name + "'",
                           kField);
  }
  if (std::ranges::find(loaded, *kind) == loaded.end()) {
    return InvalidArgument(
        "'decoding.proposer' '" + name + "' is not loaded; loaded: " + ListSpeculativeProposers(loaded),
        kField);
  }
  if (method != DecodingMethod::kAuto && method != DecodingMethod::kSpeculative) {
    return InvalidArgument("'decoding.proposer' goes with method speculative or auto, not with " +
                               std::string(DecodingMethodName(method)),
                           kField);
  }
  return *kind;
}

Status CheckDecoding(const GenerationFields& fields, const ValidationContext& context, ValidatedFields* out) {
  out->decoding = context.default_decoding;
  if (!fields.decoding) return OkStatus();
  const DecodingFields& decoding = *fields.decoding;
  RETURN_IF_ERROR(Check("decoding.max_draft_tokens", decoding.max_draft_tokens, {0, kMaxDraftTokens},
                        &out->max_draft_tokens));
  RETURN_IF_ERROR(Check("decoding.lenience", decoding.lenience, {0, 1}, &out->lenience));
  if (decoding.method) {
    ASSIGN_OR_RETURN(out->decoding, ParseMethod(*decoding.method, context.proposers));
  }
  if (decoding.proposer) {
    ASSIGN_OR_RETURN(out->proposer, ParseProposer(*decoding.proposer, out->decoding, context.proposers));
  }
  return OkStatus();
}

}  // namespace

Result<std::vector<TokenId>> ValidateTokenIds(std::span<const std::int64_t> ids, int vocab_size,
                                              const std::string& field) {
  std::vector<TokenId> tokens;
  tokens.reserve(ids.size());
  for (std::int64_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      return InvalidArgument("'" + field + "' has token id " + std::to_string(id) +
                                 ", outside the vocabulary: ids are between 0 and " +
                                 std::to_string(vocab_size - 1),
                             field);
    }
    tokens.push_back(static_cast<TokenId>(id));
  }
  return tokens;
}

Result<ValidatedFields> ValidateFields(const GenerationFields& fields, const ValidationContext& context) {
  ValidatedFields out;
  RETURN_IF_ERROR(CheckSampling(fields, context, &out.sampling));
  RETURN_IF_ERROR(CheckLogitBias(fields, context.vocab_size, &out.sampling));
  RETURN_IF_ERROR(CheckLengths(fields, &out));
  RETURN_IF_ERROR(CheckStops(fields, context, &out));
  RETURN_IF_ERROR(CheckDecoding(fields, context, &out));
  out.return_token_ids = fields.return_token_ids;
  return out;
}

}  // namespace reprise
