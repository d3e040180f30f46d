#include "engine/decoding/methods.h"

#include <algorithm>

namespace reprise {

std::optional<DecodingMethod> FindDecodingMethod(std::string_view name) {
  for (int m = 0; m < kNumMethods; ++m) {
    const auto method = static_cast<DecodingMethod>(m);
    if (name == DecodingMethodName(method)) return method;
  }
  return std::nullopt;
}

std::optional<ProposerKind> FindProposer(std::string_view name) {
  for (int p = 0; p < kNumProposers; ++p) {
    const auto kind = static_cast<ProposerKind>(p);
    if (name == ProposerName(kind)) return kind;
  }
  return std::nullopt;
}

bool IsLoaded(DecodingMethod method, std::span<const ProposerKind> loaded) {
  return method == DecodingMethod::kAuto || method == DecodingMethod::kPlain ||
         std::ranges::any_of(loaded, [&](ProposerKind kind) { return MethodOf(kind) == method; });
}

std::vector<DecodingMethod> LoadedMethods(std::span<const ProposerKind> loaded) {
  std::vector<DecodingMethod> methods;
  for (DecodingMethod method :
       {DecodingMethod::kPlain, DecodingMethod::kRecycle, DecodingMethod::kSpeculative}) {
    if (IsLoaded(method, loaded)) methods.push_back(method);
  }
  return methods;
}

std::string ListMethods(std::span<const ProposerKind> loaded) {
  std::string list(DecodingMethodName(DecodingMethod::kAuto));
  for (DecodingMethod method : LoadedMethods(loaded)) list += ", " + std::string(DecodingMethodName(method));
  return list;
}

std::string ListSpeculativeProposers(std::span<const ProposerKind> loaded) {
  std::string list;
  for (ProposerKind kind : loaded) {
    if (MethodOf(kind) != DecodingMethod::kSpeculative) continue;
    list += (list.empty() ? "" : ", ") + std::string(ProposerName(kind));
  }
  return list;
}

}  // namespace reprise
