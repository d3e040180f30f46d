#include "server/validation.h"

#include <catch2/catch.hpp>
#include <limits>
#include <memory>
#include <utility>

namespace reprise {
namespace {

ValidationContext Context() {
  ValidationContext context;
  context.vocab_size = 100;
  context.eos_token_ids = {2, 7};
  context.proposers = {ProposerKind::kPromptLookup};
  return context;
}

// On the heap: GCC 12 takes parts of a local one for uninitialised.
std::unique_ptr<GenerationFields> Decoding(std::optional<std::string> method,
                                           std::optional<std::string> proposer) {
  auto fields = std::make_unique<GenerationFields>();
  DecodingFields& decoding = fields->decoding.emplace();
  decoding.method = std::move(method);
  decoding.proposer = std::move(proposer);
  return fields;
}

}  // namespace

TEST_CASE("What is not asked for takes OpenAI's defaults", "[validation]") {
  const ValidatedFields fields = ValidateFields({}, Context()).value();
  CHECK(fields.sampling.temperature == 1.0f);
  CHECK(fields.sampling.top_p == 1.0f);
  CHECK(fields.sampling.top_k == 0);
  CHECK(fields.sampling.num_logprobs == -1);
  CHECK_FALSE(fields.sampling.seeded);
  CHECK(fields.n == 1);
  CHECK_FALSE(fields.max_tokens.has_value());
  CHECK(fields.all_stop_token_ids == std::vector<TokenId>{2, 7});
  CHECK(fields.text.skip_special_tokens);
  CHECK(fields.decoding == DecodingMethod::kAuto);
  CHECK_FALSE(fields.max_draft_tokens.has_value());
  CHECK(fields.lenience == 1.0f);
  CHECK_FALSE(fields.proposer.has_value());
}

TEST_CASE("The model's own sampling defaults apply where the request is silent", "[validation]") {
  ValidationContext context = Context();
  context.defaults.temperature = 0.6f;
  context.defaults.top_p = 0.9f;
  context.defaults.top_k = 20;
  context.defaults.repetition_penalty = 1.1f;
  GenerationFields fields;
  fields.temperature = 0.0;
  const ValidatedFields out = ValidateFields(fields, context).value();
  CHECK(out.sampling.temperature == 0.0f);
  CHECK(out.sampling.top_p == 0.9f);
  CHECK(out.sampling.top_k == 20);
  CHECK(out.sampling.repetition_penalty == 1.1f);
}

TEST_CASE("The ends of every range are allowed", "[validation]") {
  GenerationFields fields;
  fields.temperature = 2;
  fields.top_p = 1;
  fields.top_k = -1;
  fields.min_p = 1;
  fields.presence_penalty = -2;
  fields.frequency_penalty = 2;
  fields.repetition_penalty = 2;
  fields.logit_bias = {{0, -100}, {99, 100}};
  fields.seed = std::numeric_limits<std::int64_t>::min();
  fields.n = kMaxChoices;
  fields.best_of = kMaxChoices;
  fields.max_tokens = 5;
  fields.min_tokens = 5;
  fields.logprobs = kMaxLogprobs;
  fields.stop.assign(kMaxStopStrings, "x");
  fields.stop_token_ids = {0, 99};
  fields.priority = std::numeric_limits<int>::min();
  fields.timeout_s = 0.001;
  fields.decoding.emplace(DecodingFields{"speculative", kMaxDraftTokens, 0.0, "prompt_lookup"});
  const Result<ValidatedFields> out = ValidateFields(fields, Context());
  INFO(out.status().ToString());
  REQUIRE(out.ok());
  CHECK(out->sampling.top_k == 0);
  CHECK(out->sampling.seeded);
  CHECK(out->decoding == DecodingMethod::kSpeculative);
  CHECK(out->max_draft_tokens == kMaxDraftTokens);
  CHECK(out->lenience == 0.0f);
  CHECK(out->proposer == ProposerKind::kPromptLookup);
  CHECK(out->all_stop_token_ids == std::vector<TokenId>{0, 99, 2, 7});
}

TEST_CASE("No field takes a number that is none", "[validation]") {
  for (double value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                       -std::numeric_limits<double>::infinity()}) {
    for (auto field : {&GenerationFields::temperature, &GenerationFields::top_p, &GenerationFields::min_p,
                       &GenerationFields::presence_penalty, &GenerationFields::frequency_penalty,
                       &GenerationFields::repetition_penalty, &GenerationFields::timeout_s}) {
      GenerationFields fields;
      fields.*field = value;
      const Status status = ValidateFields(fields, Context()).status();
      CHECK(status.code() == StatusCode::kInvalidArgument);
      CHECK_FALSE(status.param().empty());
    }
    GenerationFields bias;
    bias.logit_bias = {{1, value}};
    CHECK(ValidateFields(bias, Context()).status().param() == "logit_bias");
    GenerationFields lenience;
    lenience.decoding.emplace(DecodingFields{{}, {}, value, {}});
    CHECK(ValidateFields(lenience, Context()).status().param() == "decoding.lenience");
  }
}

