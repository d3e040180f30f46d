// A target model with what was made to decode it fast: a recycle module, a draft.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "models/model.h"
#include "models/recycle_module.h"

namespace reprise {

// Empty: none.
struct FamilyPaths {
  std::string target;   // a model, or after ResolveFamily certainly one; a family directory before
  std::string recycle;  // a recycle module's directory
  std::string draft;    // a model, or a draft that shares the target's vocabulary matrices
};

// When paths.target is a directory with family.json, takes from there what `paths` leaves out
// (docs/file-formats.md). INVALID_ARGUMENT names the field.
Result<FamilyPaths> ResolveFamily(FamilyPaths paths);

struct ModelFamily {
  std::unique_ptr<Model> target;
  std::unique_ptr<RecycleModule> recycle;  // nullptr: none
  std::unique_ptr<Decoder> draft;          // nullptr: none

  // `max_positions` as in Model::Load. FAILED_PRECONDITION, with both values, for parts that do not fit each
  // other.
  static Result<ModelFamily> Load(const FamilyPaths& paths, Backend& backend, int max_positions = 0);
};

}  // namespace reprise
