#include "base/log.h"

#include <atomic>
#include <cstdio>

namespace reprise {
namespace {

void DefaultSink(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  static constexpr const char* kNames[] = {"debug", "info", "warning", "error"};
  std::string line = std::string(kNames[static_cast<int>(level)]) + " " + std::string(message);
  for (const LogField& field : fields) line += " " + std::string(field.key) + "=" + field.value;
  line += "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

std::atomic<LogSink> g_sink{&DefaultSink};
std::atomic<LogLevel> g_minimum{LogLevel::kInfo};

}  // namespace

LogField::LogField(std::string_view k, double v) : key(k) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", v);
  value = text;
}

void SetLogSink(LogSink sink) {
  g_sink.store(sink);
}
void SetMinimumLogLevel(LogLevel level) {
  g_minimum.store(level);
}

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (level < g_minimum.load(std::memory_order_relaxed)) return;
  g_sink.load()(level, message, {fields.begin(), fields.size()});
}

}  // namespace reprise
