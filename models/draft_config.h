// config.json of what is made for one target only: recycle modules, and drafts that share the target's
// vocabulary matrices (docs/file-formats.md).
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "models/config.h"

namespace reprise {

// Which of the target's hidden states a recycle module reads.
enum class HiddenKind { kPostNorm, kPreNorm };  // after or before the final norm

struct DraftConfig {
  ModelConfig layers;                              // its own layers; vocab_size is the target's
  int embedding_size = 0;                          // width of the target's embedding
  int draft_vocab_size = 0;                        // ids it can draft; layers.vocab_size: all
  std::string base_sha256;                         // BaseFingerprint of the target it was made for
  std::string base_name;                           // for messages
  HiddenKind hidden_kind = HiddenKind::kPostNorm;  // recycle modules
  int max_draft_tokens = 1;                        // recycle modules: the chain it was trained for
};

enum class DraftClass { kRecycleModule, kSharedDraft };

// What DIR/config.json names. Nothing for anything else, also for what cannot be read.
std::optional<DraftClass> DraftClassOf(const std::string& directory);

// INVALID_ARGUMENT, naming file and field, for another class or values that are missing or wrong.
Result<DraftConfig> LoadDraftConfig(const std::string& directory, DraftClass expected);

// FAILED_PRECONDITION, with both values, unless it was made for this target.
Status CheckMadeFor(const std::string& directory, const DraftConfig& draft, const ModelConfig& target,
                    const std::string& target_name, const std::string& target_sha256);

}  // namespace reprise
