// Bad input to slicing ends in one clear message and leaves nothing behind.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <limits>

#include "compress/slice_model.h"
#include "models/config.h"
#include "models/formats/checkpoint.h"
#include "tests/unit/compress/sliced_models.h"
#include "tests/unit/models/formats/temp_dir.h"

namespace reprise::compress {
namespace {

namespace fs = std::filesystem;

// A copy of a tiny model in which the first element of a tensor of F32 is `value`.
std::string DamagedModel(const TempDir& dir, const std::string& tensor, float value) {
  const std::string path = dir.path() + "/damaged";
  fs::remove_all(path);
  fs::copy("tests/data/models/opt", path);
  std::string bytes = ReadWholeFile(path + "/model.safetensors");
  {
    const auto checkpoint = Checkpoint::Open(path);
    REQUIRE(checkpoint.ok());
    const TensorInfo* info = (*checkpoint)->Find(tensor);
    REQUIRE((info != nullptr && info->type == WeightType::kF32));
    const std::string_view wanted(reinterpret_cast<const char*>(info->data), info->bytes);
    const std::size_t at = bytes.find(wanted);
    REQUIRE(at != std::string::npos);
    std::memcpy(bytes.data() + at, &value, sizeof(value));
  }
  fs::remove(path + "/model.safetensors");
  dir.Write("damaged/model.safetensors", bytes);
  return path;
}

struct Failure {
  const char* what;
  StatusCode code;
  const char* message;
  SliceOptions options;
};

TEST_CASE("bad input is refused and leaves nothing") {
  const TempDir dir;
  const std::string out = dir.path() + "/out";
  const std::string existing = dir.path() + "/existing";
  fs::create_directory(existing);
  const auto changed = [&](auto change) {
    SliceOptions options = TinyOptions("opt", out, 0.25);
    change(&options);
    return options;
  };
  const Failure failures[] = {
      {"no model", StatusCode::kNotFound, "none", changed([&](auto* o) { o->model = dir.path() + "/none"; })},
      {"no text", StatusCode::kNotFound, "none.txt",
       changed([&](auto* o) { o->calibration.path = dir.path() + "/none.txt"; })},
      {"empty text", StatusCode::kInvalidArgument, "holds no text",
       changed([&](auto* o) { o->calibration.path = dir.Write("empty.txt", " \n\n"); })},
      {"empty file", StatusCode::kDataLoss, "zero.txt",
       changed([&](auto* o) { o->calibration.path = dir.Write("zero.txt", ""); })},
      {"broken lines", StatusCode::kDataLoss, "bad.jsonl, line 2",
       changed([&](auto* o) { o->calibration.path = dir.Write("bad.jsonl", "{\"a\": \"b\"}\n{\n"); })},
      {"too few tokens", StatusCode::kInvalidArgument, "1000 are wanted",
       changed([&](auto* o) { o->calibration.samples = 1000; })},
      {"no samples", StatusCode::kInvalidArgument, "--samples",
       changed([&](auto* o) { o->calibration.samples = 0; })},
      {"long sequences", StatusCode::kInvalidArgument, "the model's context is 128",
       changed([&](auto* o) { o->calibration.length = 129; })},
      {"too few for the length that is chosen", StatusCode::kInvalidArgument,
       "sequences of 128; 1000 are wanted", changed([&](auto* o) {
         o->calibration.samples = 1000;
         o->calibration.length = 0;
       })},
      {"all of it", StatusCode::kInvalidArgument, "below 1",
       changed([&](auto* o) { o->schedule.sparsity = 1; })},
      {"output exists", StatusCode::kFailedPrecondition, "exists already",
       changed([&](auto* o) { o->out = existing; })},
      {"output nowhere", StatusCode::kFailedPrecondition, "cannot make",
       changed([&](auto* o) { o->out = dir.path() + "/no/where"; })},
      {"NaN in a matrix", StatusCode::kDataLoss, "'model.decoder.layers.1.fc1.weight'", changed([&](auto* o) {
         o->model = DamagedModel(dir, "model.decoder.layers.1.fc1.weight", std::nanf(""));
       })},
  };
  const std::unique_ptr<Backend> backend = std::move(MakeCpuBackend({2, ""})).value();
  for (const Failure& failure : failures) {
    INFO(failure.what);
    const Status status = SliceModel(failure.options, *backend, nullptr).status();
    INFO(status.ToString());
    CHECK(status.code() == failure.code);
    CHECK_THAT(status.message(), Catch::Contains(failure.message));
    CHECK(status.message().find('\n') == std::string::npos);
    CHECK_FALSE(fs::exists(out));
    CHECK_FALSE(fs::exists(out + ".partial"));
  }
  CHECK(fs::is_empty(existing));
}

TEST_CASE("an infinite vector and an overflowing type are refused") {
  const TempDir dir;
  const std::unique_ptr<Backend> backend = std::move(MakeCpuBackend({2, ""})).value();
  SliceOptions options = TinyOptions("opt", dir.path() + "/out", 0.25);
  options.model = DamagedModel(dir, "model.decoder.layers.0.self_attn_layer_norm.weight", INFINITY);
  CHECK_THAT(SliceModel(options, *backend, nullptr).status().message(),
             Catch::Contains("self_attn_layer_norm.weight"));
  options.model = DamagedModel(dir, "model.decoder.layers.0.self_attn_layer_norm.weight", 1e7f);
  options.dtype = "f16";
  const Status status = SliceModel(options, *backend, nullptr).status();
  CHECK(status.code() == StatusCode::kOutOfRange);
  CHECK_THAT(status.message(), Catch::Contains("too large for F16"));
  CHECK_FALSE(fs::exists(options.out));
}

TEST_CASE("a full disk leaves nothing") {
  const TempDir dir;
  const SliceOptions options = TinyOptions("opt", dir.path() + "/out", 0.25);
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {100000, 100000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const std::unique_ptr<Backend> backend = MakeReferenceBackend();
    const Status status = SliceModel(options, *backend, nullptr).status();
    _exit(status.code() == StatusCode::kResourceExhausted ? 0 : 1);
  }
  int state = 0;
  REQUIRE(waitpid(child, &state, 0) == child);
  CHECK((WIFEXITED(state) && WEXITSTATUS(state) == 0));
  CHECK_FALSE(fs::exists(options.out));
  CHECK_FALSE(fs::exists(options.out + ".partial"));
}

TEST_CASE("what a killed run leaves does not load, and is not in the way of the next") {
  const TempDir dir;
  const SliceOptions options = TinyOptions("opt", dir.path() + "/out", 0.25);
  const pid_t child = fork();
  if (child == 0) {
    const std::unique_ptr<Backend> backend = MakeReferenceBackend();
    (void)SliceModel(options, *backend, [](std::string_view, double done) {
      if (done > 0.9) raise(SIGKILL);
    });
    _exit(0);
  }
  int state = 0;
  REQUIRE(waitpid(child, &state, 0) == child);
  REQUIRE((WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL));
  CHECK_FALSE(fs::exists(options.out));
  const std::string rest = options.out + ".partial";
  REQUIRE(fs::exists(rest));
  CHECK_FALSE(LoadModelConfig(rest).ok());
  CHECK_FALSE(Checkpoint::Open(rest).ok());
  const std::unique_ptr<Backend> backend = MakeReferenceBackend();
  CHECK(SliceModel(options, *backend, nullptr).ok());
  CHECK(Checkpoint::Open(options.out).ok());
  CHECK_FALSE(fs::exists(rest));
}

}  // namespace
}  // namespace reprise::compress
