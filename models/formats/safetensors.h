// safetensors: one file, or the shards that model.safetensors.index.json lists.
// Format: github.com/huggingface/safetensors, README "Format".
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "models/formats/checkpoint.h"

namespace reprise {

// DATA_LOSS when the header is not valid, or a tensor's offsets leave the file, overlap another tensor's or
// do not match its shape. Tensors of types other than F32, F16 and BF16 are set aside
// (Checkpoint::UnsupportedType).
Result<std::unique_ptr<Checkpoint>> OpenSafetensors(const std::string& path);

// `index_path` is DIR/model.safetensors.index.json; the shards are files of DIR itself. DATA_LOSS when a
// shard's name points elsewhere, a shard lacks a tensor that the index places there, or two shards have the
// same tensor.
Result<std::unique_ptr<Checkpoint>> OpenShardedSafetensors(const std::string& index_path);

}  // namespace reprise
