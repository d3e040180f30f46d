#include "models/formats/token_sequences.h"

#include <nlohmann/json.hpp>

#include "models/formats/json_lines.h"

namespace reprise {
namespace {

Status AppendIds(const nlohmann::json& line, const char* key, int vocab_size, std::vector<TokenId>* tokens) {
  const auto ids = line.find(key);
  if (ids == line.end() || !ids->is_array())
    return DataLoss(std::string("expected a list of token ids in '") + key + "'");
  for (const nlohmann::json& id : *ids) {
    const bool known = id.is_number_integer() && id >= 0 && id < vocab_size;
    if (!known) {
      return DataLoss(std::string("'") + key + "' holds " + id.dump().substr(0, 40) +
                      ", not a token id below " + std::to_string(vocab_size));
    }
    tokens->push_back(id.get<TokenId>());
  }
  return OkStatus();
}

Result<TokenSequence> ParseSequence(const nlohmann::json& line, int vocab_size) {
  TokenSequence sequence;
  if (line.contains("tokens")) {
    RETURN_IF_ERROR(AppendIds(line, "tokens", vocab_size, &sequence.tokens));
  } else {
    RETURN_IF_ERROR(AppendIds(line, "prompt", vocab_size, &sequence.tokens));
    sequence.answer_start = static_cast<int>(sequence.tokens.size());
    RETURN_IF_ERROR(AppendIds(line, "answer", vocab_size, &sequence.tokens));
  }
  if (sequence.tokens.empty()) return DataLoss("the sequence is empty");
  return sequence;
}

}  // namespace

Result<std::vector<TokenSequence>> ReadTokenSequences(const std::string& path, int vocab_size) {
  std::vector<TokenSequence> sequences;
  RETURN_IF_ERROR(ForEachJsonLine(path, [&](const nlohmann::json& line) -> Status {
    ASSIGN_OR_RETURN(TokenSequence sequence, ParseSequence(line, vocab_size));
    sequences.push_back(std::move(sequence));
    return OkStatus();
  }));
  if (sequences.empty()) return DataLoss(path + ": holds no sequences");
  return sequences;
}

}  // namespace reprise
