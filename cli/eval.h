// The measures of `reprise eval`, one file each, and the flags they share.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "cli/session.h"

namespace reprise {

struct EvalFlags {
  ModelFlags model;
  std::string measure;
  std::string text;
  int context = 2048;
  int max_windows = 0;
  std::string kv_cache_dtype = "auto";
  // Of agreement.
  std::string decoding = "auto";
  int max_draft_tokens = 4;
  int stride = 32;
  bool json = false;
};

// A text in windows as SliceGPT's code makes them (gpu_utils, data_utils): tokenised once, cut into windows
// of `context` tokens, the tail dropped.
struct TextWindows {
  std::vector<TokenId> tokens;
  int context = 0;
  std::size_t count = 0;

  std::span<const TokenId> window(std::size_t w) const {
    const auto length = static_cast<std::size_t>(context);
    return std::span(tokens).subspan(w * length, length);
  }
};

// INVALID_ARGUMENT when the text is shorter than one window.
Result<TextWindows> ReadWindows(const EvalFlags& flags, const Model& model);

// Each prints its result on standard output and its progress on standard error.
Status EvalPerplexity(const EvalFlags& flags);
Status EvalAgreement(const EvalFlags& flags);

}  // namespace reprise
