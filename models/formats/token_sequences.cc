#include "models/formats/token_sequences.h"

#include <string_view>

#include "base/mapped_file.h"
#include "models/formats/json_file.h"

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

Result<TokenSequence> ParseLine(std::string_view text, int vocab_size) {
  ASSIGN_OR_RETURN(const nlohmann::json line, ParseJsonText(text));
  if (!line.is_object()) return DataLoss("expected a JSON object");
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
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  std::vector<TokenSequence> sequences;
  for (int number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (line.empty()) continue;
    Result<TokenSequence> sequence = ParseLine(line, vocab_size);
    if (!sequence.ok())
      return DataLoss(path + ":" + std::to_string(number) + ": " + sequence.status().message());
    sequences.push_back(std::move(sequence).value());
  }
  if (sequences.empty()) return DataLoss(path + ": holds no sequences");
  return sequences;
}

}  // namespace reprise
