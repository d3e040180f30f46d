// Structured logging: an event name and key/value fields, handed to one sink that the binary installs.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace reprise {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogField {
  std::string_view key;
  std::string value;
  LogField(std::string_view k, std::string v) : key(k), value(std::move(v)) {}
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, double v);
  template <typename T>
  requires std::is_integral_v<T> LogField(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
};

// Called from any thread; must be thread-safe and must not throw.
using LogSink = void (*)(LogLevel level, std::string_view message, std::span<const LogField> fields);

// Installed once by main before threads start. The default prints "level message key=value ..." on standard
// error.
void SetLogSink(LogSink sink);
void SetMinimumLogLevel(LogLevel level);

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});
inline void LogInfo(std::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kInfo, message, fields);
}
inline void LogWarning(std::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kWarning, message, fields);
}
inline void LogError(std::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kError, message, fields);
}

}  // namespace reprise
