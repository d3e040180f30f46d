// The command line of a benchmark: flags, --help and the end of main.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/flags.h"
#include "kernels/weight_type.h"

namespace reprise::bench {

// Flags whose value is a list with commas between. The target's present value is the default.
void NameList(Flags* flags, std::string name, std::string help, std::vector<std::string>* target);
void IntegerList(Flags* flags, std::string name, std::string help, std::vector<int>* target, int minimum,
                 int maximum);
void RealList(Flags* flags, std::string name, std::string help, std::vector<double>* target, double minimum,
              double maximum);
// GGUF's names of weight types, in any case.
void TypeFlag(Flags* flags, std::string name, std::string help, WeightType* target);
void TypeList(Flags* flags, std::string name, std::string help, std::vector<WeightType>* target);

// The whole of main: parses, runs, prints what went wrong. Returns the exit code: 0, 1 when `run` failed, 2
// for a wrong command line.
int RunBench(Flags* flags, int argc, char** argv, const std::function<Status()>& run);

}  // namespace reprise::bench
