// Template source to syntax tree.
#pragma once

#include <string_view>

#include "base/status.h"
#include "models/chat_template/ast.h"
#include "models/chat_template/chat_template.h"

namespace reprise::chat_template {

// `source` is normalized (see lexer.h). INVALID_ARGUMENT with line and column.
Result<Body> ParseTemplate(std::string_view source, const ChatTemplateLimits& limits);

}  // namespace reprise::chat_template
