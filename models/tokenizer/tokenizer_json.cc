#include "models/tokenizer/tokenizer_json.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "models/formats/quoted.h"
#include "models/json_fields.h"
#include "models/tokenizer/bpe_model.h"
#include "models/tokenizer/embedded_tokenizer.h"
#include "models/tokenizer/json_components.h"
#include "models/tokenizer/json_document.h"
#include "models/tokenizer/text_tokenizer.h"
#include "models/tokenizer/tokenizer_config.h"

namespace reprise::tokenizer {
namespace {

using nlohmann::json;

constexpr char kFile[] = "tokenizer.json";

Status Annotate(const Status& status, const std::string& where) {
  return status.ok() ? status : Status(status.code(), where + ": " + status.message(), status.param());
}

Result<BpeOptions> ParseBpeOptions(const JsonFields& model) {
  BpeOptions options;
  ASSIGN_OR_RETURN(const auto byte_fallback, model.Bool("byte_fallback"));
  ASSIGN_OR_RETURN(const auto fuse_unk, model.Bool("fuse_unk"));
  ASSIGN_OR_RETURN(const auto ignore_merges, model.Bool("ignore_merges"));
  ASSIGN_OR_RETURN(const auto unk_token, model.String("unk_token"));
  ASSIGN_OR_RETURN(const auto prefix, model.String("continuing_subword_prefix"));
  ASSIGN_OR_RETURN(const auto suffix, model.String("end_of_word_suffix"));
  options.byte_fallback = byte_fallback.value_or(false);
  options.fuse_unk = fuse_unk.value_or(false);
  options.ignore_merges = ignore_merges.value_or(false);
  options.unk_token = unk_token.value_or("");
  options.continuing_subword_prefix = prefix.value_or("");
  options.end_of_word_suffix = suffix.value_or("");
  return options;
}

Status LoadVocabulary(const JsonDocument& document, Vocabulary* vocabulary) {
  vocabulary->Reserve(document.vocabulary.size(), document.bytes.size());
  for (const auto& entry : document.vocabulary) {
    RETURN_IF_ERROR(vocabulary->Add(entry.text.Of(document.bytes), entry.id));
  }
  return OkStatus();
}

Status LoadModel(const JsonDocument& document, TokenizerParts* parts) {
  const JsonFields root(document.root, kFile);
  ASSIGN_OR_RETURN(const auto model, root.Object("model"));
  if (!model) return root.Wrong("model", "an object");
  ASSIGN_OR_RETURN(const std::optional<std::string> type, model->String("type"));
  // Old files leave the type out; what has merges is a BPE.
  if (type ? *type != "BPE" : !model->Has("merges")) return model->Unsupported("type", "BPE");
  if (!document.root["model"]["vocab"].is_object())
    return model->Wrong("vocab", "an object from tokens to ids");
  RETURN_IF_ERROR(Annotate(LoadVocabulary(document, parts->vocabulary.get()), "model.vocab"));

  ASSIGN_OR_RETURN(BpeOptions options, ParseBpeOptions(*model));
  std::vector<BpeModel::TextPair> merges;
  merges.reserve(document.merges.size());
  for (const auto& merge : document.merges) {
    const std::string_view left = merge.left.Of(document.bytes);
    const auto pair = merge.right.empty() ? SplitMergeLine(left, *parts->vocabulary)
                                          : std::pair(left, merge.right.Of(document.bytes));
    if (!pair) return DataLoss("model.merges: " + Quoted(left) + " is not two tokens with a space between");
    merges.push_back(*pair);
  }
  auto bpe = BpeModel::Create(*parts->vocabulary, merges, std::move(options));
  if (!bpe.ok()) return Annotate(bpe.status(), "model");
  parts->model = std::move(*bpe);
  return OkStatus();
}

Result<AddedToken> ParseAddedToken(const JsonFields& fields) {
  AddedToken token;
  ASSIGN_OR_RETURN(token.id, fields.RequiredInt("id"));
  ASSIGN_OR_RETURN(auto content, fields.String("content"));
  if (!content) return fields.Wrong("content", "a string");
  token.content = *std::move(content);
  ASSIGN_OR_RETURN(const auto single_word, fields.Bool("single_word"));
  ASSIGN_OR_RETURN(const auto lstrip, fields.Bool("lstrip"));
  ASSIGN_OR_RETURN(const auto rstrip, fields.Bool("rstrip"));
  ASSIGN_OR_RETURN(const auto normalized, fields.Bool("normalized"));
  ASSIGN_OR_RETURN(const auto special, fields.Bool("special"));
  token.single_word = single_word.value_or(false);
  token.lstrip = lstrip.value_or(false);
  token.rstrip = rstrip.value_or(false);
  token.special = special.value_or(false);
  token.normalized = normalized.value_or(!token.special);
  return token;
}

// An added token may repeat one of the model's; otherwise it takes an id of its own.
Status AddToVocabulary(const AddedToken& token, TokenizerParts* parts) {
  const Vocabulary& model = *parts->vocabulary;
  if (model.Find(token.content) == token.id) return OkStatus();
  if (const auto other = model.Find(token.content)) {
    return DataLoss(Quoted(token.content) + " has the id " + std::to_string(token.id) + " here and " +
                    std::to_string(*other) + " in model.vocab");
  }
  if (model.Has(token.id)) {
    return DataLoss(Quoted(token.content) + " has the id " + std::to_string(token.id) +
                    ", which in model.vocab is " + Quoted(model.Text(token.id)));
  }
  return parts->extra_vocabulary.Add(token.content, token.id);
}

Status LoadAddedTokens(const json& root, TokenizerParts* parts) {
  std::vector<AddedToken> tokens;
  const auto list = root.find("added_tokens");
  if (list != root.end() && !list->is_null()) {
    if (!list->is_array()) return JsonFields(root, kFile).Wrong("added_tokens", "a list");
    for (std::size_t i = 0; i < list->size(); ++i) {
      const std::string path = "added_tokens[" + std::to_string(i) + "]";
      if (!(*list)[i].is_object()) return DataLoss(path + " is not an object");
      ASSIGN_OR_RETURN(AddedToken token, ParseAddedToken(JsonFields((*list)[i], kFile, path + ".")));
      if (token.content.empty()) continue;  // nothing that a text could contain
      RETURN_IF_ERROR(Annotate(AddToVocabulary(token, parts), path));
      tokens.push_back(std::move(token));
    }
  }
  ASSIGN_OR_RETURN(parts->added_tokens, AddedTokens::Create(std::move(tokens), parts->normalizers));
  return OkStatus();
}

Status LoadPostProcessor(const json& root, TokenizerParts* parts) {
  ASSIGN_OR_RETURN(Surroundings around, ParsePostProcessor(root));
  for (const auto* ids : {&around.prefix, &around.suffix}) {
    for (const TokenId id : *ids) {
      if (!parts->vocabulary->Has(id) && !parts->extra_vocabulary.Has(id)) {
        return DataLoss("post_processor: there is no token with the id " + std::to_string(id));
      }
    }
  }
  parts->prefix = std::move(around.prefix);
  parts->suffix = std::move(around.suffix);
  return OkStatus();
}

Status LoadParts(const JsonDocument& document, TokenizerParts* parts) {
  const json& root = document.root;
  RETURN_IF_ERROR(LoadModel(document, parts));
  ASSIGN_OR_RETURN(parts->normalizers, ParseNormalizers(root));
  RETURN_IF_ERROR(LoadAddedTokens(root, parts));
  ASSIGN_OR_RETURN(parts->pre_tokenizers, ParsePreTokenizers(root));
  RETURN_IF_ERROR(LoadPostProcessor(root, parts));
  ASSIGN_OR_RETURN(parts->decoder, ParseDecoder(root));
  return OkStatus();
}

// As transformers does: what add_bos_token and add_eos_token say, if either is there, replaces the
// post-processor.
void ApplyConfig(TokenizerConfig config, TokenizerParts* parts) {
  if (config.bos_token) parts->bos = parts->FindToken(*config.bos_token);
  if (config.eos_token) {
    if (const auto eos = parts->FindToken(*config.eos_token)) parts->eos = {*eos};
  }
  if (config.add_bos_token || config.add_eos_token) {
    parts->prefix.clear();
    parts->suffix.clear();
    if (config.add_bos_token.value_or(false) && parts->bos) parts->prefix = {*parts->bos};
    if (config.add_eos_token.value_or(false)) parts->suffix = parts->eos;
  }
  if (!config.bos_token && !parts->prefix.empty()) parts->bos = parts->prefix.front();
  parts->chat_template = std::move(config.chat_template);
}

Result<std::unique_ptr<Tokenizer>> Build(std::string_view text, const std::string& where,
                                         TokenizerConfig config) {
  auto document = ParseTokenizerJson(text);
  if (!document.ok()) return Annotate(document.status(), where);
  TokenizerParts parts;
  parts.source = kFile;
  RETURN_IF_ERROR(Annotate(LoadParts(*document, &parts), where));
  ApplyConfig(std::move(config), &parts);
  return std::unique_ptr<Tokenizer>(std::make_unique<TextTokenizer>(std::move(parts)));
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> LoadTokenizerJson(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const std::string folder = std::filesystem::path(path).parent_path().string();
  auto config = ReadTokenizerConfig(folder);
  if (!config.ok()) return Annotate(config.status(), folder);
  return Build(text, path, *std::move(config));
}

Result<std::unique_ptr<Tokenizer>> LoadEmbeddedTokenizer(const GgufFile& file) {
  const GgufValue* text = file.FindMetadata(kEmbeddedTokenizerKey);
  if (text == nullptr || text->AsString() == nullptr) {
    return DataLoss("metadata key '" + std::string(kEmbeddedTokenizerKey) + "' is not a string");
  }
  return Build(*text->AsString(), std::string("metadata key '") + kEmbeddedTokenizerKey + "'",
               EmbeddedTokenizerConfig(file));
}

}  // namespace reprise::tokenizer
