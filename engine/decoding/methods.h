// Which decoding methods and proposers can be asked for by name, given what is loaded.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/request.h"

namespace reprise {

// By the names of DecodingMethodName and ProposerName; unset for any other.
std::optional<DecodingMethod> FindDecodingMethod(std::string_view name);
std::optional<ProposerKind> FindProposer(std::string_view name);

// `loaded` is EngineInfo::proposers. Auto and plain need nothing.
bool IsLoaded(DecodingMethod method, std::span<const ProposerKind> loaded);
// Those that a request can run by, auto left out.
std::vector<DecodingMethod> LoadedMethods(std::span<const ProposerKind> loaded);
// "auto, plain, speculative".
std::string ListMethods(std::span<const ProposerKind> loaded);
// "draft_model, prompt_lookup": those that speculative decoding can be told to use.
std::string ListSpeculativeProposers(std::span<const ProposerKind> loaded);

}  // namespace reprise
