#include "models/tokenizer/gguf_vocabulary.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "models/formats/gguf.h"
#include "models/formats/quoted.h"
#include "models/tokenizer/bpe_model.h"
#include "models/tokenizer/embedded_tokenizer.h"
#include "models/tokenizer/gguf_pre_tokenizer.h"
#include "models/tokenizer/metaspace.h"
#include "models/tokenizer/spm_model.h"
#include "models/tokenizer/text_tokenizer.h"
#include "models/tokenizer/tokenizer_json.h"

namespace reprise::tokenizer {
namespace {

// Values of tokenizer.ggml.token_type.
enum TokenType : std::int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

// Tokens that end a turn or a document in the well-known chat formats. Converters often leave out all but
// one.
constexpr std::array<std::string_view, 10> kEndTokens{
    "<|eot_id|>",      "<|im_end|>", "<|end|>", "<end_of_turn>",         "<|endoftext|>",
    "<|end_of_text|>", "<|eom_id|>", "<EOT>",   "<｜end▁of▁sentence｜>", "<end_of_utterance>"};

std::string Key(std::string_view name) {
  return "tokenizer.ggml." + std::string(name);
}

// Builds the parts from the metadata of one file.
class GgufVocabularyLoader {
 public:
  explicit GgufVocabularyLoader(const GgufFile& file) : file_(file) {}

  Result<TokenizerParts> Load() {
    ASSIGN_OR_RETURN(const std::string model, RequiredString("model"));
    if (model != "gpt2" && model != "llama") {
      return Unimplemented(Key("model") + " is " + Quoted(model) +
                           ", which is not supported; supported: gpt2, llama");
    }
    is_sentence_piece_ = model == "llama";
    RETURN_IF_ERROR(LoadTokens());
    RETURN_IF_ERROR(is_sentence_piece_ ? LoadSentencePieceModel() : LoadBytePairModel());
    ASSIGN_OR_RETURN(parts_.added_tokens, AddedTokens::Create(CollectAddedTokens(), parts_.normalizers));
    parts_.added_tokens_are_literal = true;
    RETURN_IF_ERROR(LoadSpecialIds());
    if (const GgufValue* chat_template = file_.FindMetadata("tokenizer.chat_template")) {
      if (chat_template->AsString() == nullptr)
        return WrongType("tokenizer.chat_template", *chat_template, "a string");
      parts_.chat_template = *chat_template->AsString();
    }
    return std::move(parts_);
  }

 private:
  static Status WrongType(const std::string& key, const GgufValue& value, std::string_view expected) {
    return DataLoss(key + " is of type " + value.TypeName() + "; expected " + std::string(expected));
  }
  static Status Missing(const std::string& key) { return DataLoss(key + " is missing"); }

  Result<std::string> RequiredString(std::string_view name) const {
    const GgufValue* value = file_.FindMetadata(Key(name));
    if (value == nullptr) return Missing(Key(name));
    if (value->AsString() == nullptr) return WrongType(Key(name), *value, "a string");
    return *value->AsString();
  }

  Result<const std::vector<std::string>*> RequiredStrings(std::string_view name) const {
    const GgufValue* value = file_.FindMetadata(Key(name));
    if (value == nullptr) return Missing(Key(name));
    if (value->AsStrings() == nullptr) return WrongType(Key(name), *value, "an array of strings");
    return value->AsStrings();
  }

  Result<bool> Flag(std::string_view name, bool fallback) const {
    const GgufValue* value = file_.FindMetadata(Key(name));
    if (value == nullptr) return fallback;
    const auto flag = value->AsBool();
    if (!flag) return WrongType(Key(name), *value, "a boolean");
    return *flag;
  }

  Result<std::optional<TokenId>> OptionalId(std::string_view name) const {
    const GgufValue* value = file_.FindMetadata(Key(name));
    if (value == nullptr) return std::optional<TokenId>();
    const auto id = value->AsInt();
    if (!id) return WrongType(Key(name), *value, "an integer");
    // Some converters write -1 (or its unsigned twin) where there is no such token.
    if (*id == -1 || *id == 0xFFFFFFFF) return std::optional<TokenId>();
    if (*id < 0 || *id >= parts_.vocabulary->size()) {
      return DataLoss(Key(name) + " is " + std::to_string(*id) + ", outside the vocabulary of " +
                      std::to_string(parts_.vocabulary->size()) + " tokens");
    }
    return std::optional<TokenId>(static_cast<TokenId>(*id));
  }

