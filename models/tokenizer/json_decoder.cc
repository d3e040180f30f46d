#include <optional>
#include <utility>

#include "models/tokenizer/component.h"
#include "models/tokenizer/json_components.h"

namespace reprise::tokenizer {
namespace {

// Reads a chain of decoders. In the original each works on the list of tokens, and some make one text of them
// (ByteLevel, Fuse). What comes after can be streamed only if it still acts token by token, or is the
// stripping of one leading space.
class DecoderReader {
 public:
  Status Add(const Component& component) {
    if (component.type == "ByteLevel") return AddFusing(DecodeByteLevelStep());
    if (component.type == "ByteFallback") return AddStep(DecodeByteTokenStep());
    if (component.type == "Fuse") return AddFusing(nullptr);
    if (component.type == "Replace") return AddReplace(component);
    if (component.type == "Metaspace") return AddMetaspace(component);
    if (component.type == "Strip") return AddStrip(component);
    return component.fields.Unsupported("type",
                                        "ByteLevel, ByteFallback, Fuse, Replace, Metaspace, Strip, Sequence");
  }

  Decoder Finish() && {
    if (!seen_any_) {  // tokens are words
      decoder_.steps.push_back(JoinWithSpacesStep());
      decoder_.first_token_differs = true;
    }
    return std::move(decoder_);
  }

 private:
  Status AddStep(Decoder::Step step) {
    seen_any_ = true;
    if (step) decoder_.steps.push_back(std::move(step));
    return OkStatus();
  }

  Status AddFusing(Decoder::Step step) {
    fused_ = true;
    return AddStep(std::move(step));
  }

  Status AddReplace(const Component& component) {
    ASSIGN_OR_RETURN(Pattern pattern, ParsePattern(component));
    ASSIGN_OR_RETURN(std::string content, RequiredString(component, "content"));
    if (fused_ && !(pattern.is_literal && IsOneCharacter(pattern.text))) {
      return component.fields.Unsupported("pattern",
                                          "after Fuse or ByteLevel, the replacement of one character");
    }
    return AddStep(ReplaceStep(std::move(pattern.regex), std::move(content)));
  }

  Status AddMetaspace(const Component& component) {
    ASSIGN_OR_RETURN(std::string replacement, RequiredCharacter(component, "replacement"));
    ASSIGN_OR_RETURN(const std::optional<std::string> scheme, component.fields.String("prepend_scheme"));
    ASSIGN_OR_RETURN(const std::optional<bool> add_prefix_space, component.fields.Bool("add_prefix_space"));
    const bool prepends = scheme ? *scheme != "never" : add_prefix_space.value_or(true);
    if (fused_ && prepends) return component.fields.Unsupported("type", "Metaspace before Fuse or ByteLevel");
    if (prepends) decoder_.first_token_differs = true;
    return AddStep(MetaspaceStep(std::move(replacement), prepends));
  }

  Status AddStrip(const Component& component) {
    ASSIGN_OR_RETURN(std::string content, RequiredCharacter(component, "content"));
    ASSIGN_OR_RETURN(const std::optional<int> start, component.fields.Int("start"));
    ASSIGN_OR_RETURN(const std::optional<int> stop, component.fields.Int("stop"));
    if (start.value_or(0) < 0) return component.fields.Wrong("start", "a count");
    if (stop.value_or(0) < 0) return component.fields.Wrong("stop", "a count");
    if (!fused_) {
      return AddStep(StripStep(std::move(content), static_cast<std::size_t>(start.value_or(0)),
                               static_cast<std::size_t>(stop.value_or(0))));
    }
    if (content != " ") return component.fields.Unsupported("content", "after Fuse or ByteLevel, a space");
    if (stop.value_or(0) != 0) return component.fields.Unsupported("stop", "after Fuse or ByteLevel, 0");
    if (start.value_or(0) > 1)
      return component.fields.Unsupported("start", "after Fuse or ByteLevel, 0 or 1");
    decoder_.strips_leading_space = start.value_or(0) == 1;
    return OkStatus();
  }

  Decoder decoder_;
  bool seen_any_ = false;
  bool fused_ = false;
};

}  // namespace

Result<Decoder> ParseDecoder(const nlohmann::json& root) {
  DecoderReader reader;
  RETURN_IF_ERROR(ForEachComponent(root, "decoder", "decoders",
                                   [&](const Component& component) { return reader.Add(component); }));
  return std::move(reader).Finish();
}

}  // namespace reprise::tokenizer
