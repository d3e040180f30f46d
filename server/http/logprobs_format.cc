#include "server/http/logprobs_format.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "server/json_writer.h"
#include "server/text_stream.h"

namespace reprise {
namespace {

// What stands for minus infinity, which JSON cannot say; as in vLLM.
constexpr float kLowestLogprob = -9999.0f;

void AppendLogprob(float logprob, std::string* out) {
  AppendJsonNumber(std::max(logprob, kLowestLogprob), out);
}

void AppendSeparator(std::size_t i, std::string* out) {
  if (i > 0) *out += ',';
}

// {"text": logprob, ...}: the alternatives and the token itself. Tokens that read the same share a key, which
// the likeliest keeps.
void AppendTopAsObject(const Tokenizer& tokenizer, const GeneratedToken& token, std::string* out) {
  std::set<std::string> seen;
  *out += '{';
  const auto add = [&](TokenId id, float logprob) {
    std::string text = TokenAsText(tokenizer, id);
    if (seen.contains(text)) return;
    AppendSeparator(seen.size(), out);
    AppendJsonString(text, out);
    *out += ':';
    AppendLogprob(logprob, out);
    seen.insert(std::move(text));
  };
  for (const TokenLogprob& top : token.top) add(top.token, top.logprob);
  add(token.token, token.logprob);
  *out += '}';
}

// "token":...,"logprob":...,"bytes":[...]
void AppendChatToken(const Tokenizer& tokenizer, TokenId id, float logprob, std::string* out) {
  *out += "\"token\":";
  AppendJsonString(TokenAsText(tokenizer, id), out);
  *out += ",\"logprob\":";
  AppendLogprob(logprob, out);
  *out += ",\"bytes\":[";
  const std::string_view bytes = TokenAsBytes(tokenizer, id);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    AppendSeparator(i, out);
    AppendJsonNumber(static_cast<int>(static_cast<unsigned char>(bytes[i])), out);
  }
  *out += ']';
}

}  // namespace

void AppendCompletionLogprobs(const Tokenizer& tokenizer, const std::vector<TokenDetail>& tokens,
                              std::string* out) {
  const auto append_list = [&](const char* name, auto append_item) {
    *out += name;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      AppendSeparator(i, out);
      append_item(tokens[i]);
    }
    *out += ']';
  };
  append_list("{\"tokens\":[", [&](const TokenDetail& detail) {
    AppendJsonString(TokenAsText(tokenizer, detail.token.token), out);
  });
  append_list(",\"token_logprobs\":[", [&](const TokenDetail& detail) {
    if (detail.has_logprob) {
      AppendLogprob(detail.token.logprob, out);
    } else {
      *out += "null";
    }
  });
  append_list(",\"top_logprobs\":[", [&](const TokenDetail& detail) {
    if (detail.has_logprob) {
      AppendTopAsObject(tokenizer, detail.token, out);
    } else {
      *out += "null";
    }
  });
  append_list(",\"text_offset\":[",
              [&](const TokenDetail& detail) { AppendJsonNumber(detail.text_offset, out); });
  *out += '}';
}

void AppendChatLogprobs(const Tokenizer& tokenizer, const std::vector<TokenDetail>& tokens,
                        std::string* out) {
  *out += "{\"content\":[";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const GeneratedToken& token = tokens[i].token;
    AppendSeparator(i, out);
    *out += '{';
    AppendChatToken(tokenizer, token.token, token.logprob, out);
    *out += ",\"top_logprobs\":[";
    for (std::size_t k = 0; k < token.top.size(); ++k) {
      AppendSeparator(k, out);
      *out += '{';
      AppendChatToken(tokenizer, token.top[k].token, token.top[k].logprob, out);
      *out += '}';
    }
    *out += "]}";
  }
  *out += "]}";
}

}  // namespace reprise
