// What main.cc dispatches to: one function per subcommand, in one file each.
#pragma once

#include <string>
#include <vector>

namespace reprise {

// Exit codes of the command line.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// Each takes the arguments after its name, prints results on standard output and problems on standard error,
// and returns the exit code.
int RunServe(const std::vector<std::string>& arguments);
int RunGenerate(const std::vector<std::string>& arguments);
int RunBench(const std::vector<std::string>& arguments);
int RunEval(const std::vector<std::string>& arguments);
int RunExtract(const std::vector<std::string>& arguments);
int RunTokenize(const std::vector<std::string>& arguments);
int RunQuantize(const std::vector<std::string>& arguments);
int RunSlice(const std::vector<std::string>& arguments);
int RunInspect(const std::vector<std::string>& arguments);

}  // namespace reprise
