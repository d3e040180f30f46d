#include "kernels/cpu/weight_arena.h"

#include <utility>

namespace reprise {
namespace {
constexpr std::size_t kChunkBytes = std::size_t{32} << 20;  // untouched pages cost nothing
constexpr std::size_t kAlignment = 64;
}  // namespace

Result<ArenaRange> WeightArena::Allocate(std::size_t bytes) {
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (chunk_ == nullptr || chunk_->size() - used_ < rounded) {
    ASSIGN_OR_RETURN(Buffer buffer, Buffer::Allocate(rounded > kChunkBytes ? rounded : kChunkBytes));
    chunk_ = std::make_shared<const Buffer>(std::move(buffer));
    used_ = 0;
  }
  ArenaRange range{chunk_->data() + used_, bytes, chunk_};
  used_ += rounded;
  return range;
}

}  // namespace reprise