  Status LoadTokens() {
    ASSIGN_OR_RETURN(const auto* tokens, RequiredStrings("tokens"));
    if (tokens->empty()) return DataLoss(Key("tokens") + " is empty");
    parts_.vocabulary->Reserve(tokens->size(), 0);
    for (std::size_t id = 0; id < tokens->size(); ++id) {
      if ((*tokens)[id].empty()) continue;  // padding of the embedding: a gap
      const Status added = parts_.vocabulary->Add((*tokens)[id], static_cast<std::int64_t>(id));
      if (!added.ok()) return DataLoss(Key("tokens") + ": " + added.message());
    }
    types_.assign(tokens->size(), kNormal);
    if (const GgufValue* types = file_.FindMetadata(Key("token_type"))) {
      if (types->AsInts() == nullptr) return WrongType(Key("token_type"), *types, "an array of integers");
      if (types->AsInts()->size() != tokens->size()) {
        return DataLoss(Key("token_type") + " has " + std::to_string(types->AsInts()->size()) +
                        " entries for " + std::to_string(tokens->size()) + " tokens");
      }
      types_ = *types->AsInts();
    }
    return OkStatus();
  }

  Status LoadBytePairModel() {
    std::string pre = "default";
    if (file_.FindMetadata(Key("pre")) != nullptr) {
      ASSIGN_OR_RETURN(pre, RequiredString("pre"));
    }
    ASSIGN_OR_RETURN(GgufPreTokenizer pre_tokenizer, MakeGgufPreTokenizer(pre));
    parts_.pre_tokenizers = std::move(pre_tokenizer.stages);
    add_bos_ = pre_tokenizer.add_bos;
    ASSIGN_OR_RETURN(const auto* lines, RequiredStrings("merges"));
    std::vector<BpeModel::TextPair> merges;
    for (const std::string_view line : *lines) {
      const auto pair = SplitMergeLine(line, *parts_.vocabulary);
      if (!pair)
        return DataLoss(Key("merges") + ": " + Quoted(line) + " is not two tokens with a space between");
      merges.push_back(*pair);
    }
    BpeOptions options;
    options.ignore_merges = pre_tokenizer.ignore_merges;
    auto model = BpeModel::Create(*parts_.vocabulary, merges, std::move(options));
    if (!model.ok()) return DataLoss(Key("merges") + ": " + model.status().message());
    parts_.model = std::move(*model);
    parts_.decoder.steps.push_back(DecodeByteLevelStep());
    parts_.source = "GGUF, pre-tokenizer " + pre;
    return OkStatus();
  }

  Status LoadSentencePieceModel() {
    const GgufValue* scores = file_.FindMetadata(Key("scores"));
    if (scores == nullptr) return Missing(Key("scores"));
    if (scores->AsFloats() == nullptr) return WrongType(Key("scores"), *scores, "an array of float32");
    ASSIGN_OR_RETURN(std::optional<TokenId> unk, OptionalId("unknown_token_id"));
    if (!unk) unk = FindOfType(kUnknown);
    auto model = SpmModel::Create(*parts_.vocabulary, *scores->AsFloats(), unk);
    if (!model.ok()) return DataLoss(Key("scores") + ": " + model.status().message());
    parts_.model = std::move(*model);

    ASSIGN_OR_RETURN(const bool add_space_prefix, Flag("add_space_prefix", true));
    if (add_space_prefix) parts_.normalizers.push_back(MakePrepend(std::string(kMetaspace)));
    ASSIGN_OR_RETURN(Regex space, Regex::CompileLiteral(" "));
    parts_.normalizers.push_back(MakeReplace(std::move(space), std::string(kMetaspace)));
    parts_.decoder.steps.push_back(DecodeByteTokenStep());
    parts_.decoder.steps.push_back(MetaspaceStep(std::string(kMetaspace), /*drops_first=*/false));
    parts_.decoder.strips_leading_space = add_space_prefix;
    add_bos_ = true;
    parts_.source = "GGUF, SentencePiece";
    return OkStatus();
  }

