#include "cli/bench_profile.h"

#include <algorithm>
#include <cstdio>

namespace reprise {
namespace {

// printf into the end of a text.
template <typename... Values>
void Append(std::string* text, const char* format, Values... values) {
  char line[512];
  std::snprintf(line, sizeof(line), format, values...);
  *text += line;
}

double Rate(std::int64_t amount, double seconds) {
  return seconds > 0 ? static_cast<double>(amount) / seconds / 1e9 : 0;
}

double SecondsOf(const std::vector<OpProfile>& ops) {
  double seconds = 0;
  for (const OpProfile& op : ops) seconds += op.seconds;
  return seconds;
}

}  // namespace

Roofline Roofline::Measure(Backend& backend, WeightReader& reader) {
  constexpr int kRuns = 3;
  Roofline roofline;
  for (int run = 0; run < kRuns; ++run)
    roofline.bytes_per_second = std::max(roofline.bytes_per_second, reader.Measure());
  roofline.peaks = backend.MeasurePeaks();
  return roofline;
}

double Roofline::Seconds(const OpProfile& op) const {
  const double peak = peaks.*op.peak;
  if (op.operations == 0 || peak == 0) return 0;
  return std::max(static_cast<double>(op.bytes) / bytes_per_second,
                  static_cast<double>(op.operations) / peak);
}

void MergeProfile(const std::vector<OpProfile>& ops, std::vector<OpProfile>* into) {
  for (const OpProfile& op : ops) {
    const auto same = std::ranges::find_if(*into, [&](const OpProfile& other) { return other.op == op.op; });
    if (same == into->end()) {
      into->push_back(op);
      continue;
    }
    same->calls += op.calls;
    same->seconds += op.seconds;
    same->bytes += op.bytes;
    same->operations += op.operations;
  }
}

std::string ProfileTable(const std::string& title, std::vector<OpProfile> ops, int steps, double seconds,
                         const Roofline& roofline) {
  std::string table;
  Append(&table,
         "\n%s: %d steps of %.3f ms; roofline %.1f GB/s, %.0f int8 GOP/s, %.0f bf16 and %.0f float GFLOP/s\n",
         title.c_str(), steps, 1e3 * seconds / steps, roofline.bytes_per_second / 1e9,
         roofline.peaks.integers / 1e9, roofline.peaks.bf16 / 1e9, roofline.peaks.floats / 1e9);
  Append(&table, "  %-34s %10s %10s %6s %8s %8s %12s\n", "operation", "calls/step", "us/step", "time", "GB/s",
         "GOP/s", "of roofline");
  std::ranges::stable_sort(ops, std::ranges::greater(), &OpProfile::seconds);
  for (const OpProfile& op : ops) {
    Append(&table, "  %-34s %10.1f %10.1f %4.0f %% %8.1f %8.1f", op.op.c_str(),
           static_cast<double>(op.calls) / steps, 1e6 * op.seconds / steps, 100 * op.seconds / seconds,
           Rate(op.bytes, op.seconds), Rate(op.operations, op.seconds));
    const double least = roofline.Seconds(op);
    if (least > 0) Append(&table, " %10.0f %%", 100 * least / op.seconds);
    table += '\n';
  }
  const double rest = seconds - SecondsOf(ops);
  Append(&table, "  %-34s %10s %10.1f %4.0f %%\n", "outside of operations", "", 1e6 * rest / steps,
         100 * rest / seconds);
  return table;
}

std::string ProfileJson(const std::string& part, const std::vector<OpProfile>& ops, int steps, double seconds,
                        const Roofline& roofline) {
  std::string rows;
  for (const OpProfile& op : ops) {
    Append(&rows,
           "{\"profile\": \"%s\", \"steps\": %d, \"ms_per_step\": %.4f, \"op\": \"%s\", \"calls\": %lld, "
           "\"seconds\": %.6f, \"bytes\": %lld, \"operations\": %lld, \"of_roofline\": %.3f}\n",
           part.c_str(), steps, 1e3 * seconds / steps, op.op.c_str(), static_cast<long long>(op.calls),
           op.seconds, static_cast<long long>(op.bytes), static_cast<long long>(op.operations),
           op.seconds > 0 ? roofline.Seconds(op) / op.seconds : 0.0);
  }
  return rows;
}

}  // namespace reprise
