// Flags of one command: declared once as a table that yields parsing, --help, environment variables and
// config keys.
//
// A value comes from the command line, else from REPRISE_<NAME>, else from the config file (where the command
// has one), else it is the default. Names are written as on the command line without dashes in front
// ("max-num-seqs").
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace reprise {

class Flags {
 public:
  struct Flag {
    std::string name;
    std::string value_name;  // "N", "PATH"; empty for a switch
    std::string help;
    std::string default_text;
    bool is_switch = false;
    std::function<Status(const std::string&)> set;  // INVALID_ARGUMENT says what is allowed
  };

  // `command` as it is typed: "reprise serve", "bench_steps".
  Flags(std::string command, std::string summary);

  // The target's present value is the default. Targets outlive Parse.
  void Text(std::string name, std::string value_name, std::string help, std::string* target);
  void Integer(std::string name, std::string help, int* target, int minimum, int maximum);
  void Real(std::string name, std::string help, double* target, double minimum, double maximum);
  void Bytes(std::string name, std::string help, std::uint64_t* target);
  void Duration(std::string name, std::string help, double* seconds);
  void Choice(std::string name, std::string help, std::string* target, std::vector<std::string> allowed);
  void Switch(std::string name, std::string help, bool* target);
  void Add(Flag flag);
  // One argument without a flag, e.g. a path; required.
  void Positional(std::string value_name, std::string help, std::string* target);
  // Makes --config FILE available: `read` returns the file's keys and values.
  using ConfigReader = std::function<Result<std::map<std::string, std::string>>(const std::string& path)>;
  void EnableConfig(ConfigReader read);

  enum class Outcome { kRun, kHelp };
  // Arguments after the command. INVALID_ARGUMENT for whatever the user got wrong. Prints nothing.
  Result<Outcome> Parse(const std::vector<std::string>& arguments);

  std::string Help() const;
  const std::vector<Flag>& flags() const { return flags_; }

 private:
  Status ParseCommandLine(const std::vector<std::string>& arguments,
                          std::map<std::string, std::string>* given, bool* help);
  Status UnknownFlag(const std::string& name) const;
  Result<std::map<std::string, std::string>> ReadConfig(const std::string& path) const;

  std::string command_;
  std::string summary_;
  std::vector<Flag> flags_;
  std::string positional_name_;
  std::string positional_help_;
  std::string* positional_ = nullptr;
  ConfigReader read_config_;
};

}  // namespace reprise
