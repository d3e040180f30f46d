#include "benches/bench_flags.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

#include "benches/random_weights.h"

namespace reprise::bench {
namespace {

std::vector<std::string> SplitCommas(const std::string& list) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    parts.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string Written(const std::string& value) {
  return value;
}
std::string Written(int value) {
  return std::to_string(value);
}
std::string Written(WeightType type) {
  return std::string(GetWeightTypeInfo(type).name);
}
std::string Written(double value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof(text), value).ptr);
}

template <typename T>
std::string Joined(const std::vector<T>& values) {
  std::string text;
  for (const T& value : values) text += (text.empty() ? "" : ",") + Written(value);
  return text;
}

// A flag whose elements `parse` reads: Result<T>(const std::string&).
template <typename T, typename Parse>
void List(Flags* flags, std::string name, std::string value_name, std::string help, std::vector<T>* target,
          Parse parse) {
  flags->Add({std::move(name), std::move(value_name), std::move(help), Joined(*target), false,
              [target, parse](const std::string& text) -> Status {
                std::vector<T> values;
                for (const std::string& part : SplitCommas(text)) {
                  ASSIGN_OR_RETURN(T value, parse(part));
                  values.push_back(std::move(value));
                }
                *target = std::move(values);
                return OkStatus();
              }});
}

template <typename T>
void NumberList(Flags* flags, std::string name, std::string help, std::vector<T>* target, T minimum,
                T maximum) {
  List(flags, std::move(name), "N,...", std::move(help), target, [=](const std::string& text) -> Result<T> {
    T value = {};
    const char* end = text.data() + text.size();
    const auto [last, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc() && last == end && value >= minimum && value <= maximum) return value;
    return InvalidArgument("'" + text + "' is not a number from " + Written(minimum) + " to " +
                           Written(maximum));
  });
}

Result<WeightType> TypeNamed(const std::string& name) {
  WeightType type;
  if (TypeByName(name, &type)) return type;
  return InvalidArgument("there is no weight type '" + name + "'");
}

}  // namespace

void NameList(Flags* flags, std::string name, std::string help, std::vector<std::string>* target) {
  List(flags, std::move(name), "NAME,...", std::move(help), target,
       [](const std::string& text) -> Result<std::string> {
         if (text.empty()) return InvalidArgument("a name is missing between commas");
         return text;
       });
}

void IntegerList(Flags* flags, std::string name, std::string help, std::vector<int>* target, int minimum,
                 int maximum) {
  NumberList(flags, std::move(name), std::move(help), target, minimum, maximum);
}

void RealList(Flags* flags, std::string name, std::string help, std::vector<double>* target, double minimum,
              double maximum) {
  NumberList(flags, std::move(name), std::move(help), target, minimum, maximum);
}

void TypeFlag(Flags* flags, std::string name, std::string help, WeightType* target) {
  flags->Add({std::move(name), "TYPE", std::move(help), Written(*target), false,
              [target](const std::string& text) -> Status {
                ASSIGN_OR_RETURN(*target, TypeNamed(text));
                return OkStatus();
              }});
}

void TypeList(Flags* flags, std::string name, std::string help, std::vector<WeightType>* target) {
  List(flags, std::move(name), "TYPE,...", std::move(help), target, TypeNamed);
}

int RunBench(Flags* flags, int argc, char** argv, const std::function<Status()>& run) {
  const Result<Flags::Outcome> outcome = flags->Parse({argv + 1, argv + argc});
  if (outcome.ok() && *outcome == Flags::Outcome::kHelp) {
    std::fputs(flags->Help().c_str(), stdout);
    return 0;
  }
  const Status status = outcome.ok() ? run() : outcome.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s: %s\n", argv[0], status.message().c_str());
  return outcome.ok() ? 1 : 2;
}

}  // namespace reprise::bench