TEST_CASE("Lists are bounded and have no token twice", "[validation]") {
  GenerationFields fields;
  fields.stop_token_ids.assign(kMaxStopTokenIds, 5);
  CHECK(ValidateFields(fields, Context()).ok());
  fields.stop_token_ids.push_back(5);
  CHECK(ValidateFields(fields, Context()).status().param() == "stop_token_ids");
  fields = {};
  fields.logit_bias = {{7, 1.0}, {7, 1.0}};
  CHECK(ValidateFields(fields, Context()).status().param() == "logit_bias");
}

TEST_CASE("ignore_eos leaves only the asked-for stop tokens", "[validation]") {
  GenerationFields fields;
  fields.ignore_eos = true;
  fields.stop_token_ids = {5};
  CHECK(ValidateFields(fields, Context()).value().all_stop_token_ids == std::vector<TokenId>{5});
}

TEST_CASE("A method that is not loaded is refused with those that are", "[validation]") {
  const auto fields = Decoding("recycle", std::nullopt);
  const Status status = ValidateFields(*fields, Context()).status();
  CHECK(status.message() == "'decoding' method 'recycle' is not loaded; loaded: auto, plain, speculative");
  CHECK(status.param() == "decoding");
  ValidationContext context = Context();
  context.proposers.push_back(ProposerKind::kRecycle);
  CHECK(ValidateFields(*fields, context).value().decoding == DecodingMethod::kRecycle);
}

TEST_CASE("A proposer must be loaded and belong to the method that holds", "[validation]") {
  const auto check = [](const std::optional<std::string>& method, const std::string& proposer,
                        const ValidationContext& context) {
    const Result<ValidatedFields> out = ValidateFields(*Decoding(method, proposer), context);
    CHECK((out.ok() || out.status().param() == "decoding.proposer"));
    return out.ok() ? std::string("ok") : out.status().message();
  };
  CHECK(check("speculative", "draft_model", Context()) ==
        "'decoding.proposer' 'draft_model' is not loaded; loaded: prompt_lookup");
  CHECK(check("auto", "recycle", Context()) ==
        "'decoding.proposer' must be draft_model or prompt_lookup, got 'recycle'");
  CHECK(check("plain", "prompt_lookup", Context()) ==
        "'decoding.proposer' goes with method speculative or auto, not with plain");
  CHECK(check(std::nullopt, "prompt_lookup", Context()) == "ok");
  ValidationContext context = Context();
  context.default_decoding = DecodingMethod::kPlain;
  CHECK(check(std::nullopt, "prompt_lookup", context) ==
        "'decoding.proposer' goes with method speculative or auto, not with plain");
  context.proposers.push_back(ProposerKind::kRecycle);
  CHECK(check("recycle", "prompt_lookup", context) ==
        "'decoding.proposer' goes with method speculative or auto, not with recycle");
  context.proposers.push_back(ProposerKind::kDraftModel);
  CHECK(check("speculative", "draft_model", context) == "ok");
}

TEST_CASE("Messages name the field, the value and what is allowed", "[validation]") {
  GenerationFields fields;
  fields.top_p = 0;
  CHECK(ValidateFields(fields, Context()).status().message() ==
        "'top_p' must be above 0 and at most 1, got 0");
  fields = {};
  fields.logprobs = 21;
  fields.logprobs_field = "top_logprobs";
  CHECK(ValidateFields(fields, Context()).status().message() ==
        "'top_logprobs' must be between 0 and 20, got 21");
  CHECK(ValidateTokenIds(std::vector<std::int64_t>{1, 100}, 100, "prompt").status().message() ==
        "'prompt' has token id 100, outside the vocabulary: ids are between 0 and 99");
}

}  // namespace reprise
