#include "server/validation.h"

#include <catch2/catch.hpp>
#include <limits>

namespace reprise {
namespace {

ValidationContext Context() {
  ValidationContext context;
  context.vocab_size = 100;
  context.eos_token_ids = {2, 7};
  context.loaded_methods = {DecodingMethod::kPlain};
  return context;
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
  fields.decoding = DecodingFields{"plain", kMaxDraftTokens, 0.0, "prompt_lookup"};
  const Result<ValidatedFields> out = ValidateFields(fields, Context());
  INFO(out.status().ToString());
  REQUIRE(out.ok());
  CHECK(out->sampling.top_k == 0);
  CHECK(out->sampling.seeded);
  CHECK(out->decoding == DecodingMethod::kPlain);
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
    lenience.decoding = DecodingFields{{}, {}, value, {}};
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
  GenerationFields fields;
  fields.decoding = DecodingFields{"recycle", {}, {}, {}};
  const Status status = ValidateFields(fields, Context()).status();
  CHECK(status.message() == "'decoding' method 'recycle' is not loaded; loaded: auto, plain");
  ValidationContext context = Context();
  context.loaded_methods.push_back(DecodingMethod::kRecycle);
  CHECK(ValidateFields(fields, context).value().decoding == DecodingMethod::kRecycle);
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
