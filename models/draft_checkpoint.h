// The weights of recycle modules, and of drafts that share the target's vocabulary matrices: in bf16 or F32
// as safetensors, or quantised as GGUF (docs/file-formats.md).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "models/draft_config.h"
#include "models/formats/checkpoint.h"
#include "models/model_tensors.h"

namespace reprise {

// The file beside config.json that holds quantised weights, and what its general.architecture says.
inline constexpr std::string_view kDraftGguf = "model.gguf";
std::string_view DraftArchitecture(DraftClass draft_class);

// DIR/model.gguf or DIR's safetensors. Rows of q and k are in the order of config.json's rope in both.
// INVALID_ARGUMENT when the directory holds both, or a GGUF file of anything else; NOT_FOUND when neither;
// DATA_LOSS, naming the tensor, for elements that are not finite, and as Checkpoint::Open.
Result<std::unique_ptr<Checkpoint>> OpenDraftCheckpoint(const std::string& directory, DraftClass draft_class);

// What is loaded from it but for "d2t", in the order of a forward pass.
std::vector<ModelTensor> DraftTensors(const DraftConfig& config, DraftClass draft_class);

// The draft vocabulary: tensor "d2t", ascending ids below vocab_size; empty when it is the whole vocabulary.
Result<std::vector<TokenId>> LoadDraftVocabulary(const Checkpoint& checkpoint, const DraftConfig& config);

}  // namespace reprise
