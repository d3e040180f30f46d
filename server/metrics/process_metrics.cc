#include "server/metrics/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace reprise {
namespace {

std::string ReadAll(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Unix time of the machine's start.
double BootTime() {
  const std::string stat = ReadAll("/proc/stat");
  const std::size_t line = stat.find("btime ");
  return line == std::string::npos ? 0 : std::atof(stat.c_str() + line + 6);
}

// /proc/self/stat, proc(5): fields are counted from the state, the third, since the second may hold spaces.
void ReadStat(ProcessMetrics* out) {
  const std::string stat = ReadAll("/proc/self/stat");
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return;
  unsigned long user = 0, system = 0, threads = 0, virtual_bytes = 0;
  unsigned long long start_ticks = 0;
  long resident_pages = 0;
  const int fields =
      std::sscanf(stat.c_str() + name_end + 1,
                  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %lu %*d "
                  "%llu %lu %ld",
                  &user, &system, &threads, &start_ticks, &virtual_bytes, &resident_pages);
  if (fields != 6) return;
  const double ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  out->cpu_seconds = static_cast<double>(user + system) / ticks_per_second;
  out->start_time_seconds = BootTime() + static_cast<double>(start_ticks) / ticks_per_second;
  out->num_threads = threads;
  out->virtual_bytes = virtual_bytes;
  out->resident_bytes =
      static_cast<std::uint64_t>(resident_pages) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

ProcessMetrics ReadProcessMetrics() {
  ProcessMetrics metrics;
  ReadStat(&metrics);
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end; !error && entry != end;
       entry.increment(error)) {
    ++metrics.open_fds;
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) metrics.max_fds = limit.rlim_cur;
  return metrics;
}

}  // namespace reprise
