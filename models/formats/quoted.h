// Names out of untrusted files, made fit for an error message.
#pragma once

#include <string>
#include <string_view>

namespace reprise {

// 'name' in single quotes: bytes outside printable ASCII become \xNN, and a long name is cut after 80 bytes.
std::string Quoted(std::string_view name);

}  // namespace reprise
