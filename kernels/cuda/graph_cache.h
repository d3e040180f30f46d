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
  void clear() { words_.clear(); }
  bool empty() const { return words_.empty(); }
  std::uint64_t Hash() const;
  bool operator==(const CommandList& other) const = default;
  std::size_t bytes() const { return words_.size() * sizeof(std::uint64_t); }

  // Starts all of them in order; stops at the first error.
  cudaError_t Run(cudaStream_t stream) const;

 private:
  // For each: its function, its size in words, its bytes; padded with zeros to an even number of words, for
  // commands with 16-byte alignment.
  std::vector<std::uint64_t> words_;
};

// The latest `kMaxGraphs` command lists that were run twice or more.
class GraphCache {
 public:
  static constexpr std::size_t kMaxGraphs = 64;

  GraphCache() = default;
  ~GraphCache();
  GraphCache(const GraphCache&) = delete;
  GraphCache& operator=(const GraphCache&) = delete;

  // Runs the list: the first time command by command, the second time it is captured, then replayed.
  cudaError_t Run(const CommandList& commands, cudaStream_t stream);
  // Forgets everything: memory that commands name is about to be freed.
  void Clear();

  std::int64_t num_captured() const { return num_captured_; }
  std::int64_t num_replayed() const { return num_replayed_; }

 private:
  struct Entry {
    std::uint64_t hash;
    CommandList commands;
    cudaGraphExec_t graph;  // nullptr until the second run
  };
  using Entries = std::list<Entry>;

  cudaError_t Capture(const CommandList& commands, cudaStream_t stream, cudaGraphExec_t* graph);
  void Erase(Entries::iterator entry);

  Entries entries_;  // latest first
  std::unordered_map<std::uint64_t, Entries::iterator> by_hash_;
  std::int64_t num_captured_ = 0;
  std::int64_t num_replayed_ = 0;
};

}  // namespace reprise::cuda
