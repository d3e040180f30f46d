// A model ready to serve: configuration, tokenizer, chat template, sampling defaults and the decoder with
// packed weights.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "kernels/backend.h"
#include "models/chat_template/chat_template.h"
#include "models/config.h"
#include "models/decoder.h"
#include "models/tokenizer/tokenizer.h"

namespace reprise {

class Model {
 public:
  // `path`: a Hugging Face directory or a GGUF file. `max_positions` > 0 bounds the rope tables.
  static Result<std::unique_ptr<Model>> Load(const std::string& path, Backend& backend,
                                             int max_positions = 0);

  const ModelConfig& config() const { return config_; }
  const GenerationDefaults& generation_defaults() const { return defaults_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // nullptr when the model has none; chat requests are then refused.
  const ChatTemplate* chat_template() const { return chat_template_ ? &*chat_template_ : nullptr; }
  // End-of-sequence ids of configuration, generation defaults and tokenizer together.
  const std::vector<TokenId>& eos_token_ids() const { return eos_token_ids_; }
  Decoder& decoder() { return *decoder_; }
  const Decoder& decoder() const { return *decoder_; }
  // The last component of the path without ".gguf": what clients call the model unless told otherwise.
  const std::string& name() const { return name_; }
  const std::string& path() const { return path_; }

 private:
  Model() = default;

  std::string name_;
  std::string path_;
  ModelConfig config_;
  GenerationDefaults defaults_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_template_;
  std::vector<TokenId> eos_token_ids_;
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace reprise
