// The reprise binary: picks the subcommand.
#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "cli/command.h"
#include "cli/version.h"

namespace reprise {
namespace {

struct Command {
  std::string_view name;
  std::string_view summary;
  int (*run)(const std::vector<std::string>&);
};

constexpr Command kCommands[] = {
#ifdef REPRISE_WITH_SERVER
    {"serve", "Serve a model over HTTP (OpenAI's API) and gRPC", RunServe},
#endif
    {"generate", "Print one completion", RunGenerate},
    {"bench", "Measure the engine without the network", RunBench},
    {"eval", "Measure a model's quality on a text", RunEval},
    {"extract", "Write final hidden states, to train recycle modules on", RunExtract},
    {"tokenize", "Turn text into token ids, or back", RunTokenize},
#ifdef REPRISE_WITH_SERVER
    {"slice", "Delete residual dimensions of a model (SliceGPT)", RunSlice},
#endif
    {"quantize", "Write a model as a block-quantised GGUF file", RunQuantize},
    {"inspect", "Describe a model, a tokenizer or a directory of weights", RunInspect},
};

void PrintUsage(std::FILE* out) {
  std::fprintf(out, "reprise %s: an LLM serving daemon\n\nUsage: reprise COMMAND [flags]\n\n", kVersion);
  for (const Command& command : kCommands) {
    std::fprintf(out, "  %-10s %s\n", std::string(command.name).c_str(),
                 std::string(command.summary).c_str());
  }
  std::fprintf(
      out, "\n'reprise COMMAND --help' lists a command's flags. 'reprise --version' prints the version.\n");
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    PrintUsage(stderr);
    return kExitUsage;
  }
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h" || name == "help") {
    PrintUsage(stdout);
    return kExitOk;
  }
  if (name == "--version" || name == "version") {
    std::printf("reprise %s\n", kVersion);
    return kExitOk;
  }
  std::vector<std::string> known;
  for (const Command& command : kCommands) {
    if (command.name == name) return command.run({arguments.begin() + 1, arguments.end()});
    known.emplace_back(command.name);
  }
  const std::string nearest = NearestName(name, known);
  std::fprintf(
      stderr, "reprise: unknown command '%s'%s\n", name.c_str(),
      nearest.empty() ? "; 'reprise --help' lists them" : ("; did you mean '" + nearest + "'?").c_str());
  return kExitUsage;
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  return reprise::Main(std::vector<std::string>(argv + 1, argv + argc));
}
