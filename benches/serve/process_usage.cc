#include "benches/serve/process_usage.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

namespace reprise::bench {
namespace {

std::string Proc(int pid, const char* what) {
  return "/proc/" + std::to_string(pid) + "/" + what;
}

}  // namespace

std::map<std::string, double> ThreadSeconds(int pid) {
  std::map<std::string, double> seconds;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(Proc(pid, "task"), error)) {
    std::ifstream file(task.path() / "stat");
    std::string line;
    if (!std::getline(file, line)) continue;  // has just ended
    // "tid (name) state ...": the name may hold anything; utime and stime are fields 14 and 15.
    const std::size_t open = line.find('(');
    const std::size_t close = line.rfind(')');
    std::istringstream fields(line.substr(close + 1));
    std::string skipped;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    seconds[line.substr(open + 1, close - open - 1)] +=
        (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  return seconds;
}

Memory ResidentMemory(int pid) {
  Memory memory;
  std::ifstream file(Proc(pid, "status"));
  for (std::string key; file >> key; file.ignore(1 << 16, '\n')) {
    std::uint64_t* const value = key == "VmRSS:"     ? &memory.resident
                                 : key == "RssAnon:" ? &memory.anonymous
                                 : key == "RssFile:" ? &memory.file
                                                     : nullptr;
    if (value == nullptr) continue;
    file >> *value;
    *value *= 1024;
  }
  return memory;
}

}  // namespace reprise::bench
