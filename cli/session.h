// What generate, bench and eval share: the flags that choose a model and size the engine, and the parts made
// from them.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "cli/flags.h"
#include "engine/engine.h"
#include "kernels/backend.h"
#include "models/family.h"

namespace reprise {

struct ModelFlags {
  std::string model;
  std::string recycle;
  std::string draft;
  std::string device = "cpu";
  std::uint64_t gpu_graph_memory = CudaBackendOptions().graph_bytes;
  int threads = 0;

  void Declare(Flags* flags);
};

struct EngineFlags {
  std::uint64_t kv_cache_memory = std::uint64_t{1} << 30;
  double gpu_memory_utilization = 0.9;
  std::string kv_cache_dtype = "auto";
  int max_model_len = 0;
  int max_num_seqs = 64;
  int max_num_batched_tokens = 512;

  void Declare(Flags* flags);
  // INVALID_ARGUMENT for a combination that cannot work.
  Result<EngineOptions> Options() const;
};

// --kv-cache-dtype, which EngineFlags declares too.
void DeclareKvType(Flags* flags, std::string* name);
KvType KvTypeNamed(const std::string& name);

// How requests are decoded.
struct DecodingFlags {
  std::string method = "auto";
  int max_draft_tokens = -1;
  double lenience = 1;
  std::string proposer = "any";

  void Declare(Flags* flags);
  // INVALID_ARGUMENT names what is not loaded, and what is.
  Status Check(const EngineInfo& info) const;
  void Apply(Request* request) const;
};
void DeclareDecoding(Flags* flags, std::string help, std::string* method);
// INVALID_ARGUMENT as above.
Status CheckDecoding(const std::string& method, const EngineInfo& info);

// INVALID_ARGUMENT for a name that is no device's; FAILED_PRECONDITION for a GPU that cannot be had.
Result<std::unique_ptr<Backend>> MakeBackend(const ModelFlags& flags);

// Backend and models, in the order they must be destroyed in.
struct LoadedModel {
  std::unique_ptr<Backend> backend;
  ModelFamily family;

  Model& model() const { return *family.target; }
  EngineModels models() const;
};

// Where the flags' models are. Without --model that is the embedded family: in $REPRISE_ASSETS, beside the
// binary's installation, or in the source tree it was built from.
Result<FamilyPaths> FindModels(const ModelFlags& flags);
Result<LoadedModel> LoadModel(const ModelFlags& flags, int max_positions = 0);
// The same on a backend that is there.
Result<LoadedModel> LoadModelOn(std::unique_ptr<Backend> backend, const ModelFlags& flags,
                                int max_positions = 0);

// Parses; prints help or the problem. False when the command is over, with *exit_code set.
bool ParseFlags(Flags* flags, const std::vector<std::string>& arguments, int* exit_code);

// Prints "reprise: message" on standard error; returns kExitFailed.
int ReportFailure(const Status& status);

}  // namespace reprise
