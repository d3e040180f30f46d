#include "kernels/cuda/graph_cache.h"

#include <cstring>
#include <iterator>

namespace reprise::cuda {

void CommandList::Append(CommandFunction run, const void* command, std::size_t bytes) {
  const std::size_t words = (bytes + 15) / 16 * 2;
  const std::size_t begin = words_.size();
  words_.resize(begin + 2 + words, 0);
  words_[begin] = reinterpret_cast<std::uintptr_t>(run);
  words_[begin + 1] = words;
  std::memcpy(&words_[begin + 2], command, bytes);
}

std::uint64_t CommandList::Hash() const {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (std::uint64_t word : words_) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    hash ^= hash >> 32;
  }
  return hash;
}

cudaError_t CommandList::Run(cudaStream_t stream) const {
  for (std::size_t at = 0; at < words_.size(); at += 2 + words_[at + 1]) {
    const auto run = reinterpret_cast<CommandFunction>(words_[at]);
    if (const cudaError_t error = run(&words_[at + 2], stream); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

GraphCache::~GraphCache() {
  Clear();
}

void GraphCache::Clear() {
  while (!entries_.empty()) Erase(entries_.begin());
}

void GraphCache::Erase(Entries::iterator entry) {
  if (entry->graph != nullptr) cudaGraphExecDestroy(entry->graph);
  by_hash_.erase(entry->hash);
  entries_.erase(entry);
}

cudaError_t GraphCache::Run(const CommandList& commands, cudaStream_t stream) {
  const std::uint64_t hash = commands.Hash();
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end() || !(found->second->commands == commands)) {
    if (found != by_hash_.end()) Erase(found->second);
    if (entries_.size() == kMaxGraphs) Erase(std::prev(entries_.end()));
    entries_.push_front({hash, commands, nullptr});
    by_hash_[hash] = entries_.begin();
    return commands.Run(stream);
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  Entry& entry = *found->second;
  if (entry.graph == nullptr) {
    if (const cudaError_t error = Capture(commands, stream, &entry.graph); error != cudaSuccess) return error;
    ++num_captured_;
  } else {
    ++num_replayed_;
  }
  return cudaGraphLaunch(entry.graph, stream);
}

cudaError_t GraphCache::Capture(const CommandList& commands, cudaStream_t stream, cudaGraphExec_t* graph) {
  if (const cudaError_t error = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
      error != cudaSuccess) {
    return error;
  }
  const cudaError_t recorded = commands.Run(stream);
  cudaGraph_t captured = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &captured);
  cudaError_t error = recorded != cudaSuccess ? recorded : ended;
  if (error == cudaSuccess) error = cudaGraphInstantiate(graph, captured, 0);
  if (captured != nullptr) cudaGraphDestroy(captured);
  return error;
}

}  // namespace reprise::cuda
