#include "cli/logging.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "base/log.h"

namespace reprise {
namespace {

spdlog::logger* g_logger = nullptr;
bool g_json = false;

void AppendJsonString(std::string_view text, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (byte < 0x20) {
      *out += "\\u00";
      out->push_back(kHex[byte >> 4]);
      out->push_back(kHex[byte & 15]);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

// logfmt: values with spaces, quotes or control characters are quoted, so that a value cannot forge a line.
bool NeedsQuotes(std::string_view value) {
  if (value.empty()) return true;
  for (const char c : value) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=') return true;
  }
  return false;
}

std::string FormatFields(std::string_view message, std::span<const LogField> fields) {
  std::string line;
  if (g_json) {
    line = "\"message\":";
    AppendJsonString(message, &line);
    for (const LogField& field : fields) {
      line += ",";
      AppendJsonString(field.key, &line);
      line += ":";
      AppendJsonString(field.value, &line);
    }
    return line;
  }
  line = message;
  for (const LogField& field : fields) {
    line += "  ";
    line += field.key;
    line += "=";
    if (NeedsQuotes(field.value)) {
      AppendJsonString(field.value, &line);
    } else {
      line += field.value;
    }
  }
  return line;
}

void SpdlogSink(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  static constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                          spdlog::level::warn, spdlog::level::err};
  g_logger->log(kLevels[static_cast<int>(level)], spdlog::string_view_t(FormatFields(message, fields)));
}

}  // namespace

void InstallLogging(bool json) {
  static spdlog::logger logger("reprise", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  g_logger = &logger;
  g_json = json;
  logger.set_level(spdlog::level::debug);
  logger.flush_on(spdlog::level::debug);
  // The message of a JSON line brings its own quotes and fields.
  logger.set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})"
                          : "%Y-%m-%d %H:%M:%S.%e %-7l %v");
  SetLogSink(&SpdlogSink);
}

}  // namespace reprise
