#include "benches/bench_report.h"

#include <cstdio>
#include <fstream>
#include <thread>

namespace reprise::bench {
namespace {

std::string CpuModel() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string Commit() {
  std::FILE* git = popen("git describe --always --dirty 2>/dev/null", "r");
  if (git == nullptr) return "unknown";
  char line[128] = {};
  const bool read = std::fgets(line, sizeof(line), git) != nullptr;
  pclose(git);
  std::string commit = read ? line : "unknown";
  while (!commit.empty() && commit.back() == '\n') commit.pop_back();
  return commit;
}

}  // namespace

const std::string& MachineJson() {
  static const std::string json = "\"cpu\":\"" + CpuModel() +
                                  "\",\"cores\":" + std::to_string(std::thread::hardware_concurrency()) +
                                  ",\"commit\":\"" + Commit() + "\"";
  return json;
}

}  // namespace reprise::bench
