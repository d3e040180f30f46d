// Names for requests: what clients send as x-request-id, made harmless, or a fresh one.
#pragma once

#include <string>
#include <string_view>

namespace reprise {

// `sent` when it is 1 to 128 characters of [A-Za-z0-9._:-], else a new id.
std::string ChooseRequestId(std::string_view sent);

// 24 random hexadecimal digits.
std::string RandomHexId();

}  // namespace reprise
