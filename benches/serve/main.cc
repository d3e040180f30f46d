// Load on a running daemon: streams at a time, and what they and the daemon's threads cost.
//
//   bench_serve --port N [--host H] [--pid PID] [--endpoint completions|chat] [--concurrency N] [--requests
//   N]
//               [--prompt-words N] [--max-tokens N] [--file F [--warm-up N] [--paced 1]]
//
// Requests are random words, --requests a stream on kept-alive connections, or those of --file (see
// load_requests.h), a connection each; --paced: at their arrivals, on at most --concurrency connections.
// What goes first is not counted: a run of the same size, or the first --warm-up requests of the file.
// Prints one JSON row. With --pid, of a server on this machine, the row tells the CPU time of its threads,
// by name, and its resident memory.
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "benches/bench_report.h"
#include "benches/serve/load.h"
#include "benches/serve/load_requests.h"
#include "benches/serve/process_usage.h"

namespace reprise::bench {
namespace {

struct Options {
  LoadOptions load;
  RandomWords words;
  int requests_per_stream = 4;
  std::string file;
  int warm_up = 1;
  int paced = 0;
  std::string endpoint = "completions";
  int pid = 0;
};

bool ParseNumber(const std::string& text, int* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && *value > 0;
}

bool ParseOptions(int argc, char** argv, Options* options) {
  const std::map<std::string, int*> numbers = {{"--port", &options->load.port},
                                               {"--pid", &options->pid},
                                               {"--concurrency", &options->load.concurrency},
                                               {"--requests", &options->requests_per_stream},
                                               {"--prompt-words", &options->words.prompt_words},
                                               {"--max-tokens", &options->words.max_tokens},
                                               {"--warm-up", &options->warm_up},
                                               {"--paced", &options->paced}};
  const std::map<std::string, std::string*> texts = {
      {"--host", &options->load.host}, {"--endpoint", &options->endpoint}, {"--file", &options->file}};
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (const auto text = texts.find(name); text != texts.end() && !value.empty()) {
      *text->second = value;
    } else if (const auto number = numbers.find(name);
               number == numbers.end() || !ParseNumber(value, number->second)) {
      std::fprintf(stderr, "bench_serve: '%s %s' is not a flag and its value; see the head of main.cc\n",
                   name.c_str(), value.c_str());
      return false;
    }
  }
  options->words.chat = options->endpoint == "chat";
  options->words.requests = options->load.concurrency * options->requests_per_stream;
  if (options->words.chat) options->load.path = "/v1/chat/completions";
  options->load.reconnect = !options->file.empty();
  if (options->words.chat || options->endpoint == "completions") return true;
  std::fprintf(stderr, "bench_serve: --endpoint is completions or chat\n");
  return false;
}

double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double PercentileMs(std::vector<double> seconds, double share) {
  if (seconds.empty()) return 0;
  const auto rank = static_cast<std::size_t>(share * static_cast<double>(seconds.size() - 1) + 0.5);
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(rank), seconds.end());
  return 1e3 * seconds[rank];
}

void PrintLoad(const Options& options, std::size_t num_requests, const LoadResult& result,
               double client_cpu_seconds) {
  std::printf(
      "{\"benchmark\":\"serve\",\"endpoint\":\"%s\",\"concurrency\":%d,\"requests\":%zu,"
      "\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"seconds\":%.3f,\"tokens_per_s\":%.1f,"
      "\"ttft_ms_p50\":%.2f,\"ttft_ms_p99\":%.2f,\"itl_ms_p50\":%.2f,\"itl_ms_p99\":%.2f,"
      "\"client_cpu_s\":%.3f,",
      options.endpoint.c_str(), options.load.concurrency, num_requests,
      static_cast<long long>(result.prompt_tokens), static_cast<long long>(result.completion_tokens),
      result.seconds, static_cast<double>(result.completion_tokens) / result.seconds,
      PercentileMs(result.first_text_seconds, 0.5), PercentileMs(result.first_text_seconds, 0.99),
      PercentileMs(result.gap_seconds, 0.5), PercentileMs(result.gap_seconds, 0.99), client_cpu_seconds);
}

// The engine is the thread that owns the model and the compute threads that help it; all others serve.
void PrintDaemon(int pid, const std::map<std::string, double>& before,
                 const std::map<std::string, double>& after) {
  double total = 0, engine = 0;
  std::string threads;
  for (const auto& [name, seconds] : after) {
    const auto earlier = before.find(name);
    const double used = seconds - (earlier == before.end() ? 0.0 : earlier->second);
    total += used;
    if (name == "engine" || name == "compute") engine += used;
    char number[32];
    std::snprintf(number, sizeof(number), "%.2f", used);
    threads += (threads.empty() ? "\"" : ",\"") + name + "\":" + number;
  }
  const Memory memory = ResidentMemory(pid);
  std::printf(
      "\"daemon_cpu_s\":%.2f,\"serving_share\":%.4f,\"threads_cpu_s\":{%s},"
      "\"rss_bytes\":%llu,\"rss_anonymous_bytes\":%llu,\"rss_file_bytes\":%llu,",
      total, total > 0 ? (total - engine) / total : 0.0, threads.c_str(),
      static_cast<unsigned long long>(memory.resident), static_cast<unsigned long long>(memory.anonymous),
      static_cast<unsigned long long>(memory.file));
}

struct Requests {
  std::vector<LoadRequest> warm_up, measured;
};

Result<Requests> PlanRequests(const Options& options) {
  Requests requests;
  if (options.file.empty()) {
    RandomWords words = options.words;
    requests.warm_up = MakeRequests(words);
    ++words.seed;
    requests.measured = MakeRequests(words);
    return requests;
  }
  ASSIGN_OR_RETURN(requests.measured, ReadRequests(options.file));
  const auto first = requests.measured.begin();
  const auto last = first + std::min<std::ptrdiff_t>(options.warm_up, requests.measured.end() - first);
  requests.warm_up.assign(first, last);
  requests.measured.erase(first, last);
  return requests;
}

Status Run(const Options& options) {
  ASSIGN_OR_RETURN(const Requests requests, PlanRequests(options));
  RETURN_IF_ERROR(RunLoad(options.load, requests.warm_up).status());
  LoadOptions measured = options.load;
  measured.paced = options.paced > 0;
  std::map<std::string, double> before;
  if (options.pid > 0) before = ThreadSeconds(options.pid);
  const double cpu_before = OwnCpuSeconds();
  ASSIGN_OR_RETURN(const LoadResult result, RunLoad(measured, requests.measured));
  const double cpu = OwnCpuSeconds() - cpu_before;
  std::map<std::string, double> after;
  if (options.pid > 0) after = ThreadSeconds(options.pid);
  PrintLoad(options, requests.measured.size(), result, cpu);
  if (options.pid > 0) PrintDaemon(options.pid, before, after);
  std::printf("%s}\n", MachineJson().c_str());
  return OkStatus();
}

}  // namespace
}  // namespace reprise::bench

int main(int argc, char** argv) {
  reprise::bench::Options options;
  if (!reprise::bench::ParseOptions(argc, argv, &options)) return 2;
  const reprise::Status status = reprise::bench::Run(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "bench_serve: %s\n", status.message().c_str());
  return 1;
}
