#include "kernels/cuda/graph_cache.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace reprise::cuda {
namespace {

// Of the device's memory; 0 when that cannot be known.
std::size_t FreeBytes() {
  std::size_t free = 0;
  std::size_t total = 0;
  return cudaMemGetInfo(&free, &total) == cudaSuccess ? free : 0;
}

std::size_t BytesGone(std::size_t free_before, std::size_t free_after) {
  return free_before > free_after ? free_before - free_after : 0;
}

// The graph with all that it takes of the device, before it is started for the first time.
cudaError_t MakeGraph(const CommandList& commands, cudaStream_t stream, cudaGraphExec_t* graph) {
  if (const cudaError_t error = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
      error != cudaSuccess) {
    return error;
  }
  const cudaError_t recorded = commands.Run(stream);
  cudaGraph_t captured = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &captured);
  cudaError_t error = recorded != cudaSuccess ? recorded : ended;
  cudaGraphExec_t made = nullptr;
  if (error == cudaSuccess) error = cudaGraphInstantiate(&made, captured, 0);
  if (captured != nullptr) cudaGraphDestroy(captured);
  if (error != cudaSuccess) return error;
  *graph = made;
  return cudaGraphUpload(made, stream);
}

}  // namespace

void CommandList::Append(CommandFunction run, const void* command, std::size_t bytes) {
  const std::size_t words = (bytes + 15) / 16 * 2;
  const std::size_t begin = words_.size();
  words_.resize(begin + 2 + words, 0);
  words_[begin] = reinterpret_cast<std::uintptr_t>(run);
  words_[begin + 1] = words;
  std::memcpy(&words_[begin + 2], command, bytes);
  ++count_;
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
  DestroyGraph(&*entry);
  by_hash_.erase(entry->hash);
  entries_.erase(entry);
}

void GraphCache::DestroyGraph(Entry* entry) {
  if (entry->graph == nullptr) return;
  const std::size_t free_before = FreeBytes();
  cudaGraphExecDestroy(std::exchange(entry->graph, nullptr));
  bytes_ -= std::min(bytes_, BytesGone(FreeBytes(), free_before));
  num_commands_ -= entry->commands.size();
}

GraphCache::Entry* GraphCache::Find(const CommandList& commands) {
  const std::uint64_t hash = commands.Hash();
  const auto found = by_hash_.find(hash);
  if (found != by_hash_.end() && found->second->commands == commands) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return &*found->second;
  }
  if (found != by_hash_.end()) Erase(found->second);
  if (entries_.size() == kMaxGraphs) Erase(std::prev(entries_.end()));
  entries_.push_front({hash, commands, nullptr, false});
  by_hash_[hash] = entries_.begin();
  return nullptr;
}

cudaError_t GraphCache::Run(const CommandList& commands, cudaStream_t stream) {
  Entry* const entry = max_bytes_ > 0 ? Find(commands) : nullptr;
  if (entry == nullptr || entry->does_not_fit) return commands.Run(stream);
  if (entry->graph != nullptr) {
    ++num_replayed_;
    return cudaGraphLaunch(entry->graph, stream);
  }
  if (const cudaError_t error = Capture(entry, stream); error != cudaSuccess) return error;
  if (entry->does_not_fit) return commands.Run(stream);
  ++num_captured_;
  return cudaGraphLaunch(entry->graph, stream);
}

// What graphs hold goes by their commands, near enough: where they hold what they may, as many commands go as
// come. Whether the driver gives their memory back or keeps it for the next graph makes no difference then.
void GraphCache::MakeRoom(std::size_t num_commands) {
  std::size_t dropped = 0;
  for (auto entry = entries_.end(); entry != entries_.begin() && dropped < num_commands;) {
    const std::size_t expected = num_commands_ > 0 ? bytes_ / num_commands_ * num_commands : 0;
    if (bytes_ + expected <= max_bytes_) return;
    --entry;
    if (entry->graph == nullptr) continue;
    dropped += entry->commands.size();
    Erase(entry++);
  }
}

cudaError_t GraphCache::Capture(Entry* entry, cudaStream_t stream) {
  MakeRoom(entry->commands.size());
  const std::size_t free_before = FreeBytes();
  const cudaError_t error = MakeGraph(entry->commands, stream, &entry->graph);
  const std::size_t taken = BytesGone(free_before, FreeBytes());
  bytes_ += taken;
  if (entry->graph != nullptr) num_commands_ += entry->commands.size();
  const bool too_much = taken > 0 && bytes_ > max_bytes_;
  entry->does_not_fit = error == cudaErrorMemoryAllocation || too_much;
  if (entry->does_not_fit) DestroyGraph(entry);
  return entry->does_not_fit ? cudaSuccess : error;
}

}  // namespace reprise::cuda
