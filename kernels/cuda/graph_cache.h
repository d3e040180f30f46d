// Command lists that repeat become CUDA graphs: one launch instead of hundreds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

#include "kernels/cuda/runtime.h"

namespace reprise::cuda {

// Starts one command on a stream.
using CommandFunction = cudaError_t (*)(const void* command, cudaStream_t stream);

// Commands one behind the other as plain bytes, so that two lists can be compared.
class CommandList {
 public:
  void Append(CommandFunction run, const void* command, std::size_t bytes);
  void clear() {
    words_.clear();
    count_ = 0;
  }
  bool empty() const { return words_.empty(); }
  std::uint64_t Hash() const;
  bool operator==(const CommandList& other) const = default;
  std::size_t size() const { return count_; }

  // Starts all of them in order; stops at the first error.
  cudaError_t Run(cudaStream_t stream) const;

 private:
  // For each: its function, its size in words, its bytes; padded with zeros to an even number of words, for
  // commands with 16-byte alignment.
  std::vector<std::uint64_t> words_;
  std::size_t count_ = 0;
};

// The latest command lists that were run twice or more, at most `kMaxGraphs`, as graphs of at most
// `max_bytes` of device memory. The driver does not say what a graph takes: it is the free memory that is
// gone when one has been made. Nor does it always hand back what a graph had; then the next one finds it.
class GraphCache {
 public:
  static constexpr std::size_t kMaxGraphs = 64;

  // 0 bytes: no graphs.
  explicit GraphCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  ~GraphCache();
  GraphCache(const GraphCache&) = delete;
  GraphCache& operator=(const GraphCache&) = delete;

  // Runs the list: the first time command by command, the second time it is captured, then replayed. One that
  // there is no memory for goes on command by command.
  cudaError_t Run(const CommandList& commands, cudaStream_t stream);
  // Forgets everything: memory that commands name is about to be freed.
  void Clear();

  std::size_t max_bytes() const { return max_bytes_; }
  std::size_t bytes() const { return bytes_; }  // taken now
  std::int64_t num_captured() const { return num_captured_; }
  std::int64_t num_replayed() const { return num_replayed_; }

 private:
  struct Entry {
    std::uint64_t hash;
    CommandList commands;
    cudaGraphExec_t graph;  // nullptr until the second run
    bool does_not_fit;
  };
  using Entries = std::list<Entry>;

  // The entry of that list, now the latest; nullptr when it is new.
  Entry* Find(const CommandList& commands);
  // Leaves the entry without a graph if there is no memory for one.
  cudaError_t Capture(Entry* entry, cudaStream_t stream);
  // Drops the oldest graphs where that many commands more would be too much.
  void MakeRoom(std::size_t num_commands);
  void DestroyGraph(Entry* entry);
  void Erase(Entries::iterator entry);

  const std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::size_t num_commands_ = 0;  // in graphs
  Entries entries_;               // latest first
  std::unordered_map<std::uint64_t, Entries::iterator> by_hash_;
  std::int64_t num_captured_ = 0;
  std::int64_t num_replayed_ = 0;
};

}  // namespace reprise::cuda
