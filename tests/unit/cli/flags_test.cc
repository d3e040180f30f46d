#include "cli/flags.h"

#include <catch2/catch.hpp>
#include <cstdlib>

namespace reprise {
namespace {

struct Values {
  std::string text = "a";
  int number = 5;
  double real = 0.5;
  std::uint64_t bytes = std::uint64_t{2} << 30;
  double seconds = 30;
  std::string choice = "auto";
  bool on = false;
  Flags flags{"serve", "Serve a model"};

  Values() {
    flags.Text("host", "HOST", "Where", &text);
    flags.Integer("max-num-seqs", "How many", &number, 1, 100);
    flags.Real("top-p", "Nucleus", &real, 0, 1);
    flags.Bytes("kv-cache-memory", "Memory", &bytes);
    flags.Duration("drain-timeout", "Time", &seconds);
    flags.Choice("log-format", "Form", &choice, {"auto", "text", "json"});
    flags.Switch("metrics-open", "Open", &on);
  }
  std::string Error(const std::vector<std::string>& arguments) {
    const auto outcome = flags.Parse(arguments);
    return outcome.ok() ? "" : outcome.status().message();
  }
};

TEST_CASE("Values are parsed and defaults stay", "[cli]") {
  Values v;
  REQUIRE(v.Error({"--host", "::1", "--max-num-seqs=7", "--kv-cache-memory", "512MiB", "--drain-timeout",
                   "500ms", "--metrics-open", "--log-format", "json"}) == "");
  CHECK(v.text == "::1");
  CHECK(v.number == 7);
  CHECK(v.real == 0.5);
  CHECK(v.bytes == std::uint64_t{512} << 20);
  CHECK(v.seconds == 0.5);
  CHECK(v.choice == "json");
  CHECK(v.on);
}

TEST_CASE("Mistakes are named, with what is allowed", "[cli]") {
  const auto has = [](const std::string& text, const std::string& part) {
    INFO(text);
    return text.find(part) != std::string::npos;
  };
  CHECK(has(Values().Error({"--max-num-seq", "7"}), "did you mean '--max-num-seqs'"));
  CHECK(has(Values().Error({"--max-num-seqs", "x"}),
            "--max-num-seqs: 'x' is not a whole number from 1 to 100"));
  CHECK(has(Values().Error({"--max-num-seqs", "101"}), "from 1 to 100"));
  CHECK(has(Values().Error({"--max-num-seqs", "99999999999999"}), "from 1 to 100"));
  CHECK(has(Values().Error({"--top-p", "nan"}), "not a number from 0 to 1"));
  CHECK(has(Values().Error({"--kv-cache-memory", "lots"}), "2GiB"));
  CHECK(has(Values().Error({"--log-format", "xml"}), "not one of auto|text|json"));
  CHECK(has(Values().Error({"stray"}), "unknown argument 'stray'"));
  CHECK(has(Values().Error({"--host"}), "--host"));
}

TEST_CASE("Command line beats environment beats file beats default", "[cli]") {
  const auto read = [](const std::string&) -> Result<std::map<std::string, std::string>> {
    return std::map<std::string, std::string>{{"max-num-seqs", "11"}, {"host", "file"}, {"top-p", "0.25"}};
  };
  setenv("REPRISE_MAX_NUM_SEQS", "22", 1);
  setenv("REPRISE_HOST", "environment", 1);
  Values v;
  v.flags.EnableConfig(read);
  CHECK(v.Error({"--host", "flag", "--config", "some.yaml"}) == "");
  CHECK(v.text == "flag");
  CHECK(v.number == 22);
  CHECK(v.real == 0.25);
  setenv("REPRISE_MAX_NUM_SEQS", "zero", 1);
  CHECK(Values().Error({}).find("REPRISE_MAX_NUM_SEQS: 'zero'") == 0);
  unsetenv("REPRISE_MAX_NUM_SEQS");
  unsetenv("REPRISE_HOST");
}

TEST_CASE("Unknown and wrong config keys are named", "[cli]") {
  const auto with = [](std::map<std::string, std::string> config) {
    Values v;
    v.flags.EnableConfig(
        [config](const std::string&) -> Result<std::map<std::string, std::string>> { return config; });
    return v.Error({"--config", "c.yaml"});
  };
  CHECK(with({{"max-num-sequences", "3"}})
            .find("c.yaml: unknown key 'max-num-sequences'; did you mean 'max-num-seqs'?") == 0);
  CHECK(with({{"max-num-seqs", "0"}}).find("config key max-num-seqs: '0'") == 0);
}

TEST_CASE("Help lists every flag with its default", "[cli]") {
  Values v;
  const std::string help = v.flags.Help();
  for (const char* part : {"--host HOST", "--kv-cache-memory SIZE", "(default: 2GiB)", "(default: 30s)",
                           "auto|text|json", "REPRISE_HOST"}) {
    CHECK(help.find(part) != std::string::npos);
  }
  CHECK(*v.flags.Parse({"--help"}) == Flags::Outcome::kHelp);
}

TEST_CASE("A positional argument is required and may stand anywhere", "[cli]") {
  std::string path;
  int number = 1;
  Flags flags("reprise inspect", "Describe");
  flags.Positional("PATH", "a model", &path);
  flags.Integer("n", "N", &number, 0, 9);
  CHECK_FALSE(flags.Parse({}).ok());
  CHECK(flags.Parse({"--n", "3", "some/path"}).ok());
  CHECK(path == "some/path");
  CHECK_FALSE(flags.Parse({"a", "b"}).ok());
}

}  // namespace
}  // namespace reprise