  std::optional<TokenId> FindOfType(TokenType type) const {
    const auto found = std::find(types_.begin(), types_.end(), type);
    if (found == types_.end()) return std::nullopt;
    return static_cast<TokenId>(found - types_.begin());
  }

  // Whether the end of a turn takes the white space after it along: Phi-3's added tokens do, but for these
  // three.
  bool StripsRight(std::string_view text) const {
    const GgufValue* architecture = file_.FindMetadata("general.architecture");
    const bool is_phi3 = architecture != nullptr && architecture->AsString() != nullptr &&
                         *architecture->AsString() == "phi3" && is_sentence_piece_;
    return is_phi3 && text != "<unk>" && text != "<s>" && text != "<|endoftext|>";
  }

  std::vector<AddedToken> CollectAddedTokens() const {
    std::vector<AddedToken> tokens;
    for (TokenId id = 0; id < parts_.vocabulary->size(); ++id) {
      const std::int64_t type = types_[static_cast<std::size_t>(id)];
      if (!parts_.vocabulary->Has(id) || (type != kControl && type != kUserDefined && type != kUnknown))
        continue;
      AddedToken token;
      token.id = id;
      token.content = parts_.vocabulary->Text(id);
      token.special = type != kUserDefined;
      token.rstrip = StripsRight(token.content);
      tokens.push_back(std::move(token));
    }
    return tokens;
  }

  Status LoadSpecialIds() {
    ASSIGN_OR_RETURN(parts_.bos, OptionalId("bos_token_id"));
    for (const char* name : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
      ASSIGN_OR_RETURN(const std::optional<TokenId> id, OptionalId(name));
      if (id) AddEnd(*id);
    }
    if (is_sentence_piece_) {  // SentencePiece's own defaults
      if (!parts_.bos && IsControl(1)) parts_.bos = 1;
      if (parts_.eos.empty() && IsControl(2)) AddEnd(2);
    }
    ASSIGN_OR_RETURN(const bool add_bos, Flag("add_bos_token", add_bos_));
    ASSIGN_OR_RETURN(const bool add_eos, Flag("add_eos_token", false));
    if (add_bos && parts_.bos) parts_.prefix = {*parts_.bos};
    if (add_eos && !parts_.eos.empty()) parts_.suffix = {parts_.eos.front()};
    for (const std::string_view text : kEndTokens) {
      const auto id = parts_.vocabulary->Find(text);
      if (id && IsControl(*id)) AddEnd(*id);
    }
    return OkStatus();
  }

  bool IsControl(TokenId id) const {
    return static_cast<std::size_t>(id) < types_.size() && types_[static_cast<std::size_t>(id)] == kControl;
  }

  void AddEnd(TokenId id) {
    if (std::find(parts_.eos.begin(), parts_.eos.end(), id) == parts_.eos.end()) parts_.eos.push_back(id);
  }

  const GgufFile& file_;
  TokenizerParts parts_;
  std::vector<std::int64_t> types_;
  bool is_sentence_piece_ = false;
  bool add_bos_ = false;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> LoadGgufTokenizer(const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, GgufFile::Open(path));
  if (file->FindMetadata("tokenizer.ggml.model") == nullptr &&
      file->FindMetadata(kEmbeddedTokenizerKey) != nullptr) {
    auto embedded = LoadEmbeddedTokenizer(*file);
    if (embedded.ok()) return embedded;
    return Status(embedded.status().code(), path + ": " + embedded.status().message());
  }
  Result<TokenizerParts> parts = GgufVocabularyLoader(*file).Load();
  if (!parts.ok()) return Status(parts.status().code(), path + ": " + parts.status().message());
  return std::unique_ptr<Tokenizer>(std::make_unique<TextTokenizer>(*std::move(parts)));
}

}  // namespace reprise::tokenizer
