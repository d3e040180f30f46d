// A conversation of one message, as the model's own template writes it.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "models/model.h"

namespace reprise {

// With an empty `system`, no system message. FAILED_PRECONDITION when the model has no usable template.
Result<std::vector<TokenId>> EncodeChat(const Model& model, const std::string& system,
                                        const std::string& user);

}  // namespace reprise
