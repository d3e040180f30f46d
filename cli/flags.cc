#include "cli/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <utility>

#include "base/text.h"

namespace reprise {
namespace {

std::string EnvironmentName(const std::string& flag) {
  std::string name = "REPRISE_" + flag;
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

template <typename T>
bool ParseNumber(const std::string& text, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

template <typename T>
std::string NumberText(T value) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return error == std::errc() ? std::string(buffer, end) : std::string();
}

std::string SizeText(std::uint64_t bytes) {
  for (const auto& [shift, unit] : {std::pair{30, "GiB"}, {20, "MiB"}, {10, "KiB"}}) {
    if (bytes != 0 && bytes % (std::uint64_t{1} << shift) == 0) return NumberText(bytes >> shift) + unit;
  }
  return NumberText(bytes);
}

}  // namespace

Flags::Flags(std::string command, std::string summary)
    : command_(std::move(command)), summary_(std::move(summary)) {}

void Flags::Add(Flag flag) {
  flags_.push_back(std::move(flag));
}

void Flags::Text(std::string name, std::string value_name, std::string help, std::string* target) {
  Add({std::move(name), std::move(value_name), std::move(help), *target, false,
       [target](const std::string& text) {
         *target = text;
         return OkStatus();
       }});
}

void Flags::Integer(std::string name, std::string help, int* target, int minimum, int maximum) {
  Add({std::move(name), "N", std::move(help), NumberText(*target), false, [=](const std::string& text) {
         int value = 0;
         if (ParseNumber(text, &value) && value >= minimum && value <= maximum) {
           *target = value;
           return OkStatus();
         }
         return InvalidArgument("'" + text + "' is not a whole number from " + NumberText(minimum) + " to " +
                                NumberText(maximum));
       }});
}

void Flags::Real(std::string name, std::string help, double* target, double minimum, double maximum) {
  Add({std::move(name), "X", std::move(help), NumberText(*target), false, [=](const std::string& text) {
         double value = 0;
         if (ParseNumber(text, &value) && value >= minimum && value <= maximum) {
           *target = value;
           return OkStatus();
         }
         return InvalidArgument("'" + text + "' is not a number from " + NumberText(minimum) + " to " +
                                NumberText(maximum));
       }});
}

void Flags::Bytes(std::string name, std::string help, std::uint64_t* target) {
  Add({std::move(name), "SIZE", std::move(help), SizeText(*target), false, [target](const std::string& text) {
         ASSIGN_OR_RETURN(*target, ParseBytes(text));
         return OkStatus();
       }});
}

void Flags::Duration(std::string name, std::string help, double* seconds) {
  Add({std::move(name), "TIME", std::move(help), NumberText(*seconds) + "s", false,
       [seconds](const std::string& text) {
         ASSIGN_OR_RETURN(*seconds, ParseDuration(text));
         return OkStatus();
       }});
}

void Flags::Choice(std::string name, std::string help, std::string* target,
                   std::vector<std::string> allowed) {
  std::string list;
  for (const std::string& word : allowed) list += (list.empty() ? "" : "|") + word;
  Add({std::move(name), list, std::move(help), *target, false, [=](const std::string& text) {
         if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) {
           *target = text;
           return OkStatus();
         }
         return InvalidArgument("'" + text + "' is not one of " + list);
       }});
}

void Flags::Switch(std::string name, std::string help, bool* target) {
  Add({std::move(name), "", std::move(help), *target ? "true" : "false", true,
       [target](const std::string& text) {
         if (text != "true" && text != "false")
           return InvalidArgument("'" + text + "' is neither true nor false");
         *target = text == "true";
         return OkStatus();
       }});
}

void Flags::Positional(std::string value_name, std::string help, std::string* target) {
  positional_name_ = std::move(value_name);
  positional_help_ = std::move(help);
  positional_ = target;
}

void Flags::EnableConfig(ConfigReader read) {
  read_config_ = std::move(read);
}

Status Flags::UnknownFlag(const std::string& argument) const {
  const std::string name = argument.substr(0, argument.find('='));
  std::vector<std::string> known{"--help"};
  if (read_config_) known.push_back("--config");
  for (const Flag& flag : flags_) known.push_back("--" + flag.name);
  const std::string nearest = NearestName(name, known);
  return InvalidArgument("unknown argument '" + name + "' for 'reprise " + command_ + "'" +
                         (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"));
}

Status Flags::ParseCommandLine(const std::vector<std::string>& arguments,
                               std::map<std::string, std::string>* given, bool* help) {
  CLI::App app(summary_, command_);
  app.set_help_flag();  // ours says more
  app.allow_extras();
  bool want_help = false;
  app.add_flag("--help,-h", want_help);
  std::map<std::string, std::string> values;
  std::map<std::string, bool> switches;
  for (const Flag& flag : flags_) {
    if (flag.is_switch) {
      app.add_flag("--" + flag.name + ",!--no-" + flag.name, switches[flag.name]);
    } else {
      app.add_option("--" + flag.name, values[flag.name])->allow_extra_args(false);
    }
  }
  if (read_config_) app.add_option("--config", values["config"]);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // what CLI11 takes
  try {
    app.parse(reversed);
  } catch (const CLI::Error& error) {
    return InvalidArgument(error.what());
  }
  *help = want_help;
  std::vector<std::string> rest = app.remaining();
  for (const std::string& argument : rest) {
    if (argument.starts_with("-") && argument != "-") return UnknownFlag(argument);
  }
  if (positional_ != nullptr && !rest.empty()) {
    *positional_ = rest.front();
    rest.erase(rest.begin());
  } else if (positional_ != nullptr && !want_help) {
    return InvalidArgument("'" + command_ + "' needs " + positional_name_ + ": " + positional_help_);
  }
  if (!rest.empty()) return UnknownFlag(rest.front());
  for (const auto& [name, value] : values) {
    if (app.count("--" + name) > 0) (*given)[name] = value;
  }
  for (const auto& [name, value] : switches) {
    if (app.count("--" + name) > 0) (*given)[name] = value ? "true" : "false";
  }
  return OkStatus();
}

Result<std::map<std::string, std::string>> Flags::ReadConfig(const std::string& path) const {
  ASSIGN_OR_RETURN(auto values, read_config_(path));
  std::vector<std::string> known;
  for (const Flag& flag : flags_) known.push_back(flag.name);
  for (const auto& [key, value] : values) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string nearest = NearestName(key, known);
    return InvalidArgument(path + ": unknown key '" + key + "'" +
                           (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"));
  }
  return values;
}

Result<Flags::Outcome> Flags::Parse(const std::vector<std::string>& arguments) {
  std::map<std::string, std::string> given;
  bool help = false;
  RETURN_IF_ERROR(ParseCommandLine(arguments, &given, &help));
  if (help) return Outcome::kHelp;
  std::map<std::string, std::string> config;
  if (read_config_) {
    const char* from_environment = std::getenv("REPRISE_CONFIG");
    const std::string path = given.contains("config")      ? given["config"]
                             : from_environment != nullptr ? from_environment
                                                           : "";
    if (!path.empty()) {
      ASSIGN_OR_RETURN(config, ReadConfig(path));
    }
  }
  for (const Flag& flag : flags_) {
    const std::string variable = EnvironmentName(flag.name);
    const char* environment = std::getenv(variable.c_str());
    Status status;
    if (const auto it = given.find(flag.name); it != given.end()) {
      status = flag.set(it->second);
      if (!status.ok()) return InvalidArgument("--" + flag.name + ": " + status.message());
    } else if (environment != nullptr) {
      status = flag.set(environment);
      if (!status.ok()) return InvalidArgument(variable + ": " + status.message());
    } else if (const auto key = config.find(flag.name); key != config.end()) {
      status = flag.set(key->second);
      if (!status.ok()) return InvalidArgument("config key " + flag.name + ": " + status.message());
    }
  }
  return Outcome::kRun;
}

std::string Flags::Help() const {
  std::string text = command_ + ": " + summary_ + "\n\nUsage: " + command_ + " [flags]" +
                     (positional_ != nullptr ? " " + positional_name_ : "") + "\n\n";
  if (positional_ != nullptr) text += "  " + positional_name_ + "\n        " + positional_help_ + "\n";
  if (read_config_) {
    text +=
        "  --config FILE.yaml\n        Read settings from a file; its keys are the flags below without "
        "dashes in front\n";
  }
  for (const Flag& flag : flags_) {
    text += "  --" + flag.name + (flag.value_name.empty() ? "" : " " + flag.value_name) + "\n        " +
            flag.help;
    if (!flag.is_switch && !flag.default_text.empty()) text += " (default: " + flag.default_text + ")";
    text += "\n";
  }
  text += "  --help\n        Print this text\n\n";
  text += "Every flag can also be set by an environment variable: --" +
          (flags_.empty() ? std::string("flag") : flags_.front().name) + " is " +
          EnvironmentName(flags_.empty() ? "flag" : flags_.front().name) + ".\n";
  return text;
}

}  // namespace reprise
